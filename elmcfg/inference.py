"""Which recipe, in whose arithmetic, made these lists.

Configs are edited by hand and made by several programs, so a list and its recipe drift apart. These
functions say how a list could have come about: the same recipe rounded as another program rounds,
or another recipe.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import floor

from elmcfg.geometry import make_divisible, query_heads
from elmcfg.schedule import is_control_points, linspace, multipliers, numpy_round

Rounder = Callable[[float], float]
Divisible = Callable[[float, int], int]

# Ends of a recipe that are tried, per end; a layer's width leaves a range of about 20 open.
_MOST_ENDS = 64


def single(value: float) -> float:
    """The nearest 32-bit float."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def single_multipliers(start: float, stop: float, num: int) -> tuple[float, ...]:
    """A straight line, rounded to two decimals, as mlx-swift-lm computes it in 32-bit floats.

    Swift's ``stride(from:through:by:)`` adds ``i`` steps to the start in one rounding and stops
    where it has gone past the end, so that rounding can lose it the last entry.
    """
    if num == 1:
        return (_single_decimals(single(start)),)
    step = single((single(stop) - single(start)) / (num - 1))
    line = []
    for i in range(num):
        value = single(single(start) + i * step)
        if (value > stop) if step > 0 else (value < stop):
            break
        line.append(_single_decimals(value))
    return tuple(line)


def _single_decimals(value: float) -> float:
    """Two decimals; halves go up, as in Swift's ``round``."""
    return single(floor(single(value * 100) + 0.5) / 100)


def single_divisible(value: float, divisor: int) -> int:
    """:func:`~elmcfg.geometry.make_divisible` in 32-bit floats, as mlx-swift-lm has it."""
    whole = int(single(single(value + divisor / 2) / divisor)) * divisor
    rounded = max(divisor, whole)
    return rounded + divisor if rounded < single(single(0.9) * value) else rounded


def nearest_multiple(value: float, divisor: int) -> int:
    """:func:`~elmcfg.geometry.make_divisible` without its 10 % rule."""
    return max(divisor, int(value + divisor / 2) // divisor * divisor)


def at_most_nine_tenths(value: float, divisor: int) -> int:
    """:func:`~elmcfg.geometry.make_divisible` with ``<=``, as CoreNet's MLX example has it."""
    rounded = nearest_multiple(value, divisor)
    return rounded + divisor if divisor <= value and rounded <= 0.9 * value else rounded


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


def heads_recipe(
    heads: Sequence[int], model_dim: int, head_dim: int, queries_per_kv_head: int
) -> tuple[float, ...] | None:
    """One or two control points, of two decimals, that give exactly these query heads.

    Returns:
        The points, nearest to the widths themselves; ``None`` where there are none.
    """

    def width(multiplier: float) -> int:
        return query_heads(multiplier, model_dim, head_dim, queries_per_kv_head)

    return _recipe(heads, width, head_dim / model_dim, queries_per_kv_head)


def ffn_recipe(widths: Sequence[int], model_dim: int, divisor: int) -> tuple[float, ...] | None:
    """One or two control points, of two decimals, that give exactly these feed-forward widths."""

    def width(multiplier: float) -> int:
        return make_divisible(multiplier * model_dim, divisor)

    return _recipe(widths, width, 1 / model_dim, divisor)


def _recipe(
    sizes: Sequence[int], size: Callable[[float], int], unit: float, step: int
) -> tuple[float, ...] | None:
    """Points whose straight line gives these sizes.

    Args:
        sizes: One per layer.
        size: From a multiplier to a size.
        unit: Multiplier that a size of 1 stands for.
        step: Sizes are multiples of it.
    """
    n = len(sizes)
    first = _ends(sizes[0], size, unit, step)
    if len(set(sizes)) == 1:
        return (first[0],) if first else None
    if n < 2:
        return None
    for start in first:
        for stop in _ends(sizes[-1], size, unit, step):
            line = multipliers((start, stop), n)
            if all(size(m) == wanted for m, wanted in zip(line, sizes, strict=True)):
                return (start, stop)
    return None


def _ends(wanted: int, size: Callable[[float], int], unit: float, step: int) -> list[float]:
    """Multipliers of two decimals that give this size: the roundest first, then the nearest."""
    middle = round(wanted * unit * 100)
    reach = int(2 * step * unit * 100) + 1
    numbers = sorted(
        range(max(1, middle - reach), middle + reach + 1),
        key=lambda n: (n % 50 != 0, n % 10 != 0, abs(n - middle)),
    )
    return [n / 100 for n in numbers if size(n / 100) == wanted][:_MOST_ENDS]
