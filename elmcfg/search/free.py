"""Free lists: each layer's KV heads and feed-forward width chosen on their own, by CP-SAT.

A free list has no half to tabulate: 16 layers of 20 widths are 10^20 lists. CP-SAT (Google's
OR-tools, https://developers.google.com/optimization/cp/cp_solver) searches them exactly, one shape
at a time. Which shapes it is given, and in which order, a relaxation says: every sum of KV heads
and of divisors between the least and the greatest can be had. No list of a shape is better than
its relaxation, so once the next shape's is worse than what was found, that is the optimum; and a
space of which no relaxation keeps to the bounds holds nothing, which needs no solver.

One worker, a fixed seed, and a limit counted in the solver's own work and not on a clock: the same
question has the same answer, also where the limit ends the search.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from elmcfg.geometry import make_divisible, shortest_multiplier
from elmcfg.search.budgets import Bound, Goal, Linear, Shape
from elmcfg.search.engine import TOO_LARGE, Best, Design, Result, Table
from elmcfg.search.halves import Floats, Integers, Sums
from elmcfg.search.infeasible import Relaxation, given_up
from elmcfg.search.question import Question
from elmcfg.search.reference import differences
from elmcfg.search.space import Free

TIME_LIMIT = 60.0
"""Seconds of the solver's work; about those of a clock, but the same on every machine."""

_OPEN = 2**62
# Differences are whole numbers to the solver: millionths, summed over the layers.
_FINE = 1_000_000


class SolverMissingError(ValueError):
    """OR-tools is not installed."""


def _cp_model() -> Any:
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise SolverMissingError(
            "free lists need OR-tools: pip install 'elmcfg[solver]' (or pip install ortools)"
        ) from None
    return cp_model


@dataclass(frozen=True)
class Choices:
    """One half of a free design: the widths that a layer may have, in divisors, ascending."""

    choices: Integers
    layers: int

    @property
    def points(self) -> Floats:
        """No list is tabulated."""
        return np.empty((0, self.layers))

    def reach(self, model_dim: int, divisor: int) -> tuple[int, int]:
        """Least and greatest sum over the layers."""
        return int(self.choices[0]) * self.layers, int(self.choices[-1]) * self.layers

    def sums(self, model_dim: int, divisor: int) -> Sums:
        """The relaxation: every sum from the least to the greatest."""
        least, most = self.reach(model_dim, divisor)
        values = np.arange(least, most + 1)
        nothing = np.zeros(len(values), np.int64)
        return Sums(values, nothing + 1, nothing, nothing.astype(np.float64))


@dataclass(frozen=True)
class _Shape:
    """A shape with what each layer may be, and how much that differs from the reference."""

    shape: Shape
    heads: Choices
    units: Choices
    heads_cost: Floats
    units_cost: Floats
    difference: float

    @property
    def least_difference(self) -> float:
        costs = (self.heads_cost, self.units_cost)
        return self.difference + sum(float(c.min(axis=1).mean()) for c in costs)

    def relaxed(self, best: Best, goal: Goal | None) -> tuple[float, float] | None:
        """What no list is better than: score and difference; None if none keeps to the bounds."""
        best.add(Table(self.shape, self.heads, self.units, self.difference))
        if best.score == float("inf"):
            return None
        least = self.least_difference
        return (least if goal is None else best.score), least


