"""``elmcfg.design``: the search of the command line, as a function."""

import json
from typing import Any

import pytest
from conftest import Run

import elmcfg

SHAPE: dict[str, Any] = {
    "num_transformer_layers": 12,
    "model_dim": 384,
    "head_dim": 32,
    "num_gqa_groups": 4,
    "ffn_dim_divisor": 32,
}


@pytest.mark.parametrize("name", ["uniform", "vanilla", "reverse", "framed", "crown", "tapered"])
def test_named_schedules_meet_one_budget_at_one_shape(name: str) -> None:
    config = elmcfg.design(
        profile=name, target_non_embedding_params="20M", tolerance=0.005, **SHAPE
    )
    assert elmcfg.cost(config).parameters.non_embedding == pytest.approx(20e6, rel=0.005)
    assert {key: getattr(config, key) for key in SHAPE} == SHAPE


def test_it_finds_what_the_command_line_finds(run: Run) -> None:
    flags = [
        text for key, value in SHAPE.items() for text in (f"--{key.replace('_', '-')}", str(value))
    ]
    done = run("scale", *flags, "--min-params", "30M", "--minimize", "kv", "--profile", "reverse",
               "--context-length", "512", "--format", "json")  # fmt: skip
    config = elmcfg.design(
        min_params=30_000_000, minimize="kv-cache", profile="reverse", context_length=512, **SHAPE
    )
    wanted = elmcfg.resolve(config).model_dump(mode="json")
    assert json.loads(done.out)["config"] == wanted


@pytest.mark.parametrize("base", [None, "tiny"])
def test_it_carries_the_context_that_it_was_made_for(base: str | None) -> None:
    source = None if base is None else elmcfg.load(base)
    wanted: dict[str, Any] = {"target_params": "80%"} if base else {"max_params": "30M", **SHAPE}
    config = elmcfg.design(context_length=8192, base=source, **wanted, tolerance=0.05)
    assert config.max_context_length == 8192
    assert config.rope_max_length >= 8192
    config = elmcfg.design(context_length=100, base=source, **wanted, tolerance=0.05)
    assert config.max_context_length == (source.max_context_length if source else 2048)
    with pytest.raises(ValueError, match="max_context_length is 100"):
        elmcfg.design(context_length=101, max_context_length=100, base=source, **wanted)


def test_a_share_of_another_model() -> None:
    config = elmcfg.design(base=elmcfg.load("openelm-270m"), target_params="50%")
    assert elmcfg.cost(config).parameters.total == pytest.approx(271_527_168 / 2, rel=0.001)


def test_what_cannot_be_is_proven_and_names_the_nearest() -> None:
    with pytest.raises(elmcfg.NothingFitsError, match=r"max_params 1,000,000: the nearest .* is "):
        elmcfg.design(max_params=1_000_000, **SHAPE)
    with pytest.raises(elmcfg.NothingFitsError, match=r"tolerance 0\.1%: would have to be \d+%"):
        elmcfg.design(target_params=10_000_000, **SHAPE)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"target_params": "60%"}, "a share of what"),
        ({"target_params": "60X"}, "unknown unit"),
        ({"minimize": "size"}, "unknown cost 'size'"),
        ({"minimize": "kv", "maximize": "params"}, "one of minimize and maximize"),
        ({"profile": "crwn"}, "unknown profile"),
        ({"target_parms": 1}, "target_parms"),
        ({"max_kv_cache": "1GiB", "cache_dtype": "q2"}, "cache_dtype is 'q2'; there are float32"),
        ({"max_kv_cache": "1GiB", "context_length": 0}, "context_length is 0, but must be"),
        ({"max_params": "1B", "training_tokens": "1T"}, "training_tokens is '1T', but must be"),
    ],
)
def test_wrong_calls_are_explained(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        elmcfg.design(**wanted)
