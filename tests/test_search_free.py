"""Free lists by CP-SAT, against every list of small spaces looked at one by one."""

import itertools
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

import elmcfg
from elmcfg import geometry
from elmcfg.diagnostics import has_errors
from elmcfg.search.budgets import QUANTITIES, Bound, Conditions, Goal, Quantity, Shape
from elmcfg.search.question import Question
from elmcfg.search.reference import RELEASED
from elmcfg.search.space import Space, make_space

CONDITIONS = Conditions(vocab_size=500, context_length=7)
SMALL = ("--layers", "6", "--model-dim", "256", "--ffn-dim-divisor", "64", "--free")

needs_solver = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import ortools"], capture_output=True).returncode != 0,
    reason="OR-tools is not installed (pip install 'elmcfg[solver]')",
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A space of at most some thousand lists."""
    multipliers = st.lists(
        st.integers(20, 300).map(lambda n: n / 100), min_size=1, max_size=4, unique=True
    )
    free: dict[str, Any] = {"order": draw(st.sampled_from(["any", "rising", "falling"]))}
    if draw(st.integers(0, 2)):
        free["max_kv_head_jump"] = 1
        free["max_ffn_jump"] = draw(st.integers(1, 50))
    return make_space(
        {
            "num_transformer_layers": [2, 3],
            "model_dim": draw(st.sampled_from([64, [64, 96]])),
            "head_dim": 16,
            "num_gqa_groups": draw(st.sampled_from([1, 2])),
            "ffn_dim_divisor": 16,
            "qkv_multipliers": [draw(multipliers)],
            "ffn_multipliers": [draw(multipliers)],
            "free": free,
        }
    )


Lists = tuple[Shape, tuple[int, ...], tuple[int, ...]]


def every_list(space: Space) -> Iterator[Lists]:
    """KV heads and FFN widths of every design, by the scalar functions."""
    assert space.free is not None
    order = space.free.order

    def allowed(values: tuple[int, ...], jump: int | None) -> bool:
        steps = [b - a for a, b in itertools.pairwise(values)]
        return (
            (order != "rising" or all(s >= 0 for s in steps))
            and (order != "falling" or all(s <= 0 for s in steps))
            and (jump is None or all(abs(s) <= jump for s in steps))
        )

    for depth, d, groups in itertools.product(
        space.layers, space.model_dims, space.queries_per_kv_head
    ):
        heads = {geometry.query_heads(m, d, 16, groups) // groups for m in space.qkv[0]}
        widths = {geometry.ffn_dim(m, d, 16) for m in space.ffn[0]}
        for k in itertools.product(sorted(heads), repeat=depth):
            for f in itertools.product(sorted(widths), repeat=depth):
                if allowed(k, space.free.max_kv_head_jump) and allowed(f, space.free.max_ffn_jump):
                    yield Shape(depth, d, 16, groups, 16), k, f


def value(quantity: Quantity, lists: Lists) -> Fraction:
    return quantity.value(lists[0], CONDITIONS, sum(lists[1]), sum(lists[2]) // 16)


def difference(lists: Lists) -> float:
    shape, heads, widths = lists
    n, d, g = shape.layers, shape.model_dim, shape.queries_per_kv_head
    result = abs(math.log(d / n / 80)) + abs(math.log(g / 4))
    for (start, end), each in (
        (RELEASED.qkv, [k * 16 * g / d for k in heads]),
        (RELEASED.ffn, [f / d for f in widths]),
    ):
        wanted = [start + (end - start) * i / (n - 1) for i in range(n)]
        result += sum(abs(math.log(a / b)) for a, b in zip(each, wanted, strict=True)) / n
    return result


@needs_solver
@given(st.data())
@settings(max_examples=60)
def test_the_solver_agrees_with_looking_at_every_list(data: st.DataObject) -> None:
    from elmcfg.search.free import search

    space = data.draw(spaces())
    designs = list(every_list(space))
    names = st.sampled_from(["params", "kv-cache", "weights", "decode-flops", "layers"])
    bounds = []
    for name in data.draw(st.lists(names, max_size=2, unique=True)):
        q = QUANTITIES[name]
        ends = sorted(value(q, data.draw(st.sampled_from(designs))) for _ in range(2))
        shift = data.draw(st.sampled_from([Fraction(0), Fraction(1, 3)]))
        bounds.append(Bound(q, ends[0] + shift, ends[1] - shift))
    sense = data.draw(st.sampled_from([None, -1, 1]))
    goal = None if sense is None else Goal(QUANTITIES[data.draw(names)], sense)
    fitting = [x for x in designs if all(b.holds(value(b.quantity, x)) for b in bounds)]

    question = Question(space=space, bounds=tuple(bounds), conditions=CONDITIONS)
    result = search(question, goal)

    assert result.proven
    assert bool(result.designs) == bool(fitting)
    if not fitting:
        return
    found = result.designs[0]

    def rank(x: Lists) -> Fraction:
        return Fraction(0) if goal is None else -goal.sense * value(goal.quantity, x)

    best = min(rank(x) for x in fitting)
    alike = min(difference(x) for x in fitting if rank(x) == best)
    d, s = found.shape.model_dim, found.shape
    widths = tuple(geometry.ffn_dim(m, d, 16) for m in found.ffn)
    heads = tuple(
        geometry.query_heads(m, d, 16, s.queries_per_kv_head) // s.queries_per_kv_head
        for m in found.qkv
    )
    assert (s, heads, widths) in fitting
    assert rank((s, heads, widths)) == best
    assert found.difference == pytest.approx(difference((s, heads, widths)), abs=1e-9)
    assert found.difference == pytest.approx(alike, abs=3e-6)


@needs_solver
def test_the_lists_are_written_out_valid_and_the_same_each_time(run: Run) -> None:
    arguments = ("scale", *SMALL, "rising", "--target-params", "12M", "--tolerance", "2%", "-q")
    done = run(*arguments)
    assert done.code == 0
    values = yaml.safe_load(done.out)
    assert len(values["qkv_multipliers"]) == len(values["ffn_multipliers"]) == 6
    assert values["num_kv_heads"] == sorted(values["num_kv_heads"])
    assert not has_errors(elmcfg.validate(values))
    for heads, m in zip(values["num_query_heads"], values["qkv_multipliers"], strict=True):
        assert heads == geometry.query_heads(m, 256, 64, 4)
    assert run(*arguments).out == done.out


@needs_solver
def test_json_counts_nothing_and_says_what_is_proven(run: Run) -> None:
    done = run("scale", *SMALL, "any", "--max-params", "12M", "--minimize", "kv", "-q",
               "--format", "json")  # fmt: skip
    search = json.loads(done.out)["search"]
    assert (search["examined"], search["feasible"]) == (None, None)
    assert (search["proven"], search["bound"]) == (True, None)


@needs_solver
def test_nothing_fits_is_proved_and_names_the_nearest(run: Run) -> None:
    done = run("scale", *SMALL, "any", "--max-params", "1M")
    assert done.code == 1
    assert "no free list of the space given by flags fits: proven" in done.err
    line = next(text for text in done.err.splitlines() if "nearest that keeps" in text)
    again = run("scale", *done.err.splitlines()[-2].split(), "--format", "json")
    least = json.loads(again.out)["cost"]["parameters"]["total"]
    assert f"{least:,}" in line


@needs_solver
def test_a_limit_that_ends_the_search_is_told(run: Run) -> None:
    large = ("--layers", "24", "--model-dim", "1536", "--head-dim", "32", "--free", "any",
             "--ffn-dim-divisor", "32", "--target-params", "300M")  # fmt: skip
    none = run("scale", *large, "--time-limit", "0.001")
    assert (none.code, none.out) == (1, "")
    assert "which proves nothing" in none.err
    some = run("scale", *large, "--time-limit", "0.5")
    assert some.code == 0
    assert "found within the time limit; none has a better" in some.err


@needs_solver
def test_ctrl_c_ends_the_solver_and_is_no_result() -> None:
    # One that is not solved within a minute on two cores.
    arguments = ("scale", "--layers", "32", "--model-dim", "3072", "--head-dim", "32",
                 "--free", "any", "--ffn-dim-divisor", "8", "--target-params", "1500M",
                 "--max-kv-cache", "64MiB", "--time-limit", "100000", "-q")  # fmt: skip
    program = (
        "import elmcfg.search.free as free\n"
        "begin = free._Solver.minimise\n"
        "def told(*a):\n    print('solving', flush=True)\n    return begin(*a)\n"
        "free._Solver.minimise = told\n"
        "from elmcfg.cli import main\nmain()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "solving\n"
        time.sleep(1)  # into the solver's own code
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    # It solves more than once: for the best, then for the likeliest of the best.
    assert (process.returncode, out.replace("solving\n", ""), err.strip()) == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "crown"), "free lists follow none"),
        (("--pareto", "params,kv"), "free lists have no --pareto"),
        (("--count", "3"), "leave --count out"),
        (("--qkv-multipliers", "0.5,1.0"), "a free space has one"),
        (("--space", "wide"), "a free space has one"),
        (("--frame-ffn-multiplier", "4"), "free lists have no frame"),
        (("--min-params", "1e30"), "free lists are searched up to 4.6e+18"),
    ],
)
def test_wrong_calls_are_explained(run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = run("scale", "--max-kv-cache", "9M", "--free", "any", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())


def test_without_the_solver_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    file = tmp_path / "made.yaml"
    done = run("scale", *SMALL, "any", "--max-params", "12M", "-o", str(file))
    assert (done.code, file.exists()) == (2, False)
    assert "pip install 'elmcfg[solver]'" in done.err
