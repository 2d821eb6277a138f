"""Why nothing fits: which bound stands alone against the space, which bind, and what is nearest.

The search that found nothing is itself the proof that there is nothing. What a user needs next is
which bound to give up and by how much. So each bound in turn is left out and, among the designs
that keep to all the others, the one that comes nearest to it is found: the least relaxation of that
bound alone. A bound that need not be touched that way has no such design only if the others already
contradict each other.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from elmcfg.search.budgets import Bound, Conditions, Goal
from elmcfg.search.engine import Best, Design, Table, gap, rows_and_columns, tables
from elmcfg.search.question import Question

# Two digits each, from 1e-9 to 990 %.
_SHARES = [Fraction(n, 10**power) for power in range(10, 0, -1) for n in range(10, 100)]


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What one bound costs.

    Attributes:
        bound: The bound.
        least: Least value of its quantity in the whole space.
        most: Greatest value of its quantity in the whole space.
        impossible: Whether the bound alone, without any other, fits no design of the space.
        nearest: The design nearest to the bound among those that keep to all others; None where
            the others contradict each other.
        value: Its value of the bound's quantity.
    """

    bound: Bound
    least: Fraction
    most: Fraction
    impossible: bool
    nearest: Design | None
    value: Fraction | None


def given_up(question: Question, bound: Bound) -> tuple[Question, Goal]:
    """The question without one of its bounds, and the goal of coming near to that bound."""
    others = tuple(other for other in question.bounds if other is not bound)
    return replace(question, bounds=others), Goal(bound.quantity, 0, bound.least, bound.most)


def explain(question: Question) -> tuple[Relaxation, ...]:
    """What each of the bounds, which together no design of the space keeps to, costs.

    Args:
        question: What was searched, and what was to be kept to.

    Returns:
        One relaxation per bound, in their order; empty if the rule excludes every shape.
    """
    bounds, conditions = question.bounds, question.conditions
    without = [Best(*given_up(question, bound)) for bound in bounds]
    alone = [Best(replace(question, bounds=(bound,)), None) for bound in bounds]
    ranges: list[tuple[Fraction, Fraction] | None] = [None] * len(bounds)
    for table in tables(question.space, question.reference):
        if not question.rule(table.shape):
            continue
        for i, bound in enumerate(bounds):
            least, most = table.between(bound.quantity, conditions)
            missed = gap(bound, least, most)
            # What cannot come nearer than what is known need not be looked at.
            if float(missed) <= without[i].score:
                without[i].add(table)
            if not (missed or alone[i].feasible):
                alone[i].add(table)
            known = ranges[i]
            if known is None or least < known[0] or most > known[1]:
                ranges[i] = _widened(known, table, bound, conditions)
    return tuple(
        _relaxation(bound, conditions, reached, best, single.feasible == 0)
        for bound, reached, best, single in zip(bounds, ranges, without, alone, strict=True)
        if reached is not None
    )


def least_tolerance(
    tolerance: Fraction,
    bounds_at: Callable[[Fraction], tuple[Bound, ...]],
    fits: Callable[[tuple[Bound, ...]], bool],
    designs: Sequence[Mapping[str, Fraction]] = (),
) -> Fraction | None:
    """Return the least tolerance of the targets with which a design fits.

    Args:
        tolerance: One with which none does.
        bounds_at: The bounds that a tolerance makes.
        fits: Whether a design keeps to such bounds.
        designs: Costs of designs that are known, by quantity.

    Returns:
        A share of two digits, rounded up; None where no tolerance up to 1,000 % helps.
    """
    shares = [share for share in _SHARES if share > tolerance]

    def enough(share: Fraction) -> bool:
        bounds = bounds_at(share)
        known = any(all(b.holds(costs[b.quantity.name]) for b in bounds) for costs in designs)
        return known or fits(bounds)

    first = bisect.bisect_left(shares, True, key=enough)
    return shares[first] if first < len(shares) else None


def _widened(
    known: tuple[Fraction, Fraction] | None, table: Table, bound: Bound, conditions: Conditions
) -> tuple[Fraction, Fraction]:
    """A range of values, with those of one more shape in it."""
    form = bound.quantity.form(table.shape, conditions)
    rows, columns = rows_and_columns(table, form)
    low = (int(rows[0]) + int(columns[0])) * form.scale
    high = (int(rows[-1]) + int(columns[-1])) * form.scale
    return (low, high) if known is None else (min(known[0], low), max(known[1], high))


def _relaxation(
    bound: Bound,
    conditions: Conditions,
    reached: tuple[Fraction, Fraction],
    best: Best,
    impossible: bool,
) -> Relaxation:
    nearest = next(iter(best.ranked(1)), None)
    value = None if nearest is None else nearest.cost(bound.quantity, conditions)
    return Relaxation(bound, *reached, impossible, nearest, value)
