"""The exact front of a space: every trade-off between two or three costs that nothing beats.

A design is on the front when no other is at least as good in every cost and better in one. Designs
with the same costs are one trade-off: they are counted, and the one least different from the
reference stands for them. With everything minimised the smallest model would beat all others, so
parameters count as better the more there are, unless ``min:params`` says otherwise.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from elmcfg.search.budgets import Conditions, Quantity, quantity
from elmcfg.search.engine import Best, Design, Result, Table, rows_and_columns, tables
from elmcfg.search.halves import Floats, Integers
from elmcfg.search.question import Question

_BATCH = 400_000
_SIEVE = 512


@dataclass(frozen=True, slots=True)
class Axis:
    """A cost and which way is better: ``sense`` 1 for more, -1 for less."""

    quantity: Quantity
    sense: int


def axes(text: str) -> tuple[Axis, ...]:
    """``params,kv-cache`` or ``min:params,max:kv-cache``.

    Raises:
        ValueError: If there are not two or three different costs.
    """
    found = []
    for part in text.split(","):
        way, _, name = part.strip().rpartition(":")
        if way not in ("", "min", "max"):
            raise ValueError(f"{part!r}: write min:{name} or max:{name}")
        known = quantity(name)
        more = known.more_is_better if not way else way == "max"
        found.append(Axis(known, 1 if more else -1))
    if not 2 <= len({axis.quantity.name for axis in found}) == len(found) <= 3:
        raise ValueError(f"{text!r}: a trade-off is between two or three different costs")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Front:
    """The front of a space.

    Attributes:
        axes: The costs, and which way each is better.
        designs: One for each trade-off, best first in the first cost.
        counts: Designs that have each trade-off.
        result: What was searched; its ``designs`` are these.
    """

    axes: tuple[Axis, ...]
    designs: tuple[Design, ...]
    counts: tuple[int, ...]
    result: Result

    @property
    def ways(self) -> str:
        """Which way each cost counts as better: ``most params, least kv-cache``."""
        return ", ".join(
            f"{'most' if a.sense > 0 else 'least'} {a.quantity.name}" for a in self.axes
        )


@dataclass
class _Points:
    """Trade-offs found so far: costs (points, axes), less is better, and what has them."""

    costs: Floats
    counts: Integers
    differences: Floats
    owners: Integers
    """Table, row and position of the design kept, (points, 3)."""

    def __getitem__(self, which: Integers) -> _Points:
        return _Points(
            self.costs[which], self.counts[which], self.differences[which], self.owners[which]
        )

    @classmethod
    def together(cls, parts: Sequence[_Points]) -> _Points:
        """All of them."""
        return cls(
            np.concatenate([p.costs for p in parts]),
            np.concatenate([p.counts for p in parts]),
            np.concatenate([p.differences for p in parts]),
            np.concatenate([p.owners for p in parts]),
        )


@dataclass
class _Collector:
    axes: tuple[Axis, ...]
    conditions: Conditions
    bounds: Best
    kept: _Points
    waiting: list[_Points] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)
    number: int = 0
    sieve: _Sieve = field(default_factory=lambda: _Sieve(np.empty((0, 0))))

    def add(self, table: Table) -> None:
        """The trade-offs of one shape that the front so far does not beat."""
        first, end = self.bounds.window(table)
        spans = table.ffn.counts_below[end] - table.ffn.counts_below[first]
        self.bounds.feasible += int((table.attention.counts * spans).sum())
        rows = np.flatnonzero(first < end)
        if len(rows):
            found = self.sieve(self._points(table, rows, first, end))
            self.tables[self.number] = table
            self.waiting.append(found)
            if sum(len(points.counts) for points in self.waiting) > _BATCH:
                self.merge()
        self.number += 1

    def merge(self) -> None:
        """Only what nothing beats."""
        self.kept = nondominated(_Points.together([self.kept, *self.waiting]))
        self.sieve = _Sieve(self.kept.costs)
        self.waiting = []
        used = set(self.kept.owners[:, 0].tolist())
        self.tables = {number: table for number, table in self.tables.items() if number in used}

    def _points(self, table: Table, rows: Integers, first: Integers, end: Integers) -> _Points:
        forms = [axis.quantity.form(table.shape, self.conditions) for axis in self.axes]
        slopes = [
            -axis.sense * form.per_ffn_unit for axis, form in zip(self.axes, forms, strict=True)
        ]
        counts = None
        if all(slope <= 0 for slope in slopes) or all(slope >= 0 for slope in slopes):
            # In a row the costs rise together, so one end beats the rest; or none of them moves.
            if any(slopes):
                positions = first[rows] if max(slopes) > 0 else end[rows] - 1
            else:
                positions = table.ffn.least_between(first[rows], end[rows])
                below = table.ffn.counts_below
                counts = below[end[rows]] - below[first[rows]]
        else:
            lengths = (end - first)[rows]
            starts = np.repeat(first[rows] - np.cumsum(lengths) + lengths, lengths)
            positions = np.arange(lengths.sum()) + starts
            rows = np.repeat(rows, lengths)
        costs = np.empty((len(rows), len(self.axes)))
        for i, (axis, form) in enumerate(zip(self.axes, forms, strict=True)):
            by_row, by_column = rows_and_columns(table, form)
            costs[:, i] = (by_row[rows] + by_column[positions]) * (-axis.sense * float(form.scale))
        spans = table.ffn.counts[positions] if counts is None else counts
        return _Points(
            costs,
            table.attention.counts[rows] * spans,
            table.difference + table.attention.differences[rows] + table.ffn.differences[positions],
            np.stack([np.full(len(rows), self.number), rows, positions], axis=1),
        )


class _Sieve:
    """Tells cheaply that a point is beaten by a front: of most that are, not of all.

    For a net of thresholds of all costs but the last it holds the least last cost that the front
    has within them; a point whose last cost is above that is beaten.
    """

    def __init__(self, front: Floats) -> None:
        self._edges = []
        least = np.full((), np.inf)
        if len(front):
            cells = []
            for column in front.T[:-1]:
                edges = np.unique(column)
                edges = edges[:: max(1, len(edges) // _SIEVE)]
                self._edges.append(edges)
                # A point of the front is within the first threshold that is not below it.
                cells.append(np.searchsorted(edges, column, "left"))
            least = np.full([len(edges) + 1 for edges in self._edges], np.inf)
            np.minimum.at(least, tuple(cells), front[:, -1])
            for dimension in range(least.ndim):
                least = np.minimum.accumulate(least, axis=dimension)
        self._least = least

    def __call__(self, points: _Points) -> _Points:
        """The points not told to be beaten."""
        cells = [
            np.searchsorted(edges, column, "right") - 1
            for edges, column in zip(self._edges, points.costs.T[:-1], strict=False)
        ]
        if not cells:
            return points
        within = np.minimum.reduce(cells) >= 0
        rivals = self._least[tuple(np.maximum(cell, 0) for cell in cells)]
        return points[np.flatnonzero(~within | (rivals >= points.costs[:, -1]))]


def nondominated(points: _Points) -> _Points:
    """What no other beats, equal costs together, in ascending order of the costs."""
    keys = (points.owners[:, 0], points.differences, *points.costs.T[::-1])
    points = points[np.lexsort(keys)]
    costs = points.costs
    starts = np.flatnonzero(np.r_[True, (costs[1:] != costs[:-1]).any(axis=1)][: len(costs)])
    counts = np.add.reduceat(points.counts, starts) if len(starts) else points.counts
    points = points[starts]
    points.counts = counts
    if points.costs.shape[1] == 2:
        second = points.costs[:, 1]
        least_before = np.minimum.accumulate(np.r_[np.inf, second])[: len(second)]
        return points[np.flatnonzero(second < least_before)]
    return points[np.array(_sweep(points.costs), dtype=np.int64)]


def _sweep(costs: Floats) -> list[int]:
    """Three costs: in ascending order of the first, a staircase of the other two."""
    seconds: list[float] = []
    thirds: list[float] = []
    kept = []
    for i, (_, second, third) in enumerate(costs.tolist()):
        place = bisect.bisect_right(seconds, second)
        if place and thirds[place - 1] <= third:
            continue
        kept.append(i)
        start = place - 1 if place and seconds[place - 1] == second else place
        stop = start
        while stop < len(thirds) and thirds[stop] >= third:
            stop += 1
        seconds[start:stop] = [second]
        thirds[start:stop] = [third]
    return kept


def front(question: Question, axes: Sequence[Axis]) -> Front:
    """All trade-offs of a space that nothing beats.

    Args:
        question: What to search, and what to keep to. Of several designs with the same costs, the
            most like its reference is given.
        axes: Two or three costs.

    Raises:
        ValueError: If a cost leaves the range of 64-bit integers.
    """
    started = time.perf_counter()
    nothing = _Points(
        np.empty((0, len(axes))),
        np.empty(0, np.int64),
        np.empty(0),
        np.empty((0, 3), np.int64),
    )
    collector = _Collector(tuple(axes), question.conditions, Best(question, None), nothing)
    examined = 0
    for table in tables(question.space, question.reference):
        examined += table.designs
        if question.rule(table.shape):
            collector.add(table)
    collector.merge()
    kept = collector.kept
    designs = tuple(
        collector.tables[number].design(row, position)
        for number, row, position in kept.owners.tolist()
    )
    result = Result(designs, examined, collector.bounds.feasible, time.perf_counter() - started)
    return Front(tuple(axes), designs, tuple(kept.counts.tolist()), result)


def spread(found: Front, conditions: Conditions, count: int) -> list[Design]:
    """Some designs of a front, as far from each other as may be, in the front's order.

    The ends of the front first, then always the one farthest from all taken, with each cost scaled
    to its range on the front.

    Args:
        found: A front.
        conditions: What its costs assumed.
        count: How many; all of them where the front has no more.
    """
    designs = found.designs
    if len(designs) <= count:
        return list(designs)
    costs = np.array([[float(d.cost(a.quantity, conditions)) for a in found.axes] for d in designs])
    ranges = np.ptp(costs, axis=0)
    costs = (costs - costs.min(axis=0)) / np.where(ranges > 0, ranges, 1)
    taken = [0]
    distances = np.linalg.norm(costs - costs[0], axis=1)
    while len(taken) < count:
        taken.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(costs - costs[taken[-1]], axis=1))
    return [designs[i] for i in sorted(taken)]
