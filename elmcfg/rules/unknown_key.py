"""ELM102: a key that the format does not have. Found by :mod:`elmcfg.findings`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM102",
    name="unknown-key",
    severity=Severity.ERROR,
    what="""
        A key that is not part of the format. In a variant file (YAML) that is an error. A hub
        config.json may carry the keys of other programs: there a near miss of a known key is a
        warning, and so is a key of other models that says something else than ours does (rope_theta
        beside rope_freq_constant, num_hidden_layers, sliding_window). Any other unknown key is only
        named.
    """,
    why="""
        A misspelt key silently leaves its default in force. mlx-lm drops keys it does not know,
        and transformers keeps them as attributes that nothing reads.
    """,
    bad="num_kv_head: [3, 3, 4]",
    good="num_kv_heads: [3, 3, 4]",
    source="mlx-lm models/base.py (BaseModelArgs.from_dict)",
)

COUNTERPARTS: Mapping[str, str] = {
    "activation_function": "activation_fn_name",
    "context_length": "max_context_length",
    "d_model": "model_dim",
    "dim": "model_dim",
    "hidden_act": "activation_fn_name",
    "hidden_size": "model_dim",
    "intermediate_size": "ffn_multipliers",
    "layer_norm_eps": "rms_norm_eps",
    "layer_norm_epsilon": "rms_norm_eps",
    "max_position_embeddings": "max_context_length",
    "max_seq_len": "max_context_length",
    "n_ctx": "max_context_length",
    "n_embd": "model_dim",
    "n_head": "num_query_heads",
    "n_heads": "num_query_heads",
    "n_kv_heads": "num_kv_heads",
    "n_layer": "num_transformer_layers",
    "n_layers": "num_transformer_layers",
    "n_positions": "max_context_length",
    "norm_eps": "rms_norm_eps",
    "num_attention_heads": "num_query_heads",
    "num_heads": "num_query_heads",
    "num_hidden_layers": "num_transformer_layers",
    "num_key_value_heads": "num_kv_heads",
    "num_layers": "num_transformer_layers",
    "rope_base": "rope_freq_constant",
    "rope_theta": "rope_freq_constant",
}
"""Keys of other models (Llama, GPT-2, ...), and the key of an OpenELM that says the same."""
WITHOUT_EFFECT: Mapping[str, str] = {
    "attention_bias": "no projection of an OpenELM has a bias",
    "mlp_bias": "no projection of an OpenELM has a bias",
    "partial_rotary_factor": "RoPE turns all channels of a head",
    "rope_scaling": "positions of an OpenELM are not scaled; rope_freq_constant is all it has",
    "sliding_window": "every layer of an OpenELM attends to the whole context",
}
"""Keys of other models for which an OpenELM has nothing, and what it does instead."""

# How alike a misspelt key and the one that was meant are at least, from 0 to 1; and by how much
# another key must be less alike, so that it cannot have been meant.
_ALIKE, _CLEARLY = 0.82, 0.1
_SAME = {"silu": "swish"}


def near(key: str, known: Iterable[str], there: Iterable[str]) -> list[str]:
    """Return the keys that a misspelt one may have meant: the nearest, and any about as near.

    Args:
        key: The misspelt key.
        known: All keys that there are.
        there: Those that the file has already, which it hardly means a second time.
    """
    lowercase = key.lower().replace("-", "_")
    names, present = list(known), set(there)
    for options in ([name for name in names if name not in present], names):
        close = get_close_matches(lowercase, options, n=3, cutoff=_ALIKE)
        if close:
            degrees = [SequenceMatcher(None, name, lowercase).ratio() for name in close]
            return [
                name
                for name, degree in zip(close, degrees, strict=True)
                if degree > degrees[0] - _CLEARLY
            ]
    return []


def help_for(key: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return how to put right a key of other models that has no effect.

    Args:
        key: A key of :data:`COUNTERPARTS` or :data:`WITHOUT_EFFECT`.
        values: All values of the file.
        defaults: What a config says where it says nothing.

    Returns:
        Empty where the key says nothing else than the config.
    """
    value, ours = values[key], COUNTERPARTS.get(key)
    if value is None or value is False:
        return ""
    if ours is None:
        return f"remove it: {WITHOUT_EFFECT[key]}"
    counts = values[ours] if values.get(ours) is not None else defaults.get(ours)
    alias = _SAME.get(value, value) if isinstance(value, str) else value
    # Where layers differ, other programs can be told but one number of them.
    if counts == alias or (isinstance(counts, list) and (alias in counts or "multi" in ours)):
        return ""
    if values.get(ours) is None:
        return f"did you mean {ours}?"
    text = counts if isinstance(counts, int | float | str) else "the list"
    return f"what counts is {ours}, {text}: change that, or remove {key}"
