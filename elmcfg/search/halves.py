"""One half of a design, attention or feed-forward: every schedule of it, as integers, at once.

For a given depth, width and divisor, all costs that a schedule has an effect on are linear in one
integer: the sum over the layers of the width in divisors (for attention that is the number of KV
heads, for the feed-forward the number of ``ffn_dim_divisor``s). So thousands of schedules collapse
to some hundred distinct sums, each kept once with the number of schedules that have it.

The arithmetic repeats :mod:`elmcfg.schedule` and :mod:`elmcfg.geometry` on arrays, bit for bit; a
test holds the two together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from elmcfg import schedule
from elmcfg.geometry import make_divisible

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MOST_TABLE_ENTRIES = 100_000


def widths(wanted: Floats, divisor: int | Integers) -> Integers:
    """:func:`elmcfg.geometry.make_divisible` on an array, in divisors instead of channels."""
    rounded = np.maximum((wanted + divisor / 2).astype(np.int64) // divisor, 1)
    result: Integers = rounded + (rounded * divisor < 0.9 * wanted)
    return result


def expand(
    points: Floats,
    num_layers: int,
    *,
    decimals: int | None,
    frame: float | None = None,
    curve: str = "linear",
) -> Floats:
    """:func:`elmcfg.schedule.multipliers` for many lists of control points at once.

    Args:
        points: Control points, shape (points per schedule, schedules).
        num_layers: Depth.
        decimals: As there.
        frame: As there.
        curve: As there.

    Returns:
        Multipliers, shape (layers, schedules).
    """
    count = len(points)
    if count == num_layers:
        return points
    if count == 1:
        values = np.repeat(points, num_layers, axis=0)
    elif curve == "plateaus":
        values = points[list(schedule.plateau_places(count, num_layers))]
    else:
        values = _through(points, num_layers, curve)
        if decimals is not None:
            scale = 10.0**decimals
            values = np.rint(values * scale) / scale
    if frame is not None:
        values[0] = values[-1] = frame
    return values


def _through(points: Floats, num_layers: int, curve: str) -> Floats:
    if curve == "cosine":
        first, last = points
        weights = np.array(schedule.cosine_weights(num_layers))[:, None]
        bent: Floats = (first + last) / 2 + (first - last) / 2 * weights
        return bent
    values = np.empty((num_layers, points.shape[1]))
    count = len(points)
    pairs = schedule.anchors(count, num_layers) if count > 2 else ((0, 0), (num_layers - 1, 1))
    for (left, a), (right, b) in itertools.pairwise(pairs):
        slope = (points[b] - points[a]) / (right - left)
        steps = np.arange(right - left)[:, None]
        values[left:right] = steps * slope + points[a]
    values[-1] = points[-1]
    return values


@dataclass(frozen=True)
class Sums:
    """The distinct sums of one half for one depth, width and divisor.

    Attributes:
        values: Sums over the layers, in divisors, ascending.
        counts: Schedules that have each.
        schedules: Of those, the one that differs least from the reference: its position in
            :attr:`Schedules.points`.
        differences: How far that one is from the reference.
    """

    values: Integers
    counts: Integers
    schedules: Integers
    differences: Floats

    @cached_property
    def counts_below(self) -> Integers:
        """Schedules below each position, and below the end: one entry more than ``values``."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])

    @cached_property
    def _least(self) -> list[Integers]:
        """Position of the least difference among the 2**level from each position on."""
        levels = [np.arange(len(self.values))]
        while 2 ** len(levels) <= len(self.values):
            span = 2 ** (len(levels) - 1)
            left, right = levels[-1][:-span], levels[-1][span:]
            better = self.differences[right] < self.differences[left]
            levels.append(np.where(better, right, left))
        return levels

    def least_between(self, first: Integers, end: Integers) -> Integers:
        """Position of the least difference in each ``first[i] <= position < end[i]``, none empty.

        The first of several; by the usual table of powers of two, so one look-up per range.
        """
        result = np.empty(len(first), np.int64)
        levels = np.frexp(end - first)[1] - 1
        for level in np.unique(levels):
            rows = levels == level
            left = self._least[level][first[rows]]
            right = self._least[level][end[rows] - 2**level]
            better = self.differences[right] < self.differences[left]
            result[rows] = np.where(better, right, left)
        return result


