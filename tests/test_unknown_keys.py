"""Keys that a config does not have: misspelt ones, and those of other models and programs."""

import json
from typing import Any

import oracles
import pytest

from elmcfg import fixes
from elmcfg.config import Config
from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.document import parse
from elmcfg.linter import diagnose
from elmcfg.rules.unknown_key import COUNTERPARTS, WITHOUT_EFFECT, near

MODEL = oracles.RELEASED[0]
VALUES: dict[str, Any] = {
    "model_type": "openelm",
    "num_transformer_layers": MODEL.layers,
    "model_dim": MODEL.model_dim,
    "head_dim": MODEL.head_dim,
    "vocab_size": 32000,
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 1.0],
    "num_query_heads": [4 * kv for kv in MODEL.kv_heads],
    "num_kv_heads": MODEL.kv_heads,
    "ffn_multipliers": MODEL.ffn_multipliers,
    "activation_fn_name": "swish",
}


def remarks(notation: str = "json", **changes: Any) -> list[Diagnostic]:
    """Return what is said of a released config with some keys more."""
    text = json.dumps({**VALUES, **changes}, indent=1)  # which is YAML as well
    return [d for d in diagnose(parse(text, f"x.{notation}")) if d.severity is not Severity.INFO]


def fix_all(notation: str = "json", **changes: Any) -> dict[str, Any]:
    """Return such a config after all fixes, and hold that the safe ones change nothing."""
    document = parse(json.dumps({**VALUES, **changes}, indent=1), f"x.{notation}")
    assert fixes.mend(document, diagnose)[0].text == document.text
    after = fixes.mend(document, diagnose, unsafe=True)[0].data
    assert after is not None
    return after


def test_the_table_is_of_keys_that_are_not_ours() -> None:
    fields = Config.model_fields.keys()
    assert not fields & (COUNTERPARTS.keys() | WITHOUT_EFFECT.keys())
    assert set(COUNTERPARTS.values()) <= fields


@pytest.mark.parametrize("notation", ["json", "yaml"])
def test_another_name_of_the_rope_base(notation: str) -> None:
    (found,) = remarks(notation, rope_theta=500000)
    assert (found.code, found.loc) == ("ELM102", ("rope_theta",))
    assert found.help == "did you mean rope_freq_constant?"
    if notation == "json":
        assert "is ignored by the programs that read an OpenELM" in found.message
    assert fix_all(notation, rope_theta=500000) == {**VALUES, "rope_freq_constant": 500000}


def test_what_says_the_same_is_no_remark() -> None:
    same: dict[str, Any] = {
        "rope_theta": 10000.0,  # the default of rope_freq_constant
        "rope_scaling": None,
        "sliding_window": None,
        "attention_bias": False,
        "num_hidden_layers": 16,
        "hidden_size": 1280,
        "num_attention_heads": 20,
        "num_key_value_heads": 5,
        "intermediate_size": 5120,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
    }
    assert remarks(**same) == []
    (info,) = diagnose(parse(json.dumps({**VALUES, **same}), "x.json"))
    assert info.severity is Severity.INFO
    assert info.help == "the programs that read an OpenELM's config.json ignore them"
    assert all(key in info.message for key in same)


@pytest.mark.parametrize(
    ("key", "value", "helps"),
    [
        ("rope_scaling", {"type": "linear", "factor": 2.0}, "remove it: positions of an OpenELM"),
        ("sliding_window", 4096, "remove it: every layer of an OpenELM attends to the whole"),
        ("attention_bias", True, "remove it: no projection of an OpenELM has a bias"),
        ("num_hidden_layers", 12, "what counts is num_transformer_layers, 16: change that"),
        ("hidden_size", 2048, "what counts is model_dim, 1280: change that, or remove hidden_size"),
        ("num_key_value_heads", 8, "what counts is num_kv_heads, the list: change that"),
        ("hidden_act", "gelu", "what counts is activation_fn_name, swish: change that"),
        ("max_position_embeddings", 8192, "did you mean max_context_length?"),
        ("layer_norm_eps", 1e-5, "did you mean rms_norm_eps?"),
    ],
)
def test_what_says_something_else_is_a_warning(key: str, value: Any, helps: str) -> None:
    (found,) = remarks(**{key: value})
    assert (found.severity, found.code, found.loc) == (Severity.WARNING, "ELM102", (key,))
    assert found.help.startswith(helps)
    (found,) = remarks("yaml", **{key: value})
    assert (found.severity, found.code, found.loc) == (Severity.ERROR, "ELM102", (key,))
    assert found.help.startswith(helps)


def test_a_key_of_ours_beside_it_is_never_replaced() -> None:
    both: dict[str, Any] = {"rope_theta": 500000, "rope_freq_constant": 10000}
    (found,) = remarks(**both)
    assert (
        found.help == "what counts is rope_freq_constant, 10000: change that, or remove rope_theta"
    )
    assert fix_all(**both) == {**VALUES, **both}


def test_a_value_that_would_not_fit_is_not_moved() -> None:
    text = json.dumps({k: v for k, v in VALUES.items() if k != "num_query_heads"})
    document = parse(
        text.replace('"num_kv_heads"', '"num_attention_heads": 20, "num_kv_heads"'), "x.json"
    )
    assert "num_attention_heads" in fixes.mend(document, diagnose, unsafe=True)[0].text


@pytest.mark.parametrize(
    ("key", "there", "meant"),
    [
        ("num_kv_head", (), ["num_kv_heads"]),
        ("num_q_heads", (), ["num_kv_heads", "num_query_heads"]),
        ("num_q_heads", ("num_kv_heads",), ["num_query_heads"]),
        ("fnn_multipliers", (), ["ffn_multipliers"]),
        ("Vocab-Size", (), ["vocab_size"]),
        ("vocab_sise", ("vocab_size",), ["vocab_size"]),
        ("max_lr", (), []),
    ],
)
def test_what_a_misspelt_key_may_mean(key: str, there: tuple[str, ...], meant: list[str]) -> None:
    assert near(key, Config.model_fields, there) == meant
