"""Verdicts on transformers with the hub's code, against a table of what it really did.

The table was made by running ``tests/real_hub_code.py`` on these configs, with torch 2.13.0 and
transformers 4.39.3 and 4.57.6, which gave the same. :func:`test_the_table` runs it again where
``ELMCFG_HUB_CODE`` names the folder of the hub's code, with the Python that ``ELMCFG_HUB_PYTHON``
names, which must have torch and transformers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg.config import Config
from elmcfg.document import parse
from elmcfg.fixes import mend
from elmcfg.formats import hub
from elmcfg.linter import check, diagnose
from elmcfg.portability import TARGETS, verdicts
from elmcfg.portability.verdict import Outcome, Verdict

GONE = "(removed)"
SMALL: dict[str, Any] = {
    "model_type": "openelm",
    "num_transformer_layers": 2,
    "model_dim": 32,
    "head_dim": 8,
    "vocab_size": 64,
    "ffn_dim_divisor": 16,
    "num_query_heads": [4, 4],
    "num_kv_heads": [2, 2],
    "ffn_multipliers": [0.5, 1.0],
    "qkv_multipliers": 1.0,
    "num_gqa_groups": 2,
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "max_context_length": 64,
    "rope_max_length": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LISTS = {"qkv_multipliers": GONE, "num_gqa_groups": GONE}
# What to change; what the program did: whether the head is tied, the query heads, or the error; and
# what that is to who wrote the config.
TABLE: list[tuple[dict[str, Any], bool | str, list[int] | str, Outcome]] = [
    ({}, True, [4, 4], Outcome.SAME),
    ({"share_input_output_layers": False}, True, [4, 4], Outcome.ANOTHER),
    (
        {"share_input_output_layers": False, "tie_word_embeddings": False},
        False, [4, 4], Outcome.SAME,
    ),
    (
        {"share_input_output_layers": False, "tie_word_embeddings": None},
        False, [4, 4], Outcome.SAME,
    ),
    ({"tie_word_embeddings": False}, True, [4, 4], Outcome.SAME),
    ({"share_input_output_layers": GONE}, True, [4, 4], Outcome.SAME),
    (
        {"share_input_output_layers": GONE, "tie_word_embeddings": False},
        False, [4, 4], Outcome.ANOTHER,
    ),
    # Fewer query heads than KV heads: it goes on, and the attention gives zeros.
    ({**LISTS, "num_kv_heads": [8, 8], "num_query_heads": [8, 8]}, True, [4, 4], Outcome.ANOTHER),
    (
        {**LISTS, "num_kv_heads": [3, 2], "num_query_heads": [3, 4]},
        "forward", "RuntimeError", Outcome.REFUSES,
    ),
    ({"num_query_heads": GONE, "num_kv_heads": GONE}, True, [4, 4], Outcome.SAME),
    (
        {"num_query_heads": GONE, "num_kv_heads": GONE, "head_dim": 6},
        "config", "ValueError", Outcome.REFUSES,
    ),
    (
        {"num_query_heads": None, "num_kv_heads": GONE, "head_dim": 6},
        "config", "ValueError", Outcome.REFUSES,
    ),
    ({"num_gqa_groups": None, "qkv_multipliers": GONE}, "config", "TypeError", Outcome.REFUSES),
    (
        {"num_gqa_groups": None, "qkv_multipliers": None},
        "config", "UnboundLocalError", Outcome.REFUSES,
    ),
    ({"num_query_heads": GONE, "num_kv_heads": None}, "built", "TypeError", Outcome.REFUSES),
    ({"qkv_multipliers": [1.0]}, "config", "UnboundLocalError", Outcome.REFUSES),
    ({"rope_freq_constant": 2**64 - 1}, True, [4, 4], Outcome.SAME),
    ({"rope_freq_constant": 2**64}, "built", "OverflowError", Outcome.REFUSES),
    ({"rope_freq_constant": 10**30}, "built", "OverflowError", Outcome.REFUSES),
    ({"rope_freq_constant": 1e30}, True, [4, 4], Outcome.SAME),
    # Of six tokens the first three get logits: the code cuts along the sequence.
    ({"vocab_size": 3}, True, [4, 4], Outcome.ANOTHER),
]  # fmt: skip


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in {**SMALL, **changes}.items() if v != GONE}


def verdict(values: dict[str, Any]) -> Verdict:
    config, findings = check(parse(json.dumps(values), "config.json"))
    assert config is not None, findings
    return verdicts(config, ["hf"], values)[0]


@pytest.mark.parametrize(
    ("changes", "stage", "result", "outcome"), TABLE, ids=lambda value: str(value)[:60]
)
def test_the_hubs_code_does_what_is_said_of_it(
    changes: dict[str, Any], stage: bool | str, result: list[int] | str, outcome: Outcome
) -> None:
    said = verdict(changed(changes))
    assert said.outcome is outcome, said
    if isinstance(result, str):
        assert "first forward pass" in said.message or f"{result}:" in said.message


@pytest.mark.skipif(
    "ELMCFG_HUB_CODE" not in os.environ,
    reason="needs the hub's code, and a Python with torch (ELMCFG_HUB_CODE, ELMCFG_HUB_PYTHON)",
)
def test_the_table() -> None:
    child = subprocess.run(
        [
            os.environ.get("ELMCFG_HUB_PYTHON", sys.executable),
            str(Path(__file__).with_name("real_hub_code.py")),
            os.environ["ELMCFG_HUB_CODE"],
        ],
        input=json.dumps([changed(changes) for changes, *_ in TABLE]),
        capture_output=True,
        text=True,
        check=True,
    )
    for (changes, stage, result, _), line in zip(TABLE, child.stdout.splitlines(), strict=True):
        real = json.loads(line)
        if isinstance(result, str):
            assert (real["stage"], real["error"].partition(":")[0]) == (stage, result), changes
        else:
            assert (real["tied"], real["heads"][0]) == (stage, result), changes
            assert real["tokens"] == min(6, changed(changes)["vocab_size"])


def test_what_is_said_of_zeros_of_cut_logits_and_of_ties() -> None:
    said = verdict(changed({**LISTS, "num_kv_heads": [8, 8], "num_query_heads": [8, 8]}))
    assert "fewer than its KV heads, and its attention gives zeros" in said.message
    said = verdict(changed({"vocab_size": 3}))
    assert "logits of the first 3 tokens" in said.message
    said = verdict(changed({"share_input_output_layers": False}))
    assert said.message == "it has a tied output head"


def test_a_large_mask_is_named() -> None:
    values = changed({"max_context_length": 200_000, "rope_max_length": 400_000,
                      "vocab_size": 200_000})  # fmt: skip
    said = verdict(values)
    assert said.outcome is Outcome.SAME
    # One byte for each of 200,000 x 200,000 entries.
    assert any("37.25 GiB" in note for note in said.notes)
    assert not any("mask" in note for note in verdict(changed({})).notes)


def test_the_versions_are_named(run: Run) -> None:
    done = run("validate", "--target", "hf", "openelm-270m")
    text = " ".join(done.out.split())
    assert "transformers 4.39 to 4.57" in text
    assert "with transformers 5 the hub's code stops at every config" in text
    assert "__post_init__() got an unexpected keyword argument 'use_cache'" in text


FORMS: list[dict[str, Any]] = [
    {"qkv_multipliers": [1.0], "num_gqa_groups": 2},
    {"qkv_multipliers": 1.0, "num_gqa_groups": 2, "num_query_heads": None},
    {"qkv_multipliers": [0.5, 1.0], "num_gqa_groups": 2, "num_kv_heads": None},
    {"qkv_multipliers": [0.5, 1.0, 0.5], "num_gqa_groups": 2},
    {"num_query_heads": [4] * 6, "num_kv_heads": [2] * 6, "num_gqa_groups": None},
    {"num_query_heads": [4] * 6, "num_kv_heads": [2] * 6, "qkv_multipliers": None},
]


@pytest.mark.parametrize(
    "ffn", [1.0, [1.0], [0.5, 1.0], [0.5, 1.0, 0.5], [0.5, 0.8, 1.1, 1.4, 1.7, 2.0]]
)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_of_a_valid_config_gets_a_verdict(form: dict[str, Any], ffn: Any) -> None:
    sizes = {"num_transformer_layers": 6, "model_dim": 64, "head_dim": 8, "vocab_size": 64}
    config = Config.model_validate({**sizes, **form, "ffn_multipliers": ffn, "ffn_dim_divisor": 8})
    said = {v.target: v for v in verdicts(config, TARGETS, {**sizes, **form, "ffn_multipliers": ffn,
                                                            "model_type": "openelm"})}  # fmt: skip
    # CoreNet says lines of one or two points; a peak in the middle is none.
    peaks = form.get("qkv_multipliers") == [0.5, 1.0, 0.5] or ffn == [0.5, 1.0, 0.5]
    assert said["corenet"].outcome is (Outcome.REFUSES if peaks else Outcome.SAME)


UNTIED = changed({"share_input_output_layers": False})


def found(values: dict[str, Any]) -> dict[str, Any]:
    return {d.code: d for d in diagnose(parse(json.dumps(values, indent=2), "config.json"))}


def mended(values: dict[str, Any], *, unsafe: bool = False) -> dict[str, Any]:
    document = parse(json.dumps(values, indent=2), "config.json")
    after, _ = mend(document, diagnose, unsafe=unsafe)
    return dict(after.data or {})


def test_keys_that_tie_otherwise_are_found_and_mended() -> None:
    said = found(UNTIED)["ELM415"]
    assert said.loc == ("share_input_output_layers",)
    assert mended(UNTIED) == {**UNTIED, "tie_word_embeddings": False}
    # Where the file says both, only its author knows.
    both = {**UNTIED, "tie_word_embeddings": True}
    assert "ELM415" in found(both)
    assert mended(both) == both
    assert mended(both, unsafe=True) == {**both, "tie_word_embeddings": False}
    # Every program ties this one.
    tied = changed({"tie_word_embeddings": False})
    assert found(tied)["ELM415"].loc == ("tie_word_embeddings",)
    assert mended(tied) == {**tied, "tie_word_embeddings": True}
    open_ = changed({"share_input_output_layers": GONE, "tie_word_embeddings": False})
    assert "ELM415" in found(open_)
    assert mended(open_, unsafe=True) == open_


@given(
    st.sampled_from([True, False, GONE]), st.sampled_from([True, False, None, GONE])
)  # fmt: skip
def test_keys_that_tie_alike_are_not_remarked_on(shared: Any, tied: Any) -> None:
    """A finding, exactly where a reader of the one key and of the other get two models."""
    values = changed({"share_input_output_layers": shared, "tie_word_embeddings": tied})
    ours = shared in (True, GONE)
    by_hub_code = shared is True or tied in (True, GONE)
    contradiction = shared is True and tied is False
    assert ("ELM415" in found(values)) == (ours != by_hub_code or contradiction)
    # No program reads YAML.
    assert "ELM415" not in {d.code for d in diagnose(parse(json.dumps(UNTIED), "variant.yaml"))}


@pytest.mark.parametrize("form", ["hub", "mlx-lm"])
def test_convert_writes_what_transformers_ties_by(run: Run, tmp_path: Path, form: str) -> None:
    (tmp_path / "untied.yaml").write_text(json.dumps(UNTIED))
    done = run("convert", str(tmp_path / "untied.yaml"), str(tmp_path / "out"), "--to", form)
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["tie_word_embeddings"] is False
    assert not [d for d in diagnose(parse(json.dumps(written), "c.json")) if d.code == "ELM415"]
    assert elmcfg.load(written).share_input_output_layers is False
    assert "tie_word_embeddings" not in hub.values(elmcfg.load("openelm-270m"))
