"""The exact search: the two halves of every design, met in the middle.

For one :class:`~elmcfg.search.budgets.Shape` the attention half has some dozen distinct sums and
the feed-forward half some hundred, both ascending. With one attention sum fixed, each bound leaves
a stretch of the feed-forward sums, found by bisection; the counts in that stretch are the feasible
designs, and its ends or its least different entry hold the best. So every design is counted and
none is looked at twice.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np

from elmcfg.search.budgets import Bound, Conditions, Goal, Linear, Quantity, Shape, outside
from elmcfg.search.halves import Floats, Integers, Schedules, Sums
from elmcfg.search.question import Question
from elmcfg.search.reference import RELEASED, Reference, of_schedules

if TYPE_CHECKING:
    from elmcfg.search.space import Space

_LARGEST = 2**62
TOO_LARGE = "the figures are too large: take a shorter context or a smaller batch"


@dataclass(frozen=True, slots=True)
class Design:
    """One point of a space.

    Attributes:
        shape: All but the schedules.
        qkv: Control points of the QKV schedule.
        ffn: Control points of the FFN schedule.
        kv_heads: KV heads of all layers together.
        ffn_units: Feed-forward divisors of all layers together.
        difference: From the reference; see :mod:`elmcfg.search.reference`.
    """

    shape: Shape
    qkv: tuple[float, ...]
    ffn: tuple[float, ...]
    kv_heads: int
    ffn_units: int
    difference: float

    def cost(self, quantity: Quantity, conditions: Conditions) -> Fraction:
        """One of its costs, in the quantity's unit."""
        return quantity.value(self.shape, conditions, self.kv_heads, self.ffn_units)


class Half(Protocol):
    """What a table needs to know of one half."""

    @property
    def points(self) -> Floats:
        """Control points, shape (schedules, points per schedule)."""

    def sums(self, model_dim: int, divisor: int) -> Sums:
        """The distinct sums for a width and a divisor, both in channels."""

    def reach(self, model_dim: int, divisor: int) -> tuple[int, int]:
        """What no sum is below and what none is above."""


@dataclass(frozen=True, slots=True)
class Table:
    """Every design of one shape: any attention sum goes with any feed-forward sum."""

    shape: Shape
    attention_schedules: Half
    ffn_schedules: Half
    difference: float

    @property
    def attention(self) -> Sums:
        """KV heads of all layers together."""
        s = self.shape
        return self.attention_schedules.sums(s.model_dim, s.head_dim * s.queries_per_kv_head)

    @property
    def ffn(self) -> Sums:
        """Feed-forward divisors of all layers together."""
        return self.ffn_schedules.sums(self.shape.model_dim, self.shape.divisor)

    @property
    def designs(self) -> int:
        """Designs of this shape."""
        return len(self.attention_schedules.points) * len(self.ffn_schedules.points)

    def between(self, quantity: Quantity, conditions: Conditions) -> tuple[Fraction, Fraction]:
        """What no design is below and none is above: told by the ends of both halves alone."""
        s = self.shape
        heads = self.attention_schedules.reach(s.model_dim, s.head_dim * s.queries_per_kv_head)
        units = self.ffn_schedules.reach(s.model_dim, s.divisor)
        form = quantity.form(s, conditions)
        least, most = (
            (form.base + form.per_kv_head * k + form.per_ffn_unit * u) * form.scale
            for k, u in zip(heads, units, strict=True)
        )
        return least, most

    def may_fit(self, bounds: Sequence[Bound], conditions: Conditions) -> bool:
        """False if plainly no design keeps to the bounds."""
        return not any(gap(b, *self.between(b.quantity, conditions)) for b in bounds)

    def design(self, row: int, position: int) -> Design:
        """The design kept for one attention sum and one feed-forward sum."""
        a, f = self.attention, self.ffn
        qkv = self.attention_schedules.points[a.schedules[row]]
        ffn = self.ffn_schedules.points[f.schedules[position]]
        return Design(
            shape=self.shape,
            qkv=tuple(qkv.tolist()),
            ffn=tuple(ffn.tolist()),
            kv_heads=int(a.values[row]),
            ffn_units=int(f.values[position]),
            difference=self.difference + float(a.differences[row] + f.differences[position]),
        )


def gap(bound: Bound, least: Fraction, most: Fraction) -> Fraction:
    """How far an interval is outside a bound."""
    return outside(bound.least, bound.most, least, most)


