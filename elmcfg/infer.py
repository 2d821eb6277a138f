"""From the lists of a config back to the recipe that made them, or to the nearest one.

A recipe says less than a list and can be changed: another depth, another width, the same shape.
Many recipes make the same integers, so one is *canonical*: the fewest control points; rounding to
two decimals before none; no frame before a frame; and, where only head counts are known and leave
a choice, the roundest numbers (multiples of 0.5, then 0.25, 0.1, 0.05, 0.01), of
those the smallest. So expanding what :func:`infer` gives makes the lists again, and a canonical
recipe is given back as it was.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from elmcfg import schedule
from elmcfg.geometry import ffn_dim, geometry, query_heads
from elmcfg.straight_lines import LARGEST, hundredths

if TYPE_CHECKING:
    from elmcfg.config import Config

_GRIDS = (50, 25, 10, 5, 1)
_MOST_POINTS = 5
# Time is bounded by tries times layers; a list that no recipe explains would use all of it.
_MOST_WORK = 400_000
_FRAMED_SLOPE = 200
_MOST_ANCHORS = 48


class Exactness(StrEnum):
    """How well a schedule explains a list."""

    MULTIPLIERS = "multipliers"
    """It gives every multiplier, to the last bit."""
    WIDTHS = "widths"
    """It gives every width; the multipliers themselves are not known, or are others."""
    NEAREST = "nearest"
    """It gives most widths; some layers differ."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A schedule that explains a list of multipliers or widths.

    Attributes:
        points: Control points.
        decimals: Rounding of the multipliers; None for none.
        frame: Forced onto first and last layer; None for no frame.
        exactness: How well it explains the list.
        differing: Layers whose width it does not give.
    """

    points: tuple[float, ...]
    decimals: int | None
    frame: float | None
    exactness: Exactness
    differing: tuple[int, ...] = ()

    def multipliers(self, num_layers: int) -> tuple[float, ...]:
        """One per layer."""
        return schedule.multipliers(
            self.points, num_layers, decimals=self.decimals, frame=self.frame
        )

    @property
    def profile(self) -> str:
        """The schedule in a word or two."""
        p = self.points
        if len(p) == 1:
            shape = "uniform"
        elif len(p) == 2:
            shape = "linear" if p[0] < p[1] else "reverse"
        elif len(p) == 3 and p[0] < p[1] > p[2]:
            shape = "crown"
        elif len(p) == 3 and p[0] > p[1] < p[2]:
            shape = "bowtie"
        else:
            shape = f"{len(p)} control points"
        return shape if self.frame is None else f"framed {shape}"


@dataclass(frozen=True, slots=True)
class Inference:
    """The recipe of a config.

    Attributes:
        qkv: Schedule of the query widths.
        ffn: Schedule of the feed-forward widths.
        queries_per_kv_head: Of every layer, or of most where they differ.
        differing_kv: Layers with another number of queries per KV head.
    """

    qkv: Fit
    ffn: Fit
    queries_per_kv_head: int
    differing_kv: tuple[int, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether the recipe makes the model's lists again."""
        fits = (self.qkv, self.ffn)
        return not self.differing_kv and all(f.exactness is not Exactness.NEAREST for f in fits)


