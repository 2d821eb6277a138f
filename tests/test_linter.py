"""Every fault is found, under its code, at its place, and none hides another."""

import json

import pytest
from hypothesis import given
from texts import slice_of

import elmcfg
from elmcfg.codes import CODES
from elmcfg.diagnostics import InvalidConfigError, Severity
from elmcfg.document import parse
from elmcfg.findings import read_values
from elmcfg.linter import check, diagnose
from elmcfg.quick import is_clean
from elmcfg.strategies import Breakage, broken_configs, configs

GOOD = """\
num_transformer_layers: 4
model_dim: 512
head_dim: 64
vocab_size: 1024
num_query_heads: [4, 4, 8, 8]
num_kv_heads: [1, 1, 2, 2]
ffn_multipliers: [0.5, 1.0, 2.0, 4.0]
"""


def found(text: str, path: str = "x.yaml") -> list[tuple[str, int | None, int | None]]:
    """Code, line and column of every finding."""
    return [
        (d.code, d.span.line if d.span else None, d.span.column if d.span else None)
        for d in diagnose(parse(text, path))
    ]


def test_a_good_file_has_no_findings() -> None:
    assert found(GOOD) == []


@given(configs())
def test_no_valid_config_has_an_error(values: dict[str, object]) -> None:
    assert not [d for d in elmcfg.validate(values) if d.severity is Severity.ERROR]


@given(broken_configs())
def test_every_fault_is_found_under_its_code_at_its_place(broken: Breakage) -> None:
    findings = [(d.code, d.loc) for d in elmcfg.validate(broken.values)]
    assert (broken.code, broken.loc) in findings


@given(broken_configs())
def test_every_fault_is_found_at_its_place_in_the_text(broken: Breakage) -> None:
    text = json.dumps(broken.values, indent=1)
    if "NaN" in text or "Infinity" in text:
        return
    document = parse(text, "x.yaml")  # JSON is YAML, and read as a strict variant file here
    for d in diagnose(document):
        if d.code != broken.code or d.loc != broken.loc or d.span is None:
            continue
        here = slice_of(text, d.span)
        value: object = broken.values
        for part in broken.loc:
            value = value[part]  # type: ignore[index]
        on_key = d.code == "ELM102" or (isinstance(value, list | dict) and d.code != "ELM103")
        assert json.loads(here) == (broken.loc[0] if on_key else value)


@given(configs() | broken_configs().map(lambda b: b.values))
def test_the_quick_verdict_is_that_of_the_models(values: dict[str, object]) -> None:
    assert is_clean(values) == (not read_values(values)[1])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "\ud800"},
        {"bos_token_id": None},
        {"model_dim": True},
        {"model_dim": 256.0},
        {"rms_norm_eps": 1},
        {"rms_norm_eps": 10**400},
        {"auto_map": {"a": 1}},
        {"auto_map": {"a": "b"}},
        {"schedule": {"decimals": 2}},
        {"schedule": {"decimal": 2}},
        {"schedule": None},
        {"head_dim": 0},
        {"ffn_multipliers": 1},
        {"ffn_multipliers": True},
        {"ffn_multipliers": []},
        {"ffn_multipliers": None},
        {"num_query_heads": None},
        {"model_type": ["openelm"]},
        {"model_type": None},
    ],
)
def test_the_quick_verdict_at_the_edges(change: dict[str, object]) -> None:
    values = check(parse(GOOD, "x.yaml"))[0]
    assert values is not None
    test_the_quick_verdict_is_that_of_the_models.hypothesis.inner_test(  # type: ignore[attr-defined]
        values.model_dump(mode="json", exclude_none=True, exclude={"schedule"}) | change
    )


def test_a_typo_does_not_hide_a_bad_list() -> None:
    text = GOOD.replace("model_dim", "model_dmi").replace("[4, 4, 8, 8]", "[4, 4, 8, 7]")
    assert found(text) == [("ELM101", None, None), ("ELM102", 2, 1), ("ELM203", 5, 28)]


def test_one_bad_entry_does_not_hide_another_list() -> None:
    text = GOOD.replace("[1, 1, 2, 2]", "[1, 0, 3, 2]").replace("2.0, 4.0]", "2.0, 4.0, 8.0]")
    assert found(text) == [("ELM203", 5, 25), ("ELM202", 6, 19), ("ELM201", 7, 39)]


def test_a_disagreement_shows_both_places() -> None:
    text = GOOD + "num_gqa_groups: 4\nqkv_multipliers: [0.5, 0.5, 1.0, 1.25]\n"
    (d,) = diagnose(parse(text, "x.yaml"))
    assert (d.code, d.loc) == ("ELM301", ("num_query_heads", 3))
    assert "layer 3: num_query_heads is 8, but the recipe gives 12" in d.message
    assert [span.line for span, _ in d.related] == [9]