def tables(space: Space, reference: Reference = RELEASED) -> Iterator[Table]:
    """Every shape of a space with its halves, in ascending order."""

    def schedules(half: str, depth: int) -> Schedules:
        qkv = half == "qkv"
        options = space.schedule
        wanted = reference.qkv if qkv else reference.ffn
        return Schedules(
            space.qkv if qkv else space.ffn,
            depth,
            decimals=options.decimals,
            frame=options.frame_qkv_multiplier if qkv else options.frame_ffn_multiplier,
            curve=options.curve,
            difference=lambda values: of_schedules(values, wanted),
        )

    last = 0
    for depth, width in space.shapes():
        if depth != last:
            attention_schedules, ffn_schedules = schedules("qkv", depth), schedules("ffn", depth)
            last = depth
        for head_dim, groups, divisor in itertools.product(
            space.head_dims, space.queries_per_kv_head, space.divisors
        ):
            shape = Shape(depth, width, head_dim, groups, divisor)
            yield Table(shape, attention_schedules, ffn_schedules, reference.of_shape(shape))


def rows_and_columns(table: Table, form: Linear) -> tuple[Integers, Integers]:
    """A cost, unscaled, as what each attention sum and what each feed-forward sum adds.

    Raises:
        ValueError: If it leaves the range of 64-bit integers.
    """
    most = form.base + form.per_kv_head * int(table.attention.values[-1])
    if most + form.per_ffn_unit * int(table.ffn.values[-1]) > _LARGEST:
        raise ValueError(TOO_LARGE)
    return form.base + form.per_kv_head * table.attention.values, (
        form.per_ffn_unit * table.ffn.values
    )