def _half(
    axis: Sequence[float], step: int, shape: Shape, wanted: Sequence[float]
) -> tuple[Choices, Floats]:
    """What a layer may be, and how much each differs from a schedule, (layers, choices)."""
    width = shape.model_dim
    choices = np.array(sorted({make_divisible(width * m, step) // step for m in axis}))
    effective = np.repeat(choices[None, :] * (step / width), shape.layers, axis=0)
    return Choices(choices, shape.layers), differences(effective, wanted)


def _shapes(question: Question) -> list[_Shape]:
    space, reference = question.space, question.reference
    found = []
    for (depth, width), head_dim, groups, divisor in itertools.product(
        space.shapes(), space.head_dims, space.queries_per_kv_head, space.divisors
    ):
        shape = Shape(depth, width, head_dim, groups, divisor)
        if not question.rule(shape):
            continue
        heads, heads_cost = _half(space.qkv[0], head_dim * groups, shape, reference.qkv)
        units, units_cost = _half(space.ffn[0], divisor, shape, reference.ffn)
        difference = reference.of_shape(shape)
        found.append(_Shape(shape, heads, units, heads_cost, units_cost, difference))
    return found


@dataclass
class _Solver:
    """CP-SAT, with what is left of the limit."""

    cp_model: Any
    left: float
    stopped: bool = False
    least: float = 0.0
    """What the last objective is proven not to be below."""

    def minimise(self, model: Any, objective: Any) -> Any:
        """The solver after its run; None if it found nothing.

        Raises:
            KeyboardInterrupt: If it was interrupted.
            ValueError: If the figures leave the range of 64-bit integers.
        """
        cp_model = self.cp_model
        model.minimize(objective)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_deterministic_time = max(self.left, 1e-3)
        # Left to itself the solver takes Ctrl-C as its limit; Python sees it only where it waits.
        solver.parameters.catch_sigint_signal = False
        with ThreadPoolExecutor(1) as beside:
            try:
                status = beside.submit(solver.solve, model).result()
            except KeyboardInterrupt:
                solver.stop_search()
                raise
        self.left -= solver.response_proto.deterministic_time
        self.least = solver.best_objective_bound
        if status == cp_model.MODEL_INVALID:
            raise ValueError(TOO_LARGE)
        self.stopped = status in (cp_model.FEASIBLE, cp_model.UNKNOWN)
        return solver if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None


@dataclass
class _Model:
    """The lists of one shape as CP-SAT sees them: one of the choices per layer and half."""

    cp_model: Any
    of: _Shape
    free: Free
    model: Any = field(init=False)
    heads: list[Any] = field(init=False)
    units: list[Any] = field(init=False)
    difference: Any = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.cp_model.CpModel()
        self.difference = 0
        jump, divisor = self.free.max_ffn_jump, self.of.shape.divisor
        self.heads = self._half(self.of.heads, self.of.heads_cost, self.free.max_kv_head_jump)
        self.units = self._half(
            self.of.units, self.of.units_cost, None if jump is None else jump // divisor
        )

    def _half(self, half: Choices, cost: Floats, jump: int | None) -> list[Any]:
        """A variable per layer that is one of the choices, in order and without jumps."""
        values = half.choices.tolist()
        layers = []
        for row in np.rint(cost * _FINE).astype(np.int64).tolist():
            chosen = [self.model.new_bool_var("") for _ in values]
            self.model.add_exactly_one(chosen)
            layer = self.model.new_int_var(values[0], values[-1], "")
            self.model.add(layer == sum(v * c for v, c in zip(values, chosen, strict=True)))
            self.difference += sum(w * c for w, c in zip(row, chosen, strict=True))
            layers.append(layer)
        least = -_OPEN if jump is None else -jump
        most = _OPEN if jump is None else jump
        if self.free.order == "rising":
            least = 0
        elif self.free.order == "falling":
            most = 0
        for a, b in itertools.pairwise(layers):
            self.model.add_linear_constraint(b - a, least, most)
        return layers

    def amount(self, form: Linear) -> Any:
        """A cost, unscaled."""
        return form.base + form.per_kv_head * sum(self.heads) + form.per_ffn_unit * sum(self.units)

    def keep(self, form: Linear, least: Fraction | None, most: Fraction | None) -> None:
        """Hold a cost in an interval."""
        if form.per_kv_head or form.per_ffn_unit:  # else the relaxation has told
            low, high = _whole(form, least, most)
            self.model.add_linear_constraint(self.amount(form), low, high)

    def objective(self, form: Linear, goal: Goal) -> Any:
        """What is to be least, unscaled."""
        if goal.sense:
            return -goal.sense * self.amount(form)
        low, high = _whole(form, goal.least, goal.most)
        sums = (half.reach(0, 0)[1] for half in (self.of.heads, self.of.units))
        largest = form.base + sum(each * most for each, most in zip(form[1:3], sums, strict=True))
        ends = [abs(end) for end in (low, high) if abs(end) < _OPEN]
        outside = self.model.new_int_var(0, largest + max(ends), "")
        if goal.least is not None:
            self.model.add(outside >= low - self.amount(form))
        if goal.most is not None:
            self.model.add(outside >= self.amount(form) - high)
        return outside


def _whole(form: Linear, least: Fraction | None, most: Fraction | None) -> tuple[int, int]:
    """An interval in the form's unscaled whole numbers.

    Raises:
        ValueError: If it begins beyond what the solver can count to.
    """
    low = -_OPEN if least is None else max(-_OPEN, ceil(least / form.scale))
    high = _OPEN if most is None else min(_OPEN, floor(most / form.scale))
    if low > _OPEN:
        raise ValueError(f"free lists are searched up to {float(_OPEN * form.scale):.1e}; ask less")
    return low, high


def search(
    question: Question, goal: Goal | None = None, *, time_limit: float = TIME_LIMIT
) -> Result:
    """Search the free lists of a space.

    Args:
        question: What to search, a space with ``free``, and what to keep to.
        goal: What makes a design the best; None for being like the reference, which also decides
            between equals, to a millionth.
        time_limit: Seconds of the solver's work.

    Returns:
        The best design, alone. ``proven`` says whether it is the optimum (or, where there is none,
        whether there is none); if not, no design's score is below ``bound``
        (the goal's value, less being better, or the difference).

    Raises:
        SolverMissingError: If OR-tools is not installed.
        ValueError: If a cost leaves the range of 64-bit integers.
    """
    started = time.perf_counter()
    free = question.space.free
    assert free is not None
    waiting = []
    for number, of in enumerate(_shapes(question)):
        relaxed = of.relaxed(Best(question, goal), goal)
        if relaxed is not None:
            waiting.append((*relaxed, number, of))
    waiting.sort(key=lambda entry: entry[:3])
    best: tuple[float, float, Design] | None = None
    unproven: list[float] = []
    solver = _Solver(_cp_model(), time_limit) if waiting else None
    for score, difference, _, of in waiting:
        if best is not None and (score, difference) >= best[:2]:
            break
        assert solver is not None
        if solver.stopped or solver.left <= 0:
            unproven.append(score)
            break
        found = _solve(solver, _Model(solver.cp_model, of, free), question, goal)
        if found is not None and (best is None or found[:2] < best[:2]):
            best = found
        if solver.stopped:
            unproven.append(max(score, solver.least))
    return Result(
        designs=() if best is None else (best[2],),
        examined=None,
        feasible=None,
        seconds=time.perf_counter() - started,
        proven=not unproven,
        bound=_bound(unproven, goal),
    )


def _bound(unproven: Sequence[float], goal: Goal | None) -> float | None:
    if not unproven:
        return None
    return min(unproven) * (-goal.sense if goal and goal.sense else 1)


def _solve(
    solver: _Solver, model: _Model, question: Question, goal: Goal | None
) -> tuple[float, float, Design] | None:
    """The best lists of one shape, with score and difference; None if there are none."""
    of, conditions = model.of, question.conditions
    for bound in question.bounds:
        model.keep(bound.quantity.form(of.shape, conditions), bound.least, bound.most)
    if goal is not None:
        form = goal.quantity.form(of.shape, conditions)
        objective = model.objective(form, goal)
        done = solver.minimise(model.model, objective)
        solver.least *= float(form.scale)
        if done is None:
            return None
        reached = int(done.value(objective))
        score = float(reached * form.scale)
        if solver.stopped:
            return score, *_read(model, done)
        model.model.add(objective <= reached)
        first = _read(model, done)
        done = solver.minimise(model.model, model.difference)
        solver.least = score
        return score, *(first if done is None else _read(model, done))
    done = solver.minimise(model.model, model.difference)
    solver.least = solver.least / (_FINE * of.shape.layers) + of.difference
    if done is None:
        return None
    difference, design = _read(model, done)
    return difference, difference, design


def _read(model: _Model, solved: Any) -> tuple[float, Design]:
    """The difference and the design that the solver found."""
    of, s = model.of, model.of.shape
    heads = [int(solved.value(v)) for v in model.heads]
    units = [int(solved.value(v)) for v in model.units]
    difference = of.difference + sum(
        float(cost[np.arange(s.layers), np.searchsorted(half.choices, widths)].mean())
        for half, cost, widths in (
            (of.heads, of.heads_cost, heads),
            (of.units, of.units_cost, units),
        )
    )
    step = s.head_dim * s.queries_per_kv_head
    qkv = tuple(shortest_multiplier(k * step, s.model_dim, step) for k in heads)
    ffn = tuple(shortest_multiplier(u * s.divisor, s.model_dim, s.divisor) for u in units)
    return difference, Design(s, qkv, ffn, sum(heads), sum(units), difference)


def explain(question: Question, *, time_limit: float = TIME_LIMIT) -> tuple[Relaxation, ...]:
    """As :func:`elmcfg.search.infeasible.explain`, of free lists."""
    conditions = question.conditions
    shapes = _shapes(question)
    found = []
    for bound in question.bounds if shapes else ():

        def nearest(
            kept: Question, goal: Goal, bound: Bound = bound
        ) -> tuple[Design | None, Fraction | None]:
            designs = search(kept, goal, time_limit=time_limit).designs
            if not designs:
                return None, None
            return designs[0], designs[0].cost(bound.quantity, conditions)

        ends = [
            Table(of.shape, of.heads, of.units, 0.0).between(bound.quantity, conditions)
            for of in shapes
        ]
        others, near = given_up(question, bound)
        alone = nearest(replace(question, bounds=()), near)[1]
        found.append(
            Relaxation(
                bound,
                min(low for low, _ in ends),
                max(high for _, high in ends),
                alone is None or not bound.holds(alone),
                *nearest(others, near),
            )
        )
    return tuple(found)