def test_groups_that_the_lists_do_not_have() -> None:
    (d,) = diagnose(parse(GOOD + "num_gqa_groups: 2\n", "x.yaml"))
    assert (d.code, d.loc) == ("ELM302", ("num_kv_heads", 0))
    assert "set num_gqa_groups to 4" in d.help


@pytest.mark.parametrize(
    ("removed", "missing"),
    [
        ("num_kv_heads", "num_kv_heads"),
        ("num_query_heads", "num_query_heads"),
        ("vocab_size", "vocab_size"),
        ("ffn_multipliers", "ffn_multipliers"),
    ],
)
def test_a_missing_key_is_named(removed: str, missing: str) -> None:
    text = "".join(line for line in GOOD.splitlines(True) if not line.startswith(removed))
    (d,) = diagnose(parse(text, "x.yaml"))
    assert d.code == "ELM101"
    assert d.message.startswith(f"{missing} is missing")


def test_no_heads_at_all() -> None:
    text = "".join(line for line in GOOD.splitlines(True) if "heads" not in line)
    (d,) = diagnose(parse(text, "x.yaml"))
    assert "the attention heads are missing" in d.message
    (d,) = diagnose(parse(text + "num_gqa_groups: 2\n", "x.yaml"))
    assert d.message.startswith("qkv_multipliers is missing")
    (d,) = diagnose(parse(text + "qkv_multipliers: 1.0\n", "x.yaml"))
    assert d.message.startswith("num_gqa_groups is missing")


@pytest.mark.parametrize(
    ("line", "help_"),
    [
        ("rms_norm_eps: 1e-6", "write 1.0e-6"),
        ('vocab_size: "1024"', "remove the quotes: 1024"),
        ("vocab_size: 1024.0", "write 1024"),
        ("vocab_size: yes", "YAML 1.1 reads yes, no, on and off as true and false"),
        ("vocab_size: [1024]", "one number for the whole model"),
        ("num_kv_heads: 1", "write a list with one entry per layer"),
        ("eos_token_id: None", "write null"),
    ],
)
def test_a_wrong_type_has_a_remedy(line: str, help_: str) -> None:
    key = line.partition(":")[0]
    text = "".join(old for old in GOOD.splitlines(True) if not old.startswith(key)) + line + "\n"
    (d,) = [d for d in diagnose(parse(text, "x.yaml")) if d.code == "ELM103"]
    assert help_ in d.help
    assert d.span is not None
    assert d.span.line == text.count("\n")


def test_a_schedule_with_nothing_to_do() -> None:
    assert found(GOOD + "schedule: {decimals: 3}\n") == [("ELM303", 8, 1)]


def test_a_multiplier_that_is_rounded_to_zero() -> None:
    text = GOOD.replace("[0.5, 1.0, 2.0, 4.0]", "[0.004, 0.004]").replace("512", "64000")
    assert found(text) == [("ELM205", 7, 1)]
    assert found(text + "schedule: {decimals: 3}\n") == []


def test_keys_of_other_programs_pass_in_a_hub_config() -> None:
    values = json.loads(json.dumps(elmcfg.load("tiny").model_dump(exclude_none=True)))
    values |= {"quantization": {"bits": 4}, "max_lr": 0.1, "num_kv_head": 3}
    del values["schedule"]
    findings = diagnose(parse(json.dumps(values), "config.json"))
    assert [(d.severity.value, d.loc) for d in findings] == [
        ("info", ("max_lr",)),
        ("warning", ("num_kv_head",)),
    ]
    assert findings[1].help == "did you mean num_kv_heads?"
    assert check(parse(json.dumps(values), "config.json"))[0] is not None


def test_a_near_miss_is_an_error_in_a_variant_file() -> None:
    assert found(GOOD + "num_gqa_group: 4\n") == [("ELM102", 8, 1)]


def test_load_says_everything_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        elmcfg.load({"model_dim": -1})
    assert len(caught.value.diagnostics) > 3
    assert "model_dim is -1, but must be at least 1" in str(caught.value)


def test_a_source_that_is_not_there_is_named_with_a_near_one() -> None:
    with pytest.raises(elmcfg.SourceNotFoundError, match="did you mean openelm-270m"):
        elmcfg.load("openelm-270")


def test_every_code_is_explained_and_unique() -> None:
    assert all(code == entry.code for code, entry in CODES.items())
    assert all(len(entry.explanation) > 80 for entry in CODES.values())
    assert len({entry.name for entry in CODES.values()}) == len(CODES)