def stretch(
    table: Table, form: Linear, least: Fraction | None, most: Fraction | None
) -> tuple[Integers, Integers]:
    """For each attention sum, the positions (first, end) that keep a cost in an interval."""
    rows, columns = rows_and_columns(table, form)
    size = len(columns)
    first, end = np.zeros(len(rows), np.int64), np.full(len(rows), size, np.int64)
    if least is not None:
        wanted = _clipped(-((-least / form.scale) // 1)) - rows
        first = (
            np.searchsorted(columns, wanted, "left")
            if form.per_ffn_unit
            else np.where(wanted > 0, size, 0)
        )
    if most is not None:
        wanted = _clipped((most / form.scale) // 1) - rows
        end = (
            np.searchsorted(columns, wanted, "right")
            if form.per_ffn_unit
            else np.where(wanted < 0, 0, size)
        )
    return first, end


def _clipped(value: int) -> int:
    return max(-_LARGEST, min(_LARGEST, value))


class Best:
    """The best design of each shape, and how many designs keep to the bounds."""

    def __init__(self, question: Question, goal: Goal | None) -> None:
        """What to keep to and what to look for.

        Args:
            question: Whose bounds must hold.
            goal: What makes a design the best; None for being like the reference.
        """
        self.bounds, self.goal, self.conditions = question.bounds, goal, question.conditions
        self.feasible = 0
        self.score = float("inf")
        """The best so far, as distance from the goal: less is better."""
        self._found: list[tuple[float | Fraction, float, int, Table, int, int]] = []

    def add(self, table: Table) -> None:
        """Search one shape."""
        if not table.may_fit(self.bounds, self.conditions):
            return
        first, end = self.window(table)
        spans = table.ffn.counts_below[end] - table.ffn.counts_below[first]
        self.feasible += int((table.attention.counts * spans).sum())
        rows = np.flatnonzero(first < end)
        if len(rows):
            self._keep(table, rows, first[rows], end[rows])

    def window(self, table: Table) -> tuple[Integers, Integers]:
        """For each attention sum, the feed-forward sums (first, end) that keep to every bound."""
        first = np.zeros(len(table.attention.values), np.int64)
        end = np.full(len(first), len(table.ffn.values), np.int64)
        for bound in self.bounds:
            form = bound.quantity.form(table.shape, self.conditions)
            low, high = stretch(table, form, bound.least, bound.most)
            first, end = np.maximum(first, low), np.minimum(end, high)
        return first, np.maximum(first, end)

    def _keep(self, table: Table, rows: Integers, first: Integers, end: Integers) -> None:
        goal = self.goal
        score: float | Fraction
        if goal is None:
            positions = table.ffn.least_between(first, end)
            differences = table.attention.differences[rows] + table.ffn.differences[positions]
            i = int(np.argmin(differences))
            score = float(differences[i]) + table.difference
        else:
            form = goal.quantity.form(table.shape, self.conditions)
            positions = self._nearest(table, form, goal, rows, first, end)
            differences = table.attention.differences[rows] + table.ffn.differences[positions]
            by_row, by_column = rows_and_columns(table, form)
            score, alike = _nearest_sums(by_row[rows] + by_column[positions], form, goal)
            i = int(alike[np.argmin(differences[alike])])
        difference = float(differences[i]) + table.difference
        found = (score, difference, len(self._found), table, int(rows[i]), int(positions[i]))
        self._found.append(found)
        self.score = min(self.score, float(score))

    def _nearest(
        self,
        table: Table,
        form: Linear,
        goal: Goal,
        rows: Integers,
        first: Integers,
        end: Integers,
    ) -> Integers:
        """In each row the best position."""
        if not form.per_ffn_unit:
            return table.ffn.least_between(first, end)
        if goal.sense:
            return first if goal.sense < 0 else end - 1
        return self._around(table, form, goal, rows, first, end)

    def _around(
        self,
        table: Table,
        form: Linear,
        goal: Goal,
        rows: Integers,
        first: Integers,
        end: Integers,
    ) -> Integers:
        """The least different position inside the goal's interval, or else the nearer neighbour."""
        low, high = stretch(table, form, goal.least, goal.most)
        inner_first = np.clip(low[rows], first, end)
        inner_end = np.clip(high[rows], first, end)
        below, above = np.maximum(inner_first - 1, first), np.minimum(inner_first, end - 1)
        by_row, by_column = rows_and_columns(table, form)
        likelier = table.ffn.differences[above] < table.ffn.differences[below]
        upward = likelier
        if goal.least is not None and goal.most is not None:
            # As far below as above the interval: the two values add up to its ends.
            ends = (goal.least + goal.most) / form.scale
            both = 2 * by_row[rows] + by_column[below] + by_column[above]
            even = (both == int(ends)) & (ends.denominator == 1)
            upward = (both < -(-ends // 1)) | (even & likelier)
        positions = np.where(upward, above, below)
        inside = inner_first < inner_end
        positions[inside] = table.ffn.least_between(inner_first[inside], inner_end[inside])
        return positions

    def ranked(self, most: int) -> list[Design]:
        """The best design of each of the best shapes, best first."""
        return [t.design(row, position) for *_, t, row, position in sorted(self._found)[:most]]


def _nearest_sums(sums: Integers, form: Linear, goal: Goal) -> tuple[Fraction, Integers]:
    """How far the best of some costs, unscaled, is from a goal, and where those as good are."""
    if goal.sense:
        extreme = sums.min() if goal.sense < 0 else sums.max()
        return goal.badness(int(extreme) * form.scale), np.flatnonzero(sums == extreme)
    # Around one end of the interval: the last one up to it, and the first one beyond.
    end = goal.most if goal.least is None else goal.least
    middle = _LARGEST if end is None else _clipped(end / form.scale // 1)
    below, above = sums[sums <= middle], sums[sums > middle]
    likely = [int(below.max())] if len(below) else []
    likely += [int(above.min())] if len(above) else []
    best = min(goal.badness(each * form.scale) for each in likely)
    alike = np.full(len(sums), True)
    if goal.least is not None:
        alike &= sums >= _clipped(-((best - goal.least) / form.scale // 1))
    if goal.most is not None:
        alike &= sums <= _clipped((goal.most + best) / form.scale // 1)
    return best, np.flatnonzero(alike)


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found.

    Attributes:
        designs: The best design of each of the best shapes, best first; empty if nothing fits.
        examined: Designs in the space; None where nobody counted them, as of free lists.
        feasible: Of those, the ones that keep to every bound and rule; likewise.
        seconds: How long it took.
        proven: Whether the first design is the optimum, and no design the proof that none fits.
        bound: If not, what no design is better than, in the goal's unit or as a difference.
    """

    designs: tuple[Design, ...]
    examined: int | None
    feasible: int | None
    seconds: float
    proven: bool = True
    bound: float | None = None


def search(question: Question, goal: Goal | None = None, *, candidates: int = 1) -> Result:
    """Search a space, all of it.

    Args:
        question: What to search, and what to keep to.
        goal: What makes a design the best; None for being like the reference, which also decides
            between equals. What is still equal goes to the smaller depth, width and so on.
        candidates: Designs to return, each of another shape.

    Raises:
        ValueError: If a cost leaves the range of 64-bit integers.
    """
    started = time.perf_counter()
    best = Best(question, goal)
    examined = 0
    for table in tables(question.space, question.reference):
        examined += table.designs
        if question.rule(table.shape):
            best.add(table)
    return Result(
        tuple(best.ranked(candidates)), examined, best.feasible, time.perf_counter() - started
    )
