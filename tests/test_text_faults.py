"""A slip in the text is named at its place, and hides nothing else that is wrong in the file."""

import json
import math
from pathlib import Path

import oracles
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from elmcfg import fixes
from elmcfg.diagnostics import Severity
from elmcfg.document import parse
from elmcfg.linter import diagnose

SMALL = oracles.corenet_lists(6, 128, 32, 4, (0.5, 2.0), (0.5, 3.0))
VALUES = {
    "model_type": "openelm",
    "num_transformer_layers": 6,
    "model_dim": 128,
    "head_dim": 32,
    "vocab_size": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 2.0],
    "num_query_heads": SMALL.query_heads,
    "num_kv_heads": [*SMALL.kv_heads, 1],  # one too many
    "ffn_multipliers": SMALL.ffn_multipliers,
    "name": "small",
    "attention_dropout": 0.0,
}
TEXT = "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in VALUES.items()) + "\n}\n"

# What is put in the place of what, where the fault then begins, and whether a safe fix mends it.
SLIPS = {
    "NaN": ('"attention_dropout": 0.0', '"attention_dropout": NaN', "NaN", False),
    "Infinity": ('"attention_dropout": 0.0', '"attention_dropout": Infinity', "Infinity", False),
    "-Infinity": ('"attention_dropout": 0.0', '"attention_dropout": -Infinity', "-Inf", False),
    "last comma": ('"attention_dropout": 0.0', '"attention_dropout": 0.0,', "}", True),
    "last comma of a list": ("[0.5, 2.0]", "[0.5, 2.0, ]", "]", True),
    "no comma": ('"head_dim": 32,', '"head_dim": 32', '"vocab_size"', True),
    "no comma in a list": ("[0.5, 2.0]", "[0.5 2.0]", "2.0", False),
    "line comment": ('"head_dim": 32,', '"head_dim": 32, // wide', "// wide", False),
    "hash comment": ('"num_gqa_groups": 4,', '"num_gqa_groups": 4, # few', "# few", False),
    "block comment": ('"head_dim": 32,', '/* a\nb */ "head_dim": 32,', "/* a", False),
    "single quotes": ('"name": "small"', "\"name\": 'small'", "'small'", True),
    "single quotes of a key": ('"name": "small"', "'name': \"small\"", "'name'", True),
    "no quotes": ('"name": "small"', 'name: "small"', "name:", True),
    "True": ('"attention_dropout": 0.0', '"attention_dropout": True', "True", True),
    "None": ('"attention_dropout": 0.0', '"attention_dropout": None', "None", True),
    "tab": ('"name": "small"', '"name": "sm\tall"', '\tall"', False),
    "backslash": ('"name": "small"', r'"name": "C:\models"', r"\models", False),
    "bare word": ('"name": "small"', '"name": small', "small", False),
    "no leading digit": ('"bos_token_id": 1,', '"bos_token_id": .5,', ".5", False),
    "leading zero": ('"eos_token_id": 2,', '"eos_token_id": 02,', "02", False),
    "end": ("\n}\n", "\n}\n}\n", "}\n", False),
    "long number": ('"head_dim": 32,', '"head_dim": ' + "3" * 5_000 + ",", "333", False),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_else_is_wrong_is_told_too(slip: str) -> None:
    old, new, begins, _ = SLIPS[slip]
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, new)
    found = [d for d in diagnose(parse(text, "x.json")) if d.severity is Severity.ERROR]
    codes = sorted(d.code for d in found)
    assert codes == ["ELM004" if slip == "long number" else "ELM002", "ELM201"]
    (fault,) = [d for d in found if d.code != "ELM201"]
    assert fault.span is not None
    assert "".join(text.splitlines(keepends=True)[fault.span.line - 1 :])[
        fault.span.column - 1 :
    ].startswith(begins)


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_of_one_reading_are_mended(slip: str) -> None:
    old, new, _, safe = SLIPS[slip]
    text = TEXT.replace(json.dumps(VALUES["num_kv_heads"]), json.dumps(SMALL.kv_heads))
    text = text.replace(old, new)
    after, done = fixes.mend(parse(text, "x.json"), diagnose)
    assert bool(done) is safe
    if safe:
        dropout = {"True": True, "None": None}.get(slip, 0.0)
        assert json.loads(after.text) == {
            **VALUES,
            "num_kv_heads": SMALL.kv_heads,
            "attention_dropout": dropout,
        }
    else:
        assert after.text == text


