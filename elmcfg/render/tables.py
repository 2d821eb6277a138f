"""The per-layer table and the costs, as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, wrap
from typing import TYPE_CHECKING

from elmcfg.escaping import printable
from elmcfg.render.style import Style
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.costs import Cost
    from elmcfg.geometry import Geometry
    from elmcfg.infer import Inference

_BLOCKS = " ▏▎▍▌▋▊▉█"
_MOST_BAR_WIDTH = 16
_LEAST_BAR_WIDTH = 4


def amount(number: float, unit: str = "") -> str:
    """A number with a decimal prefix: 1,234,567 FLOPs is ``1.23 MFLOPs``."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        # What three digits would round to 1,000 has the next prefix.
        if abs(number) < 999.5 or prefix == "P":
            break
        number /= 1000
    figure = f"{number:.0f}" if not prefix else f"{number:.3g}"
    return f"{figure} {prefix}{unit}".rstrip()


def bar(value: float, most: float, width: int) -> str:
    """A horizontal bar of ``value / most`` of the width, in eighths of a column."""
    eighths = max(1, round(value / most * width * 8)) if value else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[rest] if rest else "")).ljust(width)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns aligned to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def table(rows: Sequence[Sequence[str]], style: Style) -> list[str]:
    """Rows with their first column aligned to the left, the others to the right, below a head."""
    firsts = [printable(row[0]) for row in rows]
    width = max(map(len, firsts))
    head, *rest = columns(
        [(first.ljust(width), *row[1:]) for first, row in zip(firsts, rows, strict=True)]
    )
    return [style(head, "bold"), *(line.rstrip() for line in rest)]


def _multiplier(asked: float, got: float) -> str:
    return f"{asked:.2f}" if abs(asked - got) < 0.005 else f"{asked:.2f} → {got:.2f}"


def _layer_rows(shape: Geometry, cost: Cost) -> list[str]:
    """The table of layers, without bars."""
    head = (
        "layer", "query", "kv", "ffn_dim", "qkv_mult", "ffn_mult", "parameters", "Σ weights",
        "kv B/token", "Σ kv",
    )  # fmt: skip
    rows = [head]
    for layer, spent, (weights, cache) in zip(
        shape.layers, cost.layers, cost.running_totals, strict=True
    ):
        rows.append(
            (
                str(layer.index),
                str(layer.num_query_heads),
                str(layer.num_kv_heads),
                f"{layer.ffn_dim:,}",
                _multiplier(layer.qkv_multiplier, layer.effective_qkv_multiplier),
                _multiplier(layer.ffn_multiplier, layer.effective_ffn_multiplier),
                f"{spent.parameters:,}",
                binary(weights),
                f"{spent.kv_cache_bytes_per_token:,}",
                f"{cache:,}",
            )
        )
    return columns(rows)


