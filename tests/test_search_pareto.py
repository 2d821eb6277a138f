"""The front of a space, against its definition."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import CONDITIONS, every_design, problems, value

from elmcfg.search import pareto
from elmcfg.search.budgets import QUANTITIES, Bound, Goal
from elmcfg.search.question import Question
from elmcfg.search.space import Space, load_space


@st.composite
def trade_offs(draw: st.DrawFn) -> tuple[pareto.Axis, ...]:
    names = draw(st.lists(st.sampled_from(sorted(QUANTITIES)), min_size=2, max_size=3, unique=True))
    return tuple(pareto.Axis(QUANTITIES[n], draw(st.sampled_from([-1, 1]))) for n in names)


@given(problems(), trade_offs(), st.sampled_from([1, 50, 400_000]))
@settings(max_examples=300)
def test_the_front_is_what_no_design_beats(
    problem: tuple[Space, list[Bound], Goal | None],
    axes: tuple[pareto.Axis, ...],
    batch: int,
) -> None:
    space, bounds, _ = problem
    fitting = [d for d in every_design(space) if all(b.holds(value(b.quantity, d)) for b in bounds)]
    costs: dict[tuple[Fraction, ...], int] = {}
    for d in fitting:
        point = tuple(-a.sense * value(a.quantity, d) for a in axes)
        costs[point] = costs.get(point, 0) + 1
    points = np.array([[float(x) for x in point] for point in costs]).reshape(-1, len(axes))
    # By definition: for every pair.
    no_worse = (points[:, None] <= points[None, :]).all(axis=2)
    beaten = (no_worse & (points[:, None] < points[None, :]).any(axis=2)).any(axis=0)
    lost = {point for point, gone in zip(costs, np.atleast_1d(beaten), strict=True) if gone}
    wanted = {point: n for point, n in costs.items() if point not in lost}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "_BATCH", batch)
        patch.setattr(pareto, "_SIEVE", 3)
        question = Question(space=space, bounds=tuple(bounds), conditions=CONDITIONS)
        front = pareto.front(question, axes)
    got = {
        tuple(-a.sense * value(a.quantity, d) for a in axes): n
        for d, n in zip(front.designs, front.counts, strict=True)
    }
    assert got == wanted
    assert front.result.feasible == len(fitting)
    assert front.result.examined == space.size
    assert list(got) == sorted(got)


def test_more_parameters_count_as_better_unless_said_otherwise() -> None:
    default, said = pareto.axes("params,kv"), pareto.axes("min:params,max:kv-cache")
    assert [(a.quantity.name, a.sense) for a in default] == [("params", 1), ("kv-cache", -1)]
    assert [(a.quantity.name, a.sense) for a in said] == [("params", -1), ("kv-cache", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params", "between two or three"),
        ("params,params", "between two or three"),
        ("params,kv,flops,memory", "between two or three"),
        ("params,speed", "unknown cost 'speed'"),
        ("most:params,kv", "write min:params or max:params"),
    ],
)
def test_wrong_trade_offs_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pareto.axes(text)


def test_a_spread_keeps_the_ends_and_is_spread() -> None:
    question = Question(space=load_space("wide"), conditions=CONDITIONS)
    front = pareto.front(question, pareto.axes("params,kv-cache"))
    chosen = pareto.spread(front, CONDITIONS, 5)
    assert len(set(chosen)) == 5
    assert (chosen[0], chosen[-1]) == (front.designs[0], front.designs[-1])
    kv = [float(value(QUANTITIES["kv-cache"], d)) for d in chosen]
    assert kv == sorted(kv, reverse=True)
    gaps = [a - b for a, b in itertools.pairwise(kv)]
    assert max(gaps) < 0.5 * (kv[0] - kv[-1])
    assert pareto.spread(front, CONDITIONS, 10_000) == list(front.designs)
