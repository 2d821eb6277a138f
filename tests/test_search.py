"""The exact search, against every design of small spaces looked at one by one."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import elmcfg
from elmcfg import geometry, schedule
from elmcfg.search import budgets
from elmcfg.search.budgets import QUANTITIES, Bound, Conditions, Goal, Shape
from elmcfg.search.engine import Design, Result, search
from elmcfg.search.evaluate import Designs, sums
from elmcfg.search.halves import expand, widths
from elmcfg.search.infeasible import explain, least_tolerance
from elmcfg.search.problem import Limit
from elmcfg.search.problem import bounds as bounds_of
from elmcfg.search.question import Question
from elmcfg.search.reference import RELEASED
from elmcfg.search.space import Space, load_space, make_space

PARAMS, KV = QUANTITIES["params"], QUANTITIES["kv-cache"]
TARGET = 271_527_168


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A space of at most some thousand designs."""

    def axis(values: st.SearchStrategy[Any], most: int = 2) -> list[Any]:
        return draw(st.lists(values, min_size=1, max_size=most, unique=True))

    multiplier = st.integers(5, 500).map(lambda n: n / 100)
    curve = draw(st.sampled_from(["linear", "cosine", "plateaus"]))
    points = draw(st.integers(1, 2 if curve == "cosine" else 3))
    return make_space(
        {
            "num_transformer_layers": axis(st.integers(5, 12)),
            "model_dim": axis(st.integers(16, 600)),
            "head_dim": axis(st.integers(1, 40).map(lambda n: 2 * n)),
            "num_gqa_groups": axis(st.integers(1, 4)),
            "ffn_dim_divisor": axis(st.sampled_from([1, 16, 100, 256])),
            "qkv_multipliers": [axis(multiplier, 3) for _ in range(points)],
            "ffn_multipliers": [axis(multiplier, 3) for _ in range(3 - points or 1)],
            "schedule": {
                "decimals": draw(st.sampled_from([2, None, 1])),
                "frame_ffn_multiplier": draw(st.none() | multiplier),
                "curve": curve,
            },
        }
    )


CONDITIONS = Conditions(vocab_size=500, context_length=7, batch_size=3, weight_dtype="q4")