def _room(row: str, width: int) -> int:
    return min((width - len(row) - 4) // 2, _MOST_BAR_WIDTH)


def has_bars(shape: Geometry, cost: Cost, width: int) -> bool:
    """Whether :func:`layers` has room for bars."""
    return _room(_layer_rows(shape, cost)[0], width) >= _LEAST_BAR_WIDTH


def layers(shape: Geometry, cost: Cost, style: Style, width: int) -> str:
    """One line per layer: its integers, its multipliers as asked → as got, its costs, and bars.

    ``Σ weights`` are the bytes of the embedding table and of all layers up to this one, ``Σ kv``
    the KV bytes per token of all layers up to this one: where to cut a model that is to be spread
    over devices. The bars, of query heads and feed-forward width, take what room ``width`` columns
    leave.
    """
    rows = _layer_rows(shape, cost)
    room = _room(rows[0], width)
    if room >= _LEAST_BAR_WIDTH:
        most_heads = max(layer.num_query_heads for layer in shape.layers)
        most_ffn = max(layer.ffn_dim for layer in shape.layers)
        bars = [
            f"{bar(layer.num_query_heads, most_heads, room)}  {bar(layer.ffn_dim, most_ffn, room)}"
            for layer in shape.layers
        ]
        names = f"{'query heads'[:room].ljust(room)}  {'ffn_dim'[:room]}"
        rows = [f"{row}  {extra}".rstrip() for row, extra in zip(rows, [names, *bars], strict=True)]
    return "\n".join([style(rows[0], "bold"), *rows[1:]])


def title(config: Config, shape: Geometry, name: str, width: int) -> str:
    """The model in a line or two."""
    glu = "SwiGLU" if shape.ffn_with_glu else "swish without a gate"
    tied = "tied" if shape.share_input_output_layers else "untied"
    norm = "with" if shape.normalize_qk_projections else "without"
    text = (
        f"{config.name or name}: {len(shape.layers)} layers, model_dim {shape.model_dim:,}, "
        f"head_dim {shape.head_dim}, vocabulary {shape.vocab_size:,}, {tied} embeddings, "
        f"{norm} QK norm, {glu}"
    )
    lines = [text, *([config.description] if config.description else [])]
    return "\n".join(fill(printable(" ".join(line.split())), width) for line in lines)


def costs(cost: Cost, style: Style, width: int) -> str:
    """The totals, each with its unit and convention beside it."""
    p, f = cost.parameters, cost.flops_per_token
    total = p.total
    rows = [
        ("parameters", f"{total:,}", ""),
        ("  embedding", f"{p.embedding:,}", f"{p.embedding / total:.1%}"),
        ("  attention", f"{p.attention:,}", f"{p.attention / total:.1%}"),
        ("  ffn", f"{p.ffn:,}", f"{p.ffn / total:.1%}"),
        ("  norm", f"{p.norm:,}", f"{p.norm / total:.2%}"),
        ("weights", binary(cost.weight_bytes), cost.weight_dtype),
        (
            "KV cache",
            f"{cost.kv_cache_bytes_per_token:,} B/token",
            f"{cost.cache_dtype}; {binary(cost.kv_cache_bytes_per_token * f.context_length)} "
            f"at {f.context_length:,} tokens",
        ),
        ("FLOPs, prefill", amount(f.prefill, "FLOPs") + "/token", "mean of a causal pass"),
        ("FLOPs, decode", amount(f.decode, "FLOPs") + "/token", "last token of the context"),
        ("FLOPs, training", amount(f.training, "FLOPs") + "/token", "forward and backward"),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [
        f"{style(a.ljust(widths[0]), 'bold')}  {b.rjust(widths[1])}  {style(c, 'dim')}".rstrip()
        for a, b, c in rows
    ]
    note = f"At a context of {f.context_length:,} tokens: {f.convention}."
    return "\n".join([*lines, *(style(line, "dim") for line in wrap(note, width))])


def inference(found: Inference) -> str:
    """The recipe of a config, and how exactly it explains each list."""
    lines = []
    for name, fit in (("qkv", found.qkv), ("ffn", found.ffn)):
        points = ", ".join(f"{p:g}" for p in fit.points)
        given = "multiplier" if fit.exactness.value == "multipliers" else "width"
        how = f"gives every {given}"
        if fit.differing:
            how += f" but of {counted_layers(fit.differing)}"
        lines.append(f"  {name}_multipliers: [{points}] ({fit.profile}; {how})")
    rest = f", but not in {counted_layers(found.differing_kv)}" if found.differing_kv else ""
    lines.append(f"  queries per KV head: {found.queries_per_kv_head}{rest}")
    return "\n".join(lines)


def gaps(shape: Geometry) -> str:
    """Which layers lack a part, or have one matrix in its place."""
    d = shape.model_dim
    instead = f"one linear map of {d:,}x{d:,} instead of"
    kinds = {
        "no attention": [x.index for x in shape.layers if not x.has_attention],
        f"{instead} attention": [x.index for x in shape.layers if x.linear_attention],
        "no feed-forward": [x.index for x in shape.layers if not x.has_ffn],
        f"{instead} a feed-forward": [x.index for x in shape.layers if x.linear_ffn],
    }
    return "\n".join(
        f"  {what}: {counted_layers(layers)}" for what, layers in kinds.items() if layers
    )


def counted_layers(layers: Sequence[int]) -> str:
    """``layer 7``, ``layers 3 and 12``, ``20 layers (0, 1, 2, ...)``."""
    if len(layers) > 6:
        return f"{len(layers)} layers ({', '.join(map(str, layers[:6]))}, ...)"
    if len(layers) == 1:
        return f"layer {layers[0]}"
    return f"layers {', '.join(map(str, layers[:-1]))} and {layers[-1]}"
