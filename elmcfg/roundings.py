"""Which recipe, in whose arithmetic, made these lists.

Configs are edited by hand and made by several programs, so a list and its recipe drift apart. These
functions say how a list could have come about: the same recipe rounded as another program rounds,
or another recipe.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from elmcfg.geometry import make_divisible, query_heads
from elmcfg.schedule import is_control_points, linspace, numpy_round

Rounder = Callable[[float], float]
Divisible = Callable[[float, int], int]

# The largest multiplier there is, in hundredths, and how many first and last ones are tried.
_LARGEST = 100_000
_MOST_STARTS = 400
_MOST_STOPS = 12


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


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line that comes nearest to a list of sizes.

    Attributes:
        points: One or two control points, of two decimals.
        departure: The first layer whose size it does not give; ``None`` where it gives all.
    """

    points: tuple[float, ...]
    departure: int | None


def heads_line(
    heads: Sequence[int], model_dim: int, head_dim: int, queries_per_kv_head: int
) -> Line:
    """The recipe that gives these query heads, or the most of them from the first layer on.

    Args:
        heads: Query heads of each layer.
        model_dim: In channels.
        head_dim: In channels.
        queries_per_kv_head: Query heads that share a KV head.
    """

    def size(multiplier: float) -> int:
        return query_heads(multiplier, model_dim, head_dim, queries_per_kv_head)

    return _line(heads, size)


def ffn_line(widths: Sequence[int], model_dim: int, divisor: int) -> Line:
    """The recipe that gives these feed-forward widths, or the most of them from the first on."""

    def size(multiplier: float) -> int:
        return make_divisible(multiplier * model_dim, divisor)

    return _line(widths, size)


def _line(sizes: Sequence[int], size: Callable[[float], int]) -> Line:
    """The best line through these sizes.

    Sizes grow with multipliers, so each is given by a range of them. With the first multiplier
    chosen, every layer's range leaves a range for the last one, and a line is wherever all of these
    meet. Multipliers are counted in hundredths here.

    Args:
        sizes: One per layer.
        size: From a multiplier to a size; never falling.
    """
    ranges = {wanted: _hundredths(wanted, size) for wanted in set(sizes)}
    first = ranges[sizes[0]]
    if not first:
        return Line((), 0)
    if len(ranges) == 1:
        return Line((_round_ones(first)[0] / 100,), None)
    n = len(sizes)
    corners = [i for i in range(1, n) if i == n - 1 or not sizes[i - 1] == sizes[i] == sizes[i + 1]]
    best, furthest = (first[0], first[0]), 0
    for start in _round_ones(first)[:_MOST_STARTS]:
        stops, met = _stops(start, sizes, corners, ranges)
        candidates = _round_ones(stops)[:_MOST_STOPS]
        for stop in candidates if met == n - 1 else ():
            points = (start / 100, stop / 100)
            if _departure(points, sizes, size) is None:
                return Line(points, None)
        if met > furthest:
            best, furthest = (start, candidates[0]), met
    points = (best[0] / 100, best[1] / 100)
    return Line(points, _departure(points, sizes, size))


def _hundredths(wanted: int, size: Callable[[float], int]) -> range:
    """The multipliers, in hundredths, that give a size."""
    every = range(1, _LARGEST + 1)
    low = bisect_left(every, wanted, key=lambda n: size(n / 100))
    high = bisect_right(every, wanted, key=lambda n: size(n / 100))
    return every[low:high]


def _stops(
    start: int, sizes: Sequence[int], corners: Iterable[int], ranges: Mapping[int, range]
) -> tuple[range, int]:
    """The last multipliers with which the most layers are met, from the first on.

    Returns:
        Those multipliers, and the last corner that they meet.
    """
    last, met = len(sizes) - 1, 0
    low, high = 1.0, float(_LARGEST)
    for i in corners:
        allowed = ranges[sizes[i]]
        if not allowed:
            break
        # What rounds to the range lies up to half a hundredth outside of it.
        a = max(low, start + (allowed[0] - 0.5 - start) * last / i)
        b = min(high, start + (allowed[-1] + 0.5 - start) * last / i)
        if ceil(a) > floor(b):
            break
        low, high, met = a, b, i
    return range(ceil(low), floor(high) + 1), met


def _round_ones(numbers: range) -> list[int]:
    """The numbers of a range, the roundest first and of those the nearest to its middle."""
    middle = numbers[len(numbers) // 2]
    few = numbers[max(0, len(numbers) // 2 - _MOST_STARTS) :][: 2 * _MOST_STARTS]
    return sorted(few, key=lambda n: (n % 50 != 0, n % 10 != 0, n % 5 != 0, abs(n - middle)))


def _departure(
    points: Sequence[float], sizes: Sequence[int], size: Callable[[float], int]
) -> int | None:
    n = len(sizes)
    slope = (points[-1] - points[0]) / (n - 1) if n > 1 else 0.0
    for i, wanted in enumerate(sizes):
        if size(numpy_round(i * slope + points[0] if i < n - 1 else points[-1], 2)) != wanted:
            return i
    return None
