"""The proof passes on what is right, and fails, naming the place, on what is wrong."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elmcfg import strategies
from elmcfg.backend import import_mlx
from elmcfg.config import Config
from elmcfg.costs import cost

mx = import_mlx()
from elmcfg.model import MLP, Attention, KVCache, Model  # noqa: E402
from elmcfg.proof import CHECKS, DeviceError, Report, prove  # noqa: E402
from elmcfg.proof.options import DEFAULT_SEQ_LEN  # noqa: E402
from elmcfg.proof.report import CheckStarted, Event  # noqa: E402

NAMES = [
    *("parameters", "shapes", "forward", "reference", "causality", "position", "cache", "batch"),
    *("generation", "dtypes", "quantization", "save-load", "gradient"),
]


def small(**update: Any) -> Config:
    given = {
        "num_transformer_layers": 3,
        "model_dim": 64,
        "head_dim": 16,
        "vocab_size": 101,
        "num_query_heads": (2, 4, 6),
        "num_kv_heads": (1, 2, 2),
        "ffn_multipliers": (0.5, 1.0, 2.0),
        "ffn_dim_divisor": 8,
        "max_context_length": 40,
    }
    return Config.model_validate({**given, **update})


def statuses(report: Report) -> dict[str, str]:
    return {result.name: result.status for result in report.checks}


def detail(report: Report, name: str) -> str:
    return next(result.detail for result in report.checks if result.name == name)


def failed(report: Report) -> list[str]:
    assert not report.passed
    return [result.name for result in report.checks if result.status == "failed"]


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"ffn_with_glu": False},
        {"normalize_qk_projections": False},
        {"share_input_output_layers": False},
        {"max_context_length": 1},
    ],
)
def test_everything_passes_on_a_sound_model(update: dict[str, Any]) -> None:
    config = small(**update)
    report = prove(config, device="cpu")
    assert report.passed
    assert list(statuses(report)) == NAMES
    short = config.max_context_length == 1
    skipped = {"causality", "generation", "gradient"} if short else set()
    assert {name for name, status in statuses(report).items() if status != "passed"} == skipped
    assert report.predicted == report.counted == cost(config).parameters.total
    assert report.dtype == "float32"
    assert report.device.startswith("cpu (")
    assert report.peak_memory_bytes > 4 * report.predicted
    assert report.seconds >= sum(result.seconds for result in report.checks) > 0


@settings(max_examples=15)
@given(
    strategies.configs(max_layers=4, max_dim=200),
    st.sampled_from(["float32", "bfloat16", "float16"]),
    st.integers(0, 2**32),
)
def test_no_false_alarm(values: dict[str, Any], dtype: str, seed: int) -> None:
    """Any valid shape passes, whatever the seed; only what is broken may fail."""
    config = Config.model_validate(values)
    # In a stream of a channel or two, one rounding is as large as the number itself.
    assume(config.model_dim >= 8)
    assume(cost(config).parameters.total < 2 * 10**6)
    report = prove(config, dtype=dtype, seed=seed, seq_len=20)
    assert report.passed, report.checks


def test_details_carry_the_figures() -> None:
    report = prove(small(), seq_len=12, batch_size=2)
    total = cost(small()).parameters.total
    assert detail(report, "parameters") == f"26 tensors, {total:,} parameters"
    assert detail(report, "shapes") == "3 layers of (2, 12, 64), logits (2, 12, 101)"
    assert detail(report, "forward").startswith("logits (2, 12, 101), all finite, largest ")
    assert detail(report, "cache").startswith("pieces of 8, 2 and 2 times 1 tokens within ")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_all_dtypes(dtype: str) -> None:
    report = prove(small(), dtype=dtype)
    assert report.passed, report.checks
    assert report.dtype == dtype


@pytest.mark.parametrize("seq_len", [1, 2, 3, 4, 5, 6])
def test_short_sequences(seq_len: int) -> None:
    assert prove(small(), seq_len=seq_len).passed


def test_the_default_sequence_is_no_longer_than_the_context() -> None:
    assert "logits (1, 40, 101)" in detail(prove(small()), "forward")
    longer = small(max_context_length=2048)
    assert f"logits (1, {DEFAULT_SEQ_LEN}, 101)" in detail(prove(longer), "forward")


def test_shapes_only_evaluates_nothing_whatever_the_size() -> None:
    config = Config(
        num_transformer_layers=8,
        model_dim=2**20,
        head_dim=128,
        vocab_size=2**20,
        num_gqa_groups=4,
        qkv_multipliers=(0.5, 1.0),
        ffn_multipliers=(0.5, 4.0),
    )
    report = prove(config, shapes_only=True)
    assert report.predicted > 10**13
    assert report.counted == report.predicted
    assert list(statuses(report).values()) == ["passed"] * 2 + ["skipped"] * 11
    assert report.passed
    assert report.peak_memory_bytes < 10**6
    assert report.seconds < 2


def test_checks_are_chosen_and_skipped_by_name() -> None:
    only = prove(small(), check="forward")
    assert statuses(only)["forward"] == "passed"
    assert list(statuses(only).values()).count("skipped") == len(NAMES) - 1
    assert detail(only, "cache") == "not asked for"
    without = prove(small(), skip=("cache", "shapes"))
    assert detail(without, "cache") == "skipped on request"
    assert statuses(without)["parameters"] == "passed"
    assert only.counted == only.predicted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"check": ["forwrd"]}, "unknown check 'forwrd'; did you mean 'forward'?"),
        ({"skip": ["xyzzy"]}, "unknown check 'xyzzy'; choose from parameters, shapes, forward"),
        ({"check": ["forward"], "shapes_only": True}, "no check is left to run"),
        ({"skip": NAMES}, "no check is left to run"),
        (
            {"dtype": "float8"},
            "unknown dtype 'float8'; choose from auto, float32, bfloat16, float16",
        ),
        ({"seq_len": 41}, r"seq_len must be 1 to max_context_length \(40\), got 41"),
        ({"seq_len": 0}, r"seq_len must be 1 to max_context_length \(40\), got 0"),
        ({"seq_len": 31, "rope": 30}, r"seq_len must be 1 to rope_max_length \(30\), got 31"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"seed": -1}, "seed must be 0 to"),
        ({"device": "tpu"}, "unknown device 'tpu'; choose from auto, cpu, gpu"),
    ],
)
def test_bad_arguments_are_value_errors(arguments: dict[str, Any], message: str) -> None:
    config = small(rope_max_length=arguments.pop("rope", 4096))
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        prove(config, **arguments)


@pytest.mark.skipif(mx.is_available(mx.gpu), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="MLX sees no GPU here"):
        prove(small(), device="gpu")


def test_the_default_device_and_the_random_state_are_left_as_they_were() -> None:
    before = mx.default_device()
    mx.random.seed(3)
    expected = mx.random.uniform(shape=(3,)).tolist()
    mx.random.seed(3)
    prove(small(), device="cpu")
    assert mx.default_device() == before
    assert mx.random.uniform(shape=(3,)).tolist() == expected


def test_progress_is_told_of_each_check() -> None:
    told: list[Event] = []
    report = prove(small(), skip="cache", progress=told.append)
    started = [event.name for event in told if isinstance(event, CheckStarted)]
    assert started == [name for name in NAMES if name != "cache"]
    assert [event for event in told if event in report.checks] == list(report.checks)


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, again, other = (prove(small(), seed=seed) for seed in (1, 1, 2))
    assert detail(first, "forward") == detail(again, "forward") != detail(other, "forward")


def test_every_seed_that_is_taken_can_be_proven() -> None:
    report = prove(small(), seed=2**64 - 1)
    assert report.passed, report.checks


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_many_proofs_in_one_process_leave_no_threads_behind() -> None:
    tasks = Path("/proc/self/task")
    prove(small(), check="dtypes")
    before = len(list(tasks.iterdir()))
    for _ in range(3):
        prove(small(), check="dtypes")
    assert len(list(tasks.iterdir())) == before


def test_a_proof_runs_in_any_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(prove, small()).result()
    assert report.passed, report.checks


def test_a_proof_in_which_nothing_ran_has_not_passed() -> None:
    report = prove(small(), dtype="bfloat16", check="gradient")
    assert set(statuses(report).values()) == {"skipped"}
    assert not report.passed


def test_values_are_frozen() -> None:
    report = prove(small(), shapes_only=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.passed = False  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.checks[0].status = "failed"  # type: ignore[misc]
    assert [check.name for check in CHECKS] == NAMES
    assert [check.needs_weights for check in CHECKS] == [False] * 2 + [True] * 11


# From here on something is broken, and the proof must say what and where.

Call = Callable[..., Any]


def spoil(monkeypatch: pytest.MonkeyPatch, target: type, change: Callable[[Any, Any], Any]) -> None:
    """Let ``change(module, output)`` replace what modules of a class return."""
    right: Call = target.__call__

    def wrong(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(self, right(self, *args, **kwargs))

    monkeypatch.setattr(target, "__call__", wrong)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_layer_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch, bad: float) -> None:
    # Layer 1 is the one with 4 query heads.
    spoil(monkeypatch, Attention, lambda m, x: x + bad if m.num_query_heads == 4 else x)
    report = prove(small())
    assert {"forward", "cache"} < set(failed(report))
    assert detail(report, "forward") == "layer 1 gives numbers that are not finite"


def test_one_bad_number_among_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_number(module: Any, x: Any) -> Any:
        if x.shape[1] != 40:
            return x
        flat = x.reshape(-1)
        flat[-1] = math.nan
        return flat.reshape(x.shape)

    spoil(monkeypatch, MLP, last_number)
    report = prove(small())
    assert detail(report, "forward") == "layer 0 gives numbers that are not finite"


def test_a_head_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, Model, lambda m, x: x + math.inf)
    assert detail(prove(small()), "forward").startswith("the output head gives")


def test_a_layer_of_the_wrong_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, MLP, lambda m, x: x[..., :-1] if m.proj_2.weight.shape[1] == 128 else x)
    report = prove(small(), shapes_only=True)
    assert failed(report) == ["shapes"]
    assert detail(report, "shapes") == (
        "layer 2: feed-forward has shape (1, 40, 63), expected (1, 40, 64)"
    )


def test_logits_of_the_wrong_shape_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, Model, lambda m, x: x[:, 1:])
    report = prove(small(), check=("parameters", "shapes", "forward", "reference", "cache"))
    assert failed(report) == ["shapes", "forward", "cache"]
    assert "the logits has shape (1, 39, 101)" in detail(report, "shapes").replace("have", "has")


def test_a_cache_with_the_wrong_number_of_heads_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Attention.project

    def swapped(self: Attention, x: Any, offset: Any) -> Any:
        queries, keys, values = right(self, x, offset)
        return queries, mx.repeat(keys, 2, axis=1), mx.repeat(values, 2, axis=1)

    monkeypatch.setattr(Attention, "project", swapped)
    report = prove(small(), shapes_only=True)
    assert detail(report, "shapes") == (
        "layer 0: cached keys has shape (1, 2, 40, 16), expected (1, 1, 40, 16)"
    )


@pytest.mark.parametrize("off", [-1, 1])
def test_wrong_positions_fail_the_cache_check(monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    right = KVCache.update_and_fetch

    def moved(self: KVCache, keys: Any, values: Any) -> Any:
        self.offset = max(0, self.offset - off)
        result = right(self, keys, values)
        self.offset += off
        return result

    monkeypatch.setattr(KVCache, "update_and_fetch", moved)
    assert "cache" in failed(prove(small()))


def test_a_cache_that_forgets_fails_the_cache_check(monkeypatch: pytest.MonkeyPatch) -> None:
    right = KVCache.update_and_fetch

    def forgetful(self: KVCache, keys: Any, values: Any) -> Any:
        right(self, keys, values)
        return keys, values

    monkeypatch.setattr(KVCache, "update_and_fetch", forgetful)
    report = prove(small())
    assert failed(report) == ["cache", "generation"]
    assert "logits with the cache are not those without: differs by 0." in detail(report, "cache")


def test_a_cache_that_miscounts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = KVCache.update_and_fetch

    def miscounting(self: KVCache, keys: Any, values: Any) -> Any:
        result = right(self, keys, values)
        if self.offset == 40 and keys.shape[1] == 2:
            self.offset = 41
        return result

    monkeypatch.setattr(KVCache, "update_and_fetch", miscounting)
    assert detail(prove(small()), "cache") == "layer 1: the cache holds 41 tokens, not 40"


def test_nan_in_one_step_only_fails_the_cache_check(monkeypatch: pytest.MonkeyPatch) -> None:
    # In the second of the decode steps; the steps around it are right.
    steps = iter(range(10**6))

    def second_step(module: Any, x: Any) -> Any:
        return x + math.nan if x.shape[1] == 1 and next(steps) == 1 else x

    spoil(monkeypatch, Model, second_step)
    report = prove(small())
    assert failed(report) == ["cache"]
    assert "nan" in detail(report, "cache")


def rebuilt(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Let ``change(model)`` alter each built model."""
    right = Model.__init__

    def wrong(self: Any, *args: Any, **kwargs: Any) -> None:
        right(self, *args, **kwargs)
        change(self)

    monkeypatch.setattr(Model, "__init__", wrong)