def every_design(space: Space) -> Iterator[Design]:
    """One by one, by the scalar functions that make the model's lists."""
    for depth, width, head_dim, groups, divisor in itertools.product(
        space.layers,
        space.model_dims,
        space.head_dims,
        space.queries_per_kv_head,
        space.divisors,
    ):
        shape = Shape(depth, width, head_dim, groups, divisor)
        for qkv, ffn in itertools.product(
            itertools.product(*space.qkv), itertools.product(*space.ffn)
        ):
            options = space.schedule
            expand = partial(schedule.multipliers, decimals=options.decimals, curve=options.curve)
            q = expand(qkv, depth, frame=options.frame_qkv_multiplier)
            f = expand(ffn, depth, frame=options.frame_ffn_multiplier)
            heads = [geometry.query_heads(m, width, head_dim, groups) // groups for m in q]
            units = [geometry.ffn_dim(m, width, divisor) // divisor for m in f]
            difference = (
                abs(math.log(width / depth / 80))
                + abs(math.log(groups / 4))
                + differing(q, RELEASED.qkv)
                + differing(f, RELEASED.ffn)
            )
            yield Design(shape, qkv, ffn, sum(heads), sum(units), difference)


def differing(multipliers: tuple[float, ...], ends: tuple[float, ...]) -> float:
    n = len(multipliers)
    wanted = [ends[0] + (ends[1] - ends[0]) * i / (n - 1) for i in range(n)]
    return (
        sum(abs(math.log(max(a, 1e-6) / b)) for a, b in zip(multipliers, wanted, strict=True)) / n
    )


def value(quantity: budgets.Quantity, design: Design) -> Fraction:
    return quantity.value(design.shape, CONDITIONS, design.kv_heads, design.ffn_units)


def badness(goal: Goal | None, design: Design) -> float:
    if goal is None:
        return design.difference
    got = value(goal.quantity, design)
    if goal.sense:
        return float(-goal.sense * got)
    assert goal.least is not None
    assert goal.most is not None
    return float(max(goal.least - got, got - goal.most, Fraction(0)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Space, list[Bound], Goal | None]:
    """A space, bounds that some designs meet and some do not, and a goal."""
    space = draw(spaces())
    designs = list(every_design(space))
    names = st.sampled_from(sorted(QUANTITIES))

    def interval(quantity: budgets.Quantity) -> list[Fraction]:
        among = st.sampled_from(designs).map(lambda design: value(quantity, design))
        shift = st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(-1, 3)])
        return sorted(draw(among) + draw(shift) for _ in range(2))

    bounds = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        least, most = interval(QUANTITIES[name])
        open_end = draw(st.sampled_from(["none", "left", "right"]))
        bounds.append(
            Bound(
                QUANTITIES[name],
                None if open_end == "left" else least,
                None if open_end == "right" else most,
            )
        )
    quantity = QUANTITIES[draw(names)]
    sense = draw(st.sampled_from([None, -1, 0, 1]))
    if sense is None:
        return space, bounds, None
    least, most = interval(quantity)
    return space, bounds, Goal(quantity, sense, *((least, most) if sense == 0 else ()))


@given(problems())
@settings(max_examples=300)
def test_search_agrees_with_looking_at_every_design(
    problem: tuple[Space, list[Bound], Goal | None],
) -> None:
    space, bounds, goal = problem
    designs = list(every_design(space))
    fitting = [d for d in designs if all(b.holds(value(b.quantity, d)) for b in bounds)]
    question = Question(space=space, bounds=tuple(bounds), conditions=CONDITIONS)
    result = search(question, goal, candidates=3)

    assert result.examined == space.size == len(designs)
    assert result.feasible == len(fitting)
    assert bool(result.designs) == bool(fitting)
    if not fitting:
        return
    found = result.designs[0]
    best = min(badness(goal, d) for d in fitting)
    assert badness(goal, found) == pytest.approx(best, rel=1e-12, abs=1e-12)
    alike = [d.difference for d in fitting if badness(goal, d) <= best]
    assert found.difference == pytest.approx(min([*alike, found.difference]), rel=1e-9, abs=1e-12)
    # What is given is a real design of the space, with the sums it says it has.
    for design in result.designs:
        same = [
            d for d in fitting if (d.shape, d.qkv, d.ffn) == (design.shape, design.qkv, design.ffn)
        ]
        assert [(d.kv_heads, d.ffn_units) for d in same] == [(design.kv_heads, design.ffn_units)]


def test_what_is_equal_in_fractions_is_equal() -> None:
    """16 / 6 and 20 / 6 are as far from 3; in floats the second is nearer by 4e-16."""
    axes = {"num_transformer_layers": 6, "model_dim": [16, 20], "head_dim": 8, "num_gqa_groups": 1}
    multipliers = {"qkv_multipliers": [[0.05, 0.45]], "ffn_multipliers": [0.05]}
    space = make_space({**axes, **multipliers, "ffn_dim_divisor": 1})
    # Leaves out the likeliest design, 20 channels wide; the next one is 16 wide.
    bound = Bound(KV, Fraction(4032), Fraction(4032))
    wanted = Goal(QUANTITIES["aspect-ratio"], 0, Fraction(3), Fraction(3))
    found = search(Question(space=space, bounds=(bound,), conditions=CONDITIONS), wanted).designs[0]
    assert (found.shape.model_dim, found.qkv) == (16, (0.45,))


@given(problems())
@settings(max_examples=150)
def test_explanations_agree_with_looking_at_every_design(
    problem: tuple[Space, list[Bound], Goal | None],
) -> None:
    space, bounds, _ = problem
    designs = list(every_design(space))
    question = Question(space=space, bounds=tuple(bounds), conditions=CONDITIONS)
    for relaxation in explain(question):
        bound = relaxation.bound
        values = [value(bound.quantity, d) for d in designs]
        assert (relaxation.least, relaxation.most) == (min(values), max(values))
        assert relaxation.impossible == (not any(bound.holds(v) for v in values))
        others = [b for b in bounds if b is not bound]
        kept = [d for d in designs if all(b.holds(value(b.quantity, d)) for b in others)]
        assert (relaxation.value is None) == (not kept)
        if relaxation.value is not None:
            missed = [_outside(bound, value(bound.quantity, d)) for d in kept]
            assert _outside(bound, relaxation.value) == pytest.approx(min(missed))


@given(problems(), st.data())
@settings(max_examples=150)
def test_the_least_tolerance_agrees_with_looking_at_every_design(
    problem: tuple[Space, list[Bound], Goal | None], data: st.DataObject
) -> None:
    space = problem[0]
    designs = list(every_design(space))
    names = data.draw(st.lists(st.sampled_from(sorted(QUANTITIES)), min_size=1, max_size=3))
    limits = []
    for name in names:
        kind = data.draw(st.sampled_from(["target", "target", "max"]))
        near = value(QUANTITIES[name], data.draw(st.sampled_from(designs)))
        amount = near * data.draw(st.sampled_from([Fraction(1), Fraction(5, 4), Fraction(9, 10)]))
        limits.append(Limit(kind, name, amount, False, name))
    targets = [limit for limit in limits if limit.kind == "target"]
    assume(targets)
    bounds_at = partial(bounds_of, limits, of_source=None)
    tolerance = Fraction(1, 1000)
    try:
        question = Question(space=space, bounds=bounds_at(tolerance), conditions=CONDITIONS)
    except ValueError:  # two targets of one cost
        assume(False)
    assume(not search(question).feasible)
    needed = [
        max(abs(value(QUANTITIES[t.quantity], d) / t.value - 1) for t in targets)
        for d in designs
        if all(
            limit.kind == "target" or value(QUANTITIES[limit.quantity], d) <= limit.value
            for limit in limits
        )
    ]
    got = least_tolerance(
        tolerance,
        bounds_at,
        lambda bounds: bool(search(dataclasses.replace(question, bounds=bounds)).feasible),
    )
    if not needed or min(needed) > Fraction(99, 10):
        assert got is None
        return
    assert got is not None
    # Two digits, rounded up: one in the last place less is too little.
    power = math.floor(math.log10(got) + 1e-9)
    step = Fraction(10) ** (power - 1)
    assert got % step == 0
    assert got - step < min(needed) <= got


def _outside(bound: Bound, got: Fraction) -> float:
    below = Fraction(0) if bound.least is None else bound.least - got
    above = Fraction(0) if bound.most is None else got - bound.most
    return float(max(below, above, Fraction(0)))


@pytest.fixture(scope="module")
def wide() -> Space:
    return load_space("wide")


def _wide(space: Space, *more: Bound) -> Result:
    bound = Bound(PARAMS, TARGET * Fraction(995, 1000), TARGET * Fraction(1005, 1000))
    per_token = Conditions(context_length=1)
    question = Question(space=space, bounds=(bound, *more), conditions=per_token)
    return search(question, Goal(KV), candidates=5)


def test_the_wide_space_gives_the_published_counts(wide: Space) -> None:
    result = _wide(wide)
    assert wide.size == result.examined == 2_706_582_528
    assert result.feasible == 3_809_949
    best = result.designs[0]
    assert KV.value(best.shape, Conditions(context_length=1), best.kv_heads, 0) == 3_328
    assert _wide(wide, Bound(KV, None, Fraction(16_128))).feasible == 1_407_827


def test_the_same_search_gives_the_same_answer(wide: Space) -> None:
    assert _wide(wide).designs == _wide(wide).designs


@given(
    st.lists(st.floats(0.01, 20), min_size=1, max_size=5),
    st.integers(1, 60),
    st.sampled_from([None, 0, 1, 2, 3, 9]),
    st.none() | st.floats(0.1, 5),
    st.sampled_from(schedule.CURVES),
)
def test_schedules_on_arrays_are_the_scalar_ones_bit_for_bit(
    points: list[float], layers: int, decimals: int | None, frame: float | None, curve: str
) -> None:
    if len(points) != layers and not schedule.is_control_points(len(points), layers):
        return
    if curve == "cosine":
        points = points[:2]
    wanted = schedule.multipliers(points, layers, decimals=decimals, frame=frame, curve=curve)
    got = expand(np.array(points)[:, None], layers, decimals=decimals, frame=frame, curve=curve)
    assert got[:, 0].tolist() == list(wanted)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 4096))
