"""A recipe rounded as other programs round it: in whose arithmetic a list was made.

Configs are made by several programs, so a list and its recipe drift apart: the same control points
give other widths where the multipliers are rounded otherwise, or ``make_divisible`` is another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import floor

from elmcfg.geometry import make_divisible, nearest_multiple
from elmcfg.schedule import is_control_points, linspace, numpy_round

Rounder = Callable[[float], float]
Divisible = Callable[[float, int], int]


def single(value: float) -> float:
    """The nearest 32-bit float."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def single_multipliers(start: float, stop: float, num: int) -> tuple[float, ...]:
    """A straight line, rounded to two decimals, as mlx-swift-lm computes it in 32-bit floats.

    Swift's ``stride(from:through:by:)`` adds ``i`` steps to the start in one rounding and stops
    past the end. Of its two lines, 0.5 to 1.0 and 0.5 to 4.0, it never loses the last entry by
    that (tried for every depth up to 100,000).
    """
    if num == 1:
        return (_single_decimals(single(start)),)
    step = single((single(stop) - single(start)) / (num - 1))
    return tuple(_single_decimals(single(single(start) + i * step)) for i in range(num))


def _single_decimals(value: float) -> float:
    """Two decimals; halves go up, as in Swift's ``round``."""
    return single(floor(single(value * 100) + 0.5) / 100)


def single_divisible(value: float, divisor: int) -> int:
    """:func:`~elmcfg.geometry.make_divisible` in 32-bit floats, as mlx-swift-lm has it."""
    whole = int(single(single(value + divisor / 2) / divisor)) * divisor
    rounded = max(divisor, whole)
    return rounded + divisor if rounded < single(single(0.9) * value) else rounded


def at_most_nine_tenths(value: float, divisor: int) -> int:
    """:func:`~elmcfg.geometry.make_divisible` with ``<=``, as CoreNet's MLX example has it."""
    rounded = nearest_multiple(value, divisor)
    return rounded + divisor if rounded <= 0.9 * value else rounded


def _decimals(value: float) -> float:
    return numpy_round(value, 2)


def _python(value: float) -> float:
    return round(value, 2)


def _unrounded(value: float) -> float:
    return value


_ROUNDINGS: tuple[tuple[str, Rounder, Divisible], ...] = (
    ("Python's round() in place of numpy's", _python, make_divisible),
    ("multipliers not rounded to 2 decimals", _unrounded, make_divisible),
    ("no 10 % rule in make_divisible", _decimals, nearest_multiple),
    ("<= in the 10 % rule, as CoreNet's MLX example has it", _decimals, at_most_nine_tenths),
)
_SINGLE = "multipliers computed in 32-bit floats, as mlx-swift does"


def roundings(
    points: Sequence[float], num_layers: int, model_dim: int, divisor: int
) -> dict[str, list[int]]:
    """Widths that a recipe gives in the arithmetic of other programs, by what differs.

    Args:
        points: One or two control points.
        num_layers: Depth.
        model_dim: In channels.
        divisor: Widths are multiples of it, in channels.
    """
    first, last = points[0], points[-1]
    exact = linspace(first, last, num_layers)
    found = {
        name: [divisible(rounder(m) * model_dim, divisor) for m in exact]
        for name, rounder, divisible in _ROUNDINGS
    }
    found[_SINGLE] = [
        single_divisible(single(m * model_dim), divisor)
        for m in single_multipliers(first, last, num_layers)
    ]
    return found


def rounding_of_heads(
    heads: Sequence[int],
    points: Sequence[float],
    model_dim: int,
    head_dim: int,
    queries_per_kv_head: int,
) -> str | None:
    """The rounding with which a recipe gives exactly these query heads, in words.

    Args:
        heads: Query heads of each layer.
        points: Control points of the recipe; only one or two are looked at.
        model_dim: In channels.
        head_dim: In channels.
        queries_per_kv_head: Query heads that share a KV head.
    """
    n = len(heads)
    if len(points) > 2 or not is_control_points(len(points), n):
        return None
    wanted = [q * head_dim for q in heads]
    divisor = head_dim * queries_per_kv_head
    made = roundings(points, n, model_dim, divisor)
    return " or ".join(name for name, widths in made.items() if widths == wanted) or None
