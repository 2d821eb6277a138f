"""Numbers of hundreds of digits, in every flag that takes a value and in every key that has one."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import Run

import elmcfg
from elmcfg.formats import hub
from elmcfg.study.plan import Plan
from elmcfg.training.settings import TrainingSettings

LONG = "9" * 400
TEXTS = (
    LONG,
    f"-{LONG}",
    f"{LONG}M",
    f"1:{LONG}",
    f"{LONG}GB/s,{LONG}FLOPS",
    "1e400",
    f"0.{'0' * 400}1",
)
NUMBERS = (10**400, -(10**400), 10**30, 1e308, 5e-324)
# Arguments with which each command does little, where the flag in question lets it begin at all.
COMMANDS = {
    "validate": ("tiny",),
    "scale": ("--layers", "4", "--model-dim", "256"),
    "show": ("tiny",),
    "diff": ("tiny", "tiny"),
    "convert": ("tiny", "out.yaml", "--force"),
    "build-and-run": ("tiny", "--shapes-only", "-q"),
    "study": ("--variant", "tiny", "--dry-run", "--speed", "1TFLOPS"),
    "report": ("nothing",),
    "explain": ("ELM001",),
    "doctor": (),
}
SPACE = {
    "num_transformer_layers": 4,
    "model_dim": 256,
    "head_dim": 64,
    "num_gqa_groups": 4,
    "ffn_dim_divisor": 64,
    "qkv_multipliers": [0.5, 1.0],
    "ffn_multipliers": [0.5, {"from": 1, "to": 4, "step": 1}],
}
RECIPE = {
    "num_transformer_layers": 4,
    "model_dim": 128,
    "head_dim": 32,
    "vocab_size": 1000,
    "num_gqa_groups": 2,
    "qkv_multipliers": [0.5, 1.0],
    "ffn_multipliers": [0.5, 4.0],
}
FAMILY = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "head_dim": 32,
    "rope_theta": 1e4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "per_layer_config": {"3": {"num_attention_heads": 4}},
}
PLAN: dict[str, Any] = {
    "variants": ["tiny"],
    "measure": ["costs", "proof", "speed", "training"],
    "engine": {"speed": "1TFLOPS"},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def flags(command: str) -> Iterator[str]:
    module = importlib.import_module(f"elmcfg.cli.{command.replace('-', '_')}")
    for option in module.command.params:
        choice = isinstance(option.type, click.Choice | click.Path)
        if isinstance(option, click.Option) and not option.is_flag and not choice:
            yield max(option.opts, key=len)


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) == set(importlib.import_module("elmcfg.cli.main").cli.list_commands(None))
    assert "--context-length" in flags("show")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_with_a_long_number_is_answered_in_words(run: Run, command: str) -> None:
    Path("space.yaml").write_text(json.dumps(SPACE))
    for flag in flags(command):
        for text in TEXTS:
            arguments = [command, *COMMANDS[command], f"{flag}={text}"]
            if command == "scale" and flag.startswith(("--max", "--min", "--target", "--tol")):
                arguments += ["--space", "space.yaml", "--target-params", "10M"]
            done = run(*arguments)  # fails of an internal error
            assert done.code in (0, 1, 2), (flag, text[:9])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "tiny", "--context-length", LONG), "1<=x<=1073741824"),
        (("diff", "tiny", "tiny", "--context-length", LONG), "1<=x<=1073741824"),
        (("show", "tiny", "--hardware", f"{LONG}GB/s,1TFLOPS"), "is not an amount"),
        (("build-and-run", "tiny", "--timeout", LONG), "is not an amount"),
        (("build-and-run", "tiny", "--max-memory", LONG), "is not an amount"),
        (("scale", "--target-params", "1e99"), "1e-36 to 1e36"),
        (("study", "--variant", "tiny", "--dry-run", "--speed", "1e99"), "1e-36 to 1e36"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_said(run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert message in done.err


def with_long_numbers(keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in keys.items():
        for number in NUMBERS:
            yield {**keys, key: number}
            if isinstance(value, list):
                yield {**keys, key: [number, *value[1:]]}


@pytest.mark.parametrize("number", NUMBERS[:3], ids=["long", "negative", "30 digits"])
@pytest.mark.parametrize(
    "command", [("validate", "--target", "all"), ("show",), ("diff", "tiny")], ids=" ".join
)
def test_foreign_keys(run: Run, command: tuple[str, ...], number: int) -> None:
    values = json.loads(hub.dump(elmcfg.load("tiny")))
    quantization = {"group_size": number, "bits": number}
    for key in ("quantization", "rope_theta", "pad_token_id", "tie_word_embeddings"):
        value = quantization if key == "quantization" else number
        Path("a.json").write_text(json.dumps({**values, key: value}))
        assert run(*command, "a.json").code in (0, 1)


@pytest.mark.parametrize(
    "keys",
    [RECIPE, json.loads(hub.dump(elmcfg.load("tiny"))), FAMILY],
    ids=["recipe", "lists", "family"],
)
def test_a_key_with_a_long_number_is_answered_in_words(run: Run, keys: dict[str, Any]) -> None:
    for values in with_long_numbers(keys):
        Path("a.json").write_text(json.dumps(values))
        for command in (
            ("validate", "a.json"),
            ("validate", "--diff", "--unsafe-fixes", "--target", "all", "a.json"),
            ("show", "--hardware", "h100", "a.json"),
            ("convert", "a.json", "b.yaml", "--force"),
            ("scale", "--from", "a.json", "--layers", "6"),
        ):
            assert run(*command).code in (0, 1, 2)


def test_a_space_with_a_long_number(run: Run) -> None:
    for key in SPACE:
        for number in NUMBERS:
            for value in (
                number,
                [number],
                {"from": 1, "to": number},
                {"from": 1, "to": 2, "step": number},
            ):
                Path("a.json").write_text(json.dumps({**SPACE, key: value}))
                assert run("scale", "--space", "a.json", "--max-params", "100M").code in (0, 1, 2)


def plan_parts() -> Iterator[tuple[str, ...]]:
    yield ("seeds",)
    for part in ("match", "proof", "speed", "engine"):
        for key in Plan.model_json_schema()["$defs"][part.capitalize()]["properties"]:
            yield (part, key)
    for key in TrainingSettings.model_fields:
        yield ("training", key)


def test_a_plan_with_a_long_number(run: Run) -> None:
    for part, *rest in plan_parts():
        for number in NUMBERS:
            value = {**PLAN.get(part, {}), rest[0]: number} if rest else number
            Path("a.json").write_text(json.dumps({**PLAN, part: value}))
            done = run("study", "a.json", "--dry-run")
            assert done.code in (0, 1, 2)
    for number in NUMBERS:
        scale = {"target-params": number, "layers": 4}
        Path("a.json").write_text(json.dumps({"variants": [{"scale": scale}]}))
        assert run("study", "a.json", "--dry-run").code == 2


@pytest.mark.parametrize("seeds", [1_001, 10**9, 10**30])
def test_a_number_of_seeds_is_not_written_out_before_it_is_checked(run: Run, seeds: int) -> None:
    Path("a.json").write_text(json.dumps({**PLAN, "seeds": seeds}))
    done = run("study", "a.json", "--dry-run")
    assert done.code == 2
    assert "seeds: must be at most 1000" in done.err


def test_in_python() -> None:
    with pytest.raises(ValueError, match="context_length must be 1 to 1,073,741,824"):
        elmcfg.cost(elmcfg.load("tiny"), context_length=10**400)
    with pytest.raises(ValueError, match="1e-36 to 1e36"):
        elmcfg.design(num_transformer_layers=4, model_dim=256, target_params=10**400)
    with pytest.raises(ValueError, match=r"max_context_length .* at most 1,073,741,824"):
        elmcfg.design(
            num_transformer_layers=4, model_dim=256, max_params=10**9, context_length=10**400
        )
