"""The straight line of multipliers that gives a list of sizes, or most of it from the first on.

Lists edited by hand depart from their recipe at some layer: these functions say from which, and
what recipe of one or two control points the rest is of. :mod:`elmcfg.infer` explains whole lists,
by every kind of schedule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from elmcfg.geometry import make_divisible, query_heads
from elmcfg.schedule import numpy_round

LARGEST = 100_000
"""The largest multiplier there is, in hundredths."""

# How many first and last multipliers are tried.
_MOST_STARTS = 400
_MOST_STOPS = 12


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
    ranges = {wanted: hundredths(wanted, size) for wanted in set(sizes)}
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


def hundredths(wanted: int, size: Callable[[float], int]) -> range:
    """The multipliers, in hundredths, that give a size; ``size`` never falls as they rise."""
    every = range(1, LARGEST + 1)
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
    low, high = 1.0, float(LARGEST)
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