def test_wrong_tensors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(model: Any) -> None:
        model.layers[1].ffn.proj_1.weight = mx.zeros((3, 64))
        del model.transformer.norm.weight
        model.extra = mx.zeros((2, 2))

    rebuilt(monkeypatch, change)
    report = prove(small(), shapes_only=True)
    assert "parameters" in failed(report)
    assert detail(report, "parameters") == (
        "transformer.norm.weight is missing; extra is not expected; "
        "transformer.layers.1.ffn.proj_1.weight has shape (3, 64), expected (128, 64)"
    )
    assert report.counted != report.predicted


def test_many_wrong_tensors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(model: Any) -> None:
        for layer in model.layers:
            layer.attn_norm.weight = mx.ones((1,))
            layer.ffn_norm.weight = mx.ones((1,))

    rebuilt(monkeypatch, change)
    assert detail(prove(small(), shapes_only=True), "parameters").endswith(" and 3 more")


def test_a_wrong_dtype_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from elmcfg.proof.subject import Subject

    right: Any = vars(Subject)["parameters"].fget

    def wrong(self: Subject) -> Any:
        return {name: value.astype(mx.float16) for name, value in right(self).items()}

    monkeypatch.setattr(Subject, "parameters", property(wrong))
    text = detail(prove(small(), shapes_only=True), "parameters")
    assert "token_embeddings.weight has dtype mlx.core.float16, expected float32" in text