def test_a_slip_in_a_list_hides_nothing_about_the_list() -> None:
    short = json.dumps(SMALL.query_heads[:-1])
    text = TEXT.replace(json.dumps(SMALL.query_heads), short[:-1] + ",]")
    found = {(d.code, d.loc) for d in diagnose(parse(text, "x.json"))}
    assert {("ELM201", ("num_query_heads",)), ("ELM201", ("num_kv_heads", 6))} <= found


@given(st.sets(st.sampled_from(sorted(SLIPS.keys() - {"end"})), min_size=2, max_size=4))
def test_several_slips_are_all_told(slips: set[str]) -> None:
    text = TEXT
    applied = 0
    for slip in sorted(slips):
        old, new, _, _ = SLIPS[slip]
        applied += old in text
        text = text.replace(old, new)
    found = diagnose(parse(text, "x.json"))
    assert sum(d.code in ("ELM002", "ELM004") for d in found) >= applied
    assert "ELM201" in {d.code for d in found}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("entry", ["ffn_multipliers", "rope_freq_constant", "num_kv_heads"])
def test_a_number_that_is_none_is_told_once(value: str, entry: str) -> None:
    listed = entry in VALUES
    old = json.dumps(VALUES.get(entry))
    new = old[:-1].rpartition(",")[0] + f", {value}]" if listed else value
    text = (
        TEXT.replace(old, new) if listed else TEXT.replace('"name"', f'"{entry}": {value}, "name"')
    )
    found = diagnose(parse(text, "x.json"))
    here = [d for d in found if d.loc[:1] == (entry,) and d.code != "ELM201"]
    assert len(here) == 1
    # Python's json reads all four, so that programs which do can be asked about.
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_other_programs_can_be_asked_about_it(value: str, run: Run, tmp_path: Path) -> None:
    for entry in VALUES:
        text = TEXT.replace(f'"{entry}": {json.dumps(VALUES[entry])}', f'"{entry}": {value}')
        file = tmp_path / "config.json"
        file.write_text(text)
        assert math.isnan(json.loads(text)[entry]) or math.isinf(json.loads(text)[entry])
        done = run("validate", "--target", "all", "--format", "json", str(file))
        assert done.code == 1
        assert "ELM002" in {d["code"] for d in json.loads(done.out)["diagnostics"]}


def test_no_program_is_asked_about_what_it_cannot_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(TEXT.replace("[0.5, 2.0]", "[0.5, 2.0, ]"))
    with pytest.raises(ValueError, match=r"Expecting value|trailing comma"):
        json.loads(file.read_text())
    done = run("validate", "--target", "mlx-lm", "--format", "json", str(file))
    assert not [d for d in json.loads(done.out)["diagnostics"] if d["code"].startswith("ELM5")]


def test_no_setting_leaves_it_out(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(TEXT.replace("[0.5, 2.0]", "[0.5, 2.0, ]"))
    for flags in (["--ignore", "ELM002,ELM201"], ["--select", "ELM4"]):
        done = run("validate", *flags, "--format", "json", str(file))
        assert done.code == 1
        errors = [d for d in json.loads(done.out)["diagnostics"] if d["severity"] == "error"]
        assert [d["code"] for d in errors] == ["ELM002"]


YAML = TEXT.replace("{\n", "", 1).replace("\n}\n", "\n").replace(",\n", "\n")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"name": "small"', '"name": *nobody', "ELM002"),
        ('"name": "small"', "<<: 3", "ELM002"),
        ('"attention_dropout": 0.0\n', '---\n"a": 1\n', "ELM006"),
        ('"attention_dropout": 0.0', '"attention_dropout": ' + "1" * 5_000, "ELM004"),
        ('"attention_dropout": 0.0', '"attention_dropout": .nan', "ELM102"),
        ("[0.5, 2.0]", "[0.5, .nan]", "ELM205"),
        ("[0.5, 2.0]", "[0.5, -.inf]", "ELM205"),
        ("[0.5, 2.0]", "[0.5, 2.0]\nrope_freq_constant: .inf", "ELM207"),
    ],
)
def test_yaml_goes_on_too(old: str, new: str, code: str) -> None:
    assert YAML.count(old) == 1
    found = diagnose(parse(YAML.replace(old, new), "x.yaml"))
    codes = {d.code for d in found if d.severity is Severity.ERROR}
    # "attention_dropout" is an unknown key in YAML.
    assert codes | {"ELM102"} == {code, "ELM201", "ELM102"}


def test_a_text_of_faults_alone_is_given_up() -> None:
    text = '{"a": 1\n' + "// no\n" * 200_000 + "}"
    found = diagnose(parse(text, "x.json"))
    assert len([d for d in found if d.code == "ELM002"]) == 1_001