def infer(config: Config) -> Inference:
    """The recipe that makes a config's lists, or the nearest one and the layers that differ.

    The multipliers are what it goes by where the config gives them and they agree with its head
    lists, and else the head counts alone.
    """
    d, h, n = config.model_dim, config.head_dim, config.num_transformer_layers
    shape = geometry(config)
    ratios = [layer.num_query_heads // layer.num_kv_heads for layer in shape.layers]
    groups = max(sorted(set(ratios)), key=ratios.count)

    def heads(multiplier: float) -> int:
        return query_heads(multiplier, d, h, groups)

    def width(multiplier: float) -> int:
        return ffn_dim(multiplier, d, config.ffn_dim_divisor)

    qkv = ffn = None
    if config.qkv_multipliers is not None:
        qkv = from_multipliers([layer.qkv_multiplier for layer in shape.layers])
    if qkv is None or [heads(m) for m in qkv.multipliers(n)] != [
        layer.num_query_heads for layer in shape.layers
    ]:
        got = [layer.effective_qkv_multiplier for layer in shape.layers]
        qkv = _from_widths([layer.num_query_heads for layer in shape.layers], got, heads)
    asked = [layer.ffn_multiplier for layer in shape.layers]
    ffn = from_multipliers(asked)
    if ffn is None:
        ffn = _from_widths([layer.ffn_dim for layer in shape.layers], asked, width)
    return Inference(qkv, ffn, groups, tuple(i for i, r in enumerate(ratios) if r != groups))


def from_multipliers(values: Sequence[float]) -> Fit | None:
    """The canonical schedule that makes these multipliers to the last bit, if there is one.

    Args:
        values: One per layer, in layer widths over ``model_dim``.
    """
    n = len(values)
    if min(values) <= 0:
        return None  # rounded to nothing, which no point can say
    if len(set(values)) == 1:
        return Fit((values[0],), schedule.RELEASED_DECIMALS, None, Exactness.MULTIPLIERS)
    frame = values[0] if values[0] == values[-1] and n > 4 else None
    for count in range(2, min(_MOST_POINTS, schedule.max_control_points(n)) + 1):
        for framed in (None, frame) if frame is not None else (None,):
            for decimals in (schedule.RELEASED_DECIMALS, None):
                for points in _guesses(values, count, framed, decimals):
                    if min(points) <= 0:
                        continue
                    fit = Fit(points, decimals, framed, Exactness.MULTIPLIERS)
                    if fit.multipliers(n) == tuple(values):
                        return fit
    return None


def _guesses(
    values: Sequence[float], count: int, frame: float | None, decimals: int | None
) -> Iterator[tuple[float, ...]]:
    """Control points that could have made the multipliers: read off where they stand.

    A frame hides the two outer points, which are then extrapolated from the layers beside them;
    rounded multipliers leave some hundredths of doubt about that.
    """
    n = len(values)
    anchors = schedule.anchors(count, n) if count > 2 else ((0, 0), (n - 1, 1))
    points = [0.0] * count
    for layer, point in anchors:
        points[point] = values[layer]
    if frame is None:
        yield tuple(points)
        return
    inner = [layer for layer, point in anchors if 0 < point < count - 1]
    left = (inner[0] if inner else n - 2), 1
    right = (inner[-1] if inner else 1), n - 2
    if left[0] == left[1] or right[0] == right[1]:
        return
    first = values[1] - (values[left[0]] - values[1]) / (left[0] - 1)
    last = values[n - 2] + (values[n - 2] - values[right[0]]) / (n - 2 - right[0])
    if decimals is None:
        yield (round(first, 6), *points[1:-1], round(last, 6))
        return
    around = [
        sorted(
            (round(x * 100) + shift for shift in range(-3, 4)),
            key=lambda v: (_coarseness(v), abs(v / 100 - x)),
        )
        for x in (first, last)
    ]
    for a, b in sorted(itertools.product(*around), key=lambda p: _coarseness(*p)):
        if a > 0 and b > 0:
            yield (a / 100, *points[1:-1], b / 100)


def _coarseness(*hundredths: int) -> int:
    """Position of the coarsest grid that all of them lie on."""
    return next(i for i, grid in enumerate(_GRIDS) if all(v % grid == 0 for v in hundredths))


def _from_widths(
    widths: Sequence[int], effective: Sequence[float], width: Callable[[float], int]
) -> Fit:
    """The canonical schedule that makes these widths, or the one that makes most of them.

    Args:
        widths: One per layer, in any unit.
        effective: The multipliers they amount to.
        width: From a multiplier to a width; never falls as the multiplier rises.
    """
    n = len(widths)
    of = functools.cache(width)

    def differing(fit: Fit) -> Iterator[int]:
        return (i for i, m in enumerate(fit.multipliers(n)) if of(m) != widths[i])

    for points, frame in itertools.islice(_candidates(widths, of), _MOST_WORK // n):
        fit = Fit(points, schedule.RELEASED_DECIMALS, frame, Exactness.WIDTHS)
        if next(differing(fit), None) is None:
            return fit
    lines = [
        Fit(points, schedule.RELEASED_DECIMALS, None, Exactness.NEAREST)
        for points in dict.fromkeys(_lines(effective))
    ]
    best = min(
        lines,
        key=lambda fit: (
            sum(1 for _ in differing(fit)),
            _coarseness(*(round(p * 100) for p in fit.points)),
            fit.points,
        ),
    )
    missed = tuple(differing(best))
    return replace(best, differing=missed, exactness=best.exactness if missed else Exactness.WIDTHS)


def _candidates(
    widths: Sequence[int], of: Callable[[float], int]
) -> Iterator[tuple[tuple[float, ...], float | None]]:
    """Control points and frame, the canonical ones first: few points, no frame, round numbers.

    A width leaves a stretch of hundredths for its multiplier. With one end of a straight line
    given, the stretches of the layers on it leave a stretch for the other end.
    """
    n = len(widths)
    known = {w: _stretch(w, of) for w in set(widths)}
    stretches = [known[w] for w in widths]
    everywhere = _common(stretches)
    for grid in _GRIDS:
        yield from (((v / 100,), None) for v in _multiples(everywhere, grid))
    frames: list[int | None] = [None]
    if widths[0] == widths[-1] and n > 4:
        frames += [next((v for g in _GRIDS for v in _multiples(stretches[0], g)), None)]
    for frame in frames:
        # A frame hides the ends, which may then be anything.
        open_ends = [(1, LARGEST), *stretches[1:-1], (1, LARGEST)]
        seen = stretches if frame is None else open_ends
        shown = None if frame is None else frame / 100
        near = stretches[0] if frame is None else _around(stretches[1])
        for grid in _GRIDS:
            for start in _multiples(near, grid):
                for end in _multiples(_other_end(seen, 0, start, n - 1), grid):
                    yield (start / 100, end / 100), shown
        if schedule.max_control_points(n) < 3:
            continue
        first, last = (n - 1) // 2, n // 2
        for grid in _GRIDS:
            for middle in _multiples(_common(stretches[first : last + 1]), grid):
                starts = _multiples(_other_end(seen, first, middle, 0), grid)
                ends = _multiples(_other_end(seen, last, middle, n - 1), grid)
                for start, end in itertools.product(starts, ends):
                    yield (start / 100, middle / 100, end / 100), shown


_Stretch = tuple[int, int]
"""Least and greatest of some hundredths."""


def _stretch(width: int, of: Callable[[float], int]) -> _Stretch:
    found = hundredths(width, of)
    return found.start, found.stop - 1


def _common(stretches: Sequence[_Stretch]) -> _Stretch:
    return max(s[0] for s in stretches), min(s[1] for s in stretches)


def _around(stretch: _Stretch) -> _Stretch:
    return max(1, stretch[0] - _FRAMED_SLOPE), stretch[1] + _FRAMED_SLOPE


def _multiples(stretch: _Stretch, grid: int) -> range:
    return range(-(-stretch[0] // grid) * grid, stretch[1] + 1, grid)


def _other_end(stretches: Sequence[_Stretch], start: int, value: int, end: int) -> _Stretch:
    """Where a line from ``value`` at one layer may end, to pass through the layers' stretches."""
    least, most = 1.0, float(LARGEST)
    step = 1 if end > start else -1
    for layer in range(start + step, end + step, step):
        share = (layer - start) / (end - start)
        # Rounding moves a multiplier by up to half a hundredth.
        rest = value * (1 - share)
        least = max(least, (stretches[layer][0] - 0.501 - rest) / share)
        most = min(most, (stretches[layer][1] + 0.501 - rest) / share)
    return math.ceil(least), math.floor(most)


def _lines(effective: Sequence[float]) -> Iterator[tuple[float, float]]:
    """End points of the straight lines through each two layers, and of the level ones."""
    n = len(effective)
    # As many pairs of layers as the time allows, spread over the depth.
    count = min(n, _MOST_ANCHORS, max(2, math.isqrt(_MOST_WORK * 2 // n)))
    layers = [i * (n - 1) // max(1, count - 1) for i in range(count)]
    for i in layers:
        level = max(0.01, round(effective[i], 2))
        yield level, level
    for i, j in itertools.combinations(layers, 2):
        slope = (effective[j] - effective[i]) / (j - i)
        ends = (effective[i] - slope * i, effective[j] + slope * (n - 1 - j))
        yield max(0.01, round(ends[0], 2)), max(0.01, round(ends[1], 2))
