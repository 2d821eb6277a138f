"""Pictures of models and fronts, by matplotlib (the extra ``elmcfg[plot]``).

Colours are those of Okabe and Ito (2008), which people with colour blindness can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.document import exists, new_file
from elmcfg.escaping import printable
from elmcfg.search.budgets import Conditions, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elmcfg.geometry import Geometry
    from elmcfg.search.pareto import Front

ENDINGS = (".svg", ".png", ".pdf")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class PlotError(ValueError):
    """A picture cannot be drawn or written; the message says what to do."""


def check(path: Path, overwrite: bool) -> None:
    """See that a picture could be written, before long work is done for it.

    Raises:
        PlotError: If the ending is not known, or the file is there.
    """
    if path.suffix.lower() not in ENDINGS:
        raise PlotError(f"{path}: a picture ends in {', '.join(ENDINGS)}")
    if exists(path) and not overwrite:
        raise PlotError(f"{path}: there is a file already; --force replaces it")


def save(draw: Callable[[], Figure], path: Path, overwrite: bool) -> None:
    """Draw a picture into a file, whole or not at all.

    Args:
        draw: Makes the figure.
        path: Where to; the ending chooses the format.
        overwrite: Whether a file that is there already may be replaced.

    Raises:
        PlotError: If the ending is not known, matplotlib is missing, or the file is there.
    """
    check(path, overwrite)
    try:
        figure = draw()
    except ImportError as error:
        raise PlotError("pictures need matplotlib: pip install 'elmcfg[plot]'") from error
    try:
        with new_file(path, overwrite=overwrite) as temporary:
            # Without a date, and with fixed ids, the same picture is the same file.
            kind = path.suffix.lower()[1:]
            dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
            figure.savefig(temporary, format=kind, dpi=160, metadata=dateless)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written: {error.strerror}") from error


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    # It reads a `matplotlibrc` of the working directory, which can have LaTeX run.
    with chdir(Path(__file__).parent):
        import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "elmcfg"
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    # A grey that is faint on a light and on a dark ground alike.
    axes.grid(axis="y", color="#808080", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)


def layers(names: Sequence[str], shapes: Sequence[Geometry]) -> Figure:
    """Heads and feed-forward widths by layer: a row of two bar charts per model, on one scale."""
    figure, grid = _figure(len(shapes), 2, (9.0, 0.8 + 2.0 * len(shapes)))
    most_heads = max(layer.num_query_heads for s in shapes for layer in s.layers)
    most_ffn = max(layer.ffn_dim for s in shapes for layer in s.layers)
    deepest = max(len(s.layers) for s in shapes)
    for row, name, shape in zip(grid, names, shapes, strict=True):
        places = range(len(shape.layers))
        heads, ffn = row
        heads.bar(
            places, [x.num_query_heads for x in shape.layers], color=_COLOURS[5], label="query"
        )
        heads.bar(places, [x.num_kv_heads for x in shape.layers], color=_COLOURS[0], label="KV")
        ffn.bar(places, [x.ffn_dim for x in shape.layers], color=_COLOURS[1])
        heads.set(ylabel="heads", ylim=(0, most_heads * 1.08))
        # A name with dollar signs is no formula.
        heads.set_title(printable(name), loc="left", fontsize=10, parse_math=False)
        ffn.set(ylabel="ffn_dim", ylim=(0, most_ffn * 1.08))
        for axes in row:
            axes.set_xlim(-0.8, deepest - 0.2)
            axes.xaxis.get_major_locator().set_params(integer=True)
            _plain(axes)
    grid[0][0].legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    return figure


_UNITS = {
    "bytes": (2**20, "MiB"),
    "parameters": (1e6, "M"),
    "FLOPs": (1e18, "10$^{18}$ FLOPs"),
    "FLOPs/token": (1e6, "MFLOPs/token"),
}


def _scaled(quantity: Quantity) -> tuple[float, str]:
    factor, unit = _UNITS.get(quantity.unit, (1.0, quantity.unit))
    return factor, f"{quantity.name} ({unit})"


def front(found: Front, conditions: Conditions, known: Sequence[tuple[str, Geometry]]) -> Figure:
    """A front: its first two costs as axes, the third as colour, and known models marked.

    Args:
        found: The front.
        conditions: What its costs assumed.
        known: Names and shapes of models to mark; those that lie far outside are left out.
    """
    from elmcfg.search.problem import measured

    figure, grid = _figure(1, 1, (7.0, 4.6))
    axes = grid[0][0]
    scales = [_scaled(axis.quantity) for axis in found.axes]

    def point(values: Sequence[float]) -> list[float]:
        return [value / factor for value, (factor, _) in zip(values, scales, strict=True)]

    designs = [
        point([float(d.cost(a.quantity, conditions)) for a in found.axes]) for d in found.designs
    ]
    xs, ys, *rest = (list(column) for column in zip(*designs, strict=True))
    if rest:
        dots = axes.scatter(xs, ys, c=rest[0], s=9, cmap="viridis")
        figure.colorbar(dots, ax=axes, label=scales[2][1])
    else:
        axes.plot(xs, ys, ".-", color=_COLOURS[0], markersize=4, linewidth=0.8, label="front")
    for name, shape in known:
        costs = measured(shape, 1, conditions)
        x, y, *_ = point([float(costs[a.quantity.name]) for a in found.axes])
        if min(xs) * 0.8 <= x <= max(xs) * 1.2:
            axes.plot(x, y, "D", color=_COLOURS[1], markersize=5)
            axes.annotate(name, (x, y), (5, 5), textcoords="offset points", fontsize=8)
    axes.set(xlabel=scales[0][1], ylabel=scales[1][1])
    context = f"context {conditions.context_length:,}"
    axes.set_title(
        f"{len(found.designs):,} trade-offs: {found.ways} ({context})", fontsize=9, loc="left"
    )
    _plain(axes)
    return figure