def test_widths_on_arrays_are_the_scalar_ones(wanted: list[float], divisor: int) -> None:
    expected = [geometry.make_divisible(v, divisor) for v in wanted]
    assert (widths(np.array(wanted), divisor) * divisor).tolist() == expected


@pytest.mark.parametrize("name", ["openelm-270m", "openelm-3b", "lws-18l-crown", "tiny"])
@pytest.mark.parametrize("context", [1, 512, 4096])
def test_linear_forms_are_the_costs_of_the_config(name: str, context: int) -> None:
    config = elmcfg.load(name)
    wanted = elmcfg.cost(config, context_length=context)
    layers = geometry.geometry(config).layers
    assert config.num_gqa_groups is not None
    shape = Shape(
        len(layers),
        config.model_dim,
        config.head_dim,
        config.num_gqa_groups,
        config.ffn_dim_divisor,
    )
    kv_heads = sum(layer.num_kv_heads for layer in layers)
    units = sum(layer.ffn_dim for layer in layers) // config.ffn_dim_divisor
    conditions = Conditions(
        vocab_size=config.vocab_size,
        share_input_output_layers=config.share_input_output_layers,
        context_length=context,
        batch_size=3,
        training_tokens=11,
    )
    got = {n: q.value(shape, conditions, kv_heads, units) for n, q in QUANTITIES.items()}
    kv_bytes = wanted.kv_cache_bytes_per_token * context * 3
    assert got == {
        "params": wanted.parameters.total,
        "non-embedding-params": wanted.parameters.non_embedding,
        "kv-cache": kv_bytes,
        "weights": wanted.weight_bytes,
        "memory": wanted.weight_bytes + kv_bytes + 4 * 3 * config.vocab_size,
        "prefill-flops": wanted.flops_per_token.prefill,
        "decode-flops": wanted.flops_per_token.decode,
        "training-flops": wanted.flops_per_token.training * 11,
        "layers": config.num_transformer_layers,
        "model-dim": config.model_dim,
        "aspect-ratio": Fraction(config.model_dim, config.num_transformer_layers),
    }


def test_a_cost_beyond_64_bits_is_refused(wide: Space) -> None:
    huge = Conditions(context_length=2**30, batch_size=2**30)
    bound = Bound(QUANTITIES["memory"], Fraction(2**65))
    with pytest.raises(ValueError, match="too large"):
        search(Question(space=wide, bounds=(bound,), conditions=huge))


@given(spaces())
@settings(max_examples=50)
def test_given_designs_have_the_sums_of_the_space(space: Space) -> None:
    designs = list(every_design(space))
    if space.schedule.frame_ffn_multiplier is not None or space.schedule.curve != "linear":
        return
    shapes = np.array([dataclasses.astuple(d.shape) for d in designs])
    names = [field.name for field in dataclasses.fields(Designs)]
    points = [np.array([getattr(d, half) for d in designs]) for half in ("qkv", "ffn")]
    given = Designs(**dict(zip(names, [*shapes.T, *points], strict=True)))
    heads, units = sums(given, decimals=space.schedule.decimals)
    assert heads.tolist() == [d.kv_heads for d in designs]
    assert units.tolist() == [d.ffn_units for d in designs]
