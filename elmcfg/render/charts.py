"""Bars in the terminal: the shape of a model at a glance, and several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from elmcfg.escaping import printable
from elmcfg.render.style import Style
from elmcfg.render.tables import bar

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry

_LEAST_WIDTH = 6
_MOST_WIDTH = 24


def side_by_side(names: Sequence[str], shapes: Sequence[Geometry], style: Style, width: int) -> str:
    """Query heads and feed-forward widths of each layer, one model beside the other.

    Bars of all models have one scale, that of the widest layer. Where the terminal is too narrow
    for all, they stand one below the other.

    Args:
        names: What each model is called.
        shapes: The models.
        style: Colours.
        width: Columns of the terminal.
    """
    names = [printable(name) for name in names]
    most_heads = max(layer.num_query_heads for s in shapes for layer in s.layers)
    most_ffn = max(layer.ffn_dim for s in shapes for layer in s.layers)
    digits = len(str(most_heads)), len(f"{most_ffn:,}")
    fixed = digits[0] + digits[1] + 5
    room = (width - 6 - len(shapes) * (fixed + 3)) // (2 * len(shapes))
    if room < _LEAST_WIDTH and len(shapes) > 1:
        blocks = [side_by_side([n], [s], style, width) for n, s in zip(names, shapes, strict=True)]
        return "\n\n".join(blocks)
    room = max(_LEAST_WIDTH, min(room, _MOST_WIDTH))
    total = fixed + 2 * room
    parts = (digits[0] + 1 + room, digits[1] + 1 + room)
    head = f"{'query heads'[: parts[0]].ljust(parts[0])}   {'ffn_dim'.ljust(parts[1])}"
    lines = [
        "       " + "   ".join(style(name[:total].ljust(total), "bold") for name in names),
        "layer  " + "   ".join(style(head, "dim") for _ in names),
    ]
    for i in range(max(len(s.layers) for s in shapes)):
        cells = []
        for s in shapes:
            if i >= len(s.layers):
                cells.append(" " * total)
                continue
            layer = s.layers[i]
            cells.append(
                f"{layer.num_query_heads:{digits[0]}} "
                f"{style(bar(layer.num_query_heads, most_heads, room), 'cyan')}   "
                f"{layer.ffn_dim:{digits[1]},} {style(bar(layer.ffn_dim, most_ffn, room), 'blue')}"
            )
        lines.append(f"{i:5}  " + "   ".join(cells))
    return "\n".join(line.rstrip() for line in lines)