class Schedules:
    """All schedules of one half at one depth, those nearest to the reference first.

    Attributes:
        points: Control points, shape (schedules, points per schedule).
        differences: Of each from the reference, ascending.
    """

    def __init__(
        self,
        axes: Sequence[Sequence[float]],
        num_layers: int,
        *,
        decimals: int | None,
        frame: float | None,
        curve: str,
        difference: Callable[[Floats], Floats],
    ) -> None:
        """Expand the product of ``axes``, one axis per control point.

        Args:
            axes: Values of each control point.
            num_layers: Depth.
            decimals: Rounding of the multipliers; None for none.
            frame: Forced onto first and last layer.
            curve: What runs through the control points.
            difference: From multipliers (layers, schedules) to how far each schedule is from the
                reference.
        """
        grids = np.meshgrid(*(np.array(axis) for axis in axes), indexing="ij")
        points = np.stack([grid.ravel() for grid in grids])
        values = expand(points, num_layers, decimals=decimals, frame=frame, curve=curve)
        differences = difference(values)
        order = np.argsort(differences, kind="stable")
        self.points: Floats = points[:, order].T
        self.differences: Floats = differences[order]
        self._table, self._index = _tabled(values[:, order], decimals)
        self._ends = (float(self._table[0]), float(self._table[-1]))
        self._known: dict[tuple[int, int], Sums] = {}

    def reach(self, model_dim: int, divisor: int) -> tuple[int, int]:
        """What no sum is below and what none is above: rounding never reverses an order."""
        least, most = (make_divisible(model_dim * m, divisor) // divisor for m in self._ends)
        return least * len(self._index), most * len(self._index)

    def sums(self, model_dim: int, divisor: int) -> Sums:
        """The distinct sums for a width and a divisor, both in channels."""
        known = self._known.get((model_dim, divisor))
        if known is None:
            known = self._known[model_dim, divisor] = self._sums(model_dim, divisor)
        return known

    def _sums(self, model_dim: int, divisor: int) -> Sums:
        in_divisors = widths(model_dim * self._table, divisor)
        # The smallest type that holds the sum: reading the table is what takes the time.
        largest = int(in_divisors.max()) * len(self._index)
        kind = np.uint16 if largest < 2**16 else np.int64
        sums = in_divisors.astype(kind)[self._index].sum(axis=0, dtype=kind)
        least, most = int(sums.min()), int(sums.max())
        if most - least < max(4 * len(sums), 1024):
            shifted = (sums - kind(least)).astype(np.int64)
            counts = np.bincount(shifted)
            first = np.empty(len(counts), np.int64)
            # Written from the last to the first, so that the nearest to the reference stays.
            first[shifted[::-1]] = np.arange(len(sums) - 1, -1, -1)
            present = np.flatnonzero(counts)
            values, counts, first = present + least, counts[present], first[present]
        else:
            values, first, counts = np.unique(sums, return_index=True, return_counts=True)
        return Sums(values.astype(np.int64), counts, first, self.differences[first])


def _tabled(values: Floats, decimals: int | None) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The distinct multipliers, and for each entry of ``values`` its position among them.

    Rounded multipliers are whole numbers of hundredths (or so), which need no sorting.
    """
    if decimals is not None:
        scale = 10.0**decimals
        scaled = np.rint(values * scale)
        least, most = scaled.min(), scaled.max()
        if most - least < _MOST_TABLE_ENTRIES and np.array_equal(scaled / scale, values):
            table = (np.arange(int(most - least) + 1) + least) / scale
            return table, (scaled - least).astype(np.intp)
    table, index = np.unique(values, return_inverse=True)
    return table, index.reshape(values.shape)
