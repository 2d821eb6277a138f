"""Configs of other families whose layers differ, in the vocabulary of this one.

Their blocks are those of an OpenELM without its names: attention with grouped heads, a gated
feed-forward, RMSNorm, RoPE. So their layers can be shown, counted and checked here, but not built.

* transformers (5.15 and later): ``per_layer_config``, a sparse mapping from layers to the keys that
  differ there, for the families that have no biases and no experts.
* DeciLM (Deci/DeciLM-7B): ``num_key_value_heads_per_layer``.
* Nemotron-NAS (nvidia/Llama-3_1-Nemotron-51B-Instruct, ``modeling_decilm.py``): ``block_configs``;
  KV heads are the query heads over ``n_heads_in_group``, and the feed-forward width is
  ``int(2 * ffn_mult * hidden_size / 3)``, rounded up to a multiple of 256.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_MARKS = ("per_layer_config", "num_key_value_heads_per_layer", "block_configs")
# Whether queries and keys are normalised, of the families that are read.
_QK_NORM = {"llama": False, "mistral": False, "deci": False, "nemotron-nas": False, "qwen3": True}
_NAS_MULTIPLE = 256
_DTYPES = ("float32", "float16", "bfloat16")


class FamilyError(Exception):
    """A config of another family cannot be expressed; the message says why, in one line."""


def family(data: Mapping[str, Any]) -> str | None:
    """Name of the other family that a file's keys are of, if they are."""
    if "num_transformer_layers" in data or not any(mark in data for mark in _MARKS):
        return None
    return str(data.get("model_type", "unknown"))


def values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config that has the same layers.

    Raises:
        FamilyError: If a key is missing or wrong, or something cannot be expressed.
    """
    name = family(data)
    if name not in _QK_NORM:
        raise FamilyError(
            f"configs of model_type {name!r} are not read; {', '.join(_QK_NORM)} and openelm are"
        )
    if data.get("attention_bias") or data.get("mlp_bias"):
        raise FamilyError("its layers have biases, which cannot be expressed")
    depth, d = _whole(data, "num_hidden_layers"), _whole(data, "hidden_size")
    heads = _whole(data, "num_attention_heads")
    head_dim = data.get("head_dim") or d // heads
    layers = [_layer(data, i, heads, d, head_dim) for i in range(depth)]
    ffn = [layer[2] for layer in layers]
    context = data.get("max_position_embeddings", 2048)
    dtype = data.get("dtype", data.get("torch_dtype"))
    told = {
        "rms_norm_eps": data.get("rms_norm_eps"),
        "rope_freq_constant": _rope_base(data),
        "bos_token_id": _one(data.get("bos_token_id")),
        "eos_token_id": _one(data.get("eos_token_id")),
        "torch_dtype": dtype if dtype in _DTYPES else None,
    }
    return {
        "name": name,
        "num_transformer_layers": depth,
        "model_dim": d,
        "head_dim": head_dim,
        "vocab_size": _whole(data, "vocab_size"),
        "num_query_heads": [layer[0] for layer in layers],
        "num_kv_heads": [layer[1] for layer in layers],
        "ffn_multipliers": [width / d for width in ffn],
        "ffn_dim_divisor": math.gcd(*ffn),
        "normalize_qk_projections": _QK_NORM[name],
        "share_input_output_layers": bool(data.get("tie_word_embeddings", False)),
        "max_context_length": context,
        "rope_max_length": context,
        **{key: value for key, value in told.items() if value is not None},
    }


def _layer(
    data: Mapping[str, Any], index: int, heads: int, d: int, head_dim: int
) -> tuple[int, int, int]:
    """Query heads, KV heads and feed-forward width of a layer."""
    if "block_configs" in data:
        return _block(data, index, heads, d)
    if "num_key_value_heads_per_layer" in data:
        kv = {"KV heads": _entry(data, "num_key_value_heads_per_layer", index)}
        return heads, _whole(kv, "KV heads", index), _whole(data, "intermediate_size")
    overrides = data["per_layer_config"]
    if not isinstance(overrides, Mapping):
        raise FamilyError("per_layer_config is no mapping from layers to keys")
    own = overrides.get(str(index), overrides.get(index, {}))
    if not isinstance(own, Mapping):
        raise FamilyError(f"per_layer_config of layer {index} is no mapping of keys")
    if own.get("head_dim", head_dim) != head_dim:
        raise FamilyError(f"layer {index} has a head_dim of its own, which cannot be expressed")
    layer = {"num_key_value_heads": data.get("num_attention_heads"), **data, **own}
    sizes = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
    query, key_value, width = (_whole(layer, key, index) for key in sizes)
    return query, key_value, width


def _block(data: Mapping[str, Any], index: int, heads: int, d: int) -> tuple[int, int, int]:
    block = _entry(data, "block_configs", index)
    parts = block if isinstance(block, Mapping) else {}
    attention, ffn = parts.get("attention"), parts.get("ffn")
    if not isinstance(attention, Mapping) or not isinstance(ffn, Mapping):
        raise FamilyError(f"block_configs of layer {index} has no attention and ffn")
    for what, part in (("attention", attention), ("feed-forward", ffn)):
        if part.get("no_op") or part.get("replace_with_linear"):
            raise FamilyError(f"layer {index} has no {what}, which cannot be expressed")
    group = _whole(attention, "n_heads_in_group", index)
    multiplier = ffn.get("ffn_mult")
    if not isinstance(multiplier, int | float) or not 0 < multiplier < 1000:
        raise FamilyError(f"layer {index}: ffn_mult is {multiplier!r}, not a multiplier")
    if heads % group:
        raise FamilyError(f"layer {index}: {heads} query heads are not in groups of {group}")
    width = int(2 * multiplier * d / 3)
    return heads, heads // group, -(-width // _NAS_MULTIPLE) * _NAS_MULTIPLE


def _entry(data: Mapping[str, Any], key: str, index: int) -> Any:
    entries = data[key]
    depth = data.get("num_hidden_layers")
    if not isinstance(entries, list) or len(entries) != depth:
        raise FamilyError(f"{key} has not one entry for each of {depth} layers")
    return entries[index]


def _whole(data: Mapping[str, Any], key: str, layer: int | None = None) -> int:
    value = data.get(key)
    if type(value) is not int or not 1 <= value <= 2**30:
        where = "" if layer is None else f"layer {layer}: "
        raise FamilyError(f"{where}{key} is {value!r}, not a whole number from 1")
    return value


def _rope_base(data: Mapping[str, Any]) -> Any:
    """Where transformers keeps it: a key of its own, or since version 5 in ``rope_parameters``."""
    parameters = data.get("rope_parameters")
    given = parameters.get("rope_theta") if isinstance(parameters, Mapping) else None
    return data.get("rope_theta", given)


def _one(token: Any) -> Any:
    return token[0] if isinstance(token, list) and token else token