def test_a_closed_form_that_disagrees_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from elmcfg.proof.checks import parameters

    right = cost(small())
    one_more = dataclasses.replace(right.parameters, total=right.parameters.total + 1)
    wrong = dataclasses.replace(right, parameters=one_more)
    monkeypatch.setattr(parameters, "cost", lambda _: wrong)
    report = prove(small(), shapes_only=True)
    assert failed(report) == ["parameters"]
    assert "the closed form says" in detail(report, "parameters")


def test_a_check_that_breaks_is_a_failed_one_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(module: Any, x: Any) -> Any:
        raise RuntimeError("out of\n  luck")

    spoil(monkeypatch, MLP, broken)
    report = prove(small(), check=("parameters", "shapes", "forward", "position", "cache"))
    assert failed(report) == ["shapes", "forward", "cache"]
    assert detail(report, "forward") == "RuntimeError: out of luck"
    assert statuses(report)["parameters"] == "passed"


def test_a_model_that_cannot_be_built_is_a_failed_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(model: Any) -> None:
        raise RuntimeError("cannot be built")

    rebuilt(monkeypatch, change)
    report = prove(small())
    assert failed(report) == NAMES
    assert report.counted is None
    assert report.predicted == cost(small()).parameters.total


def test_shapes_that_mlx_cannot_hold_are_a_failed_proof() -> None:
    config = Config(
        num_transformer_layers=1,
        model_dim=2**30,
        head_dim=2**20,
        vocab_size=32,
        num_gqa_groups=1,
        qkv_multipliers=(8.0,),
        ffn_multipliers=(8.0,),
    )
    report = prove(config, shapes_only=True)
    assert "parameters" in failed(report)
