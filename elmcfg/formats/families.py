"""Configs of other families whose layers differ, in the vocabulary of this one.

Their blocks are those of an OpenELM without its names: attention with grouped heads, a gated
feed-forward, RMSNorm, RoPE. So their layers can be shown, counted and checked here, but not built.

* transformers (5.15 and later): ``per_layer_config``, a sparse mapping from layers to the keys that
  differ there, for the families that have no biases and no experts.
* DeciLM (Deci/DeciLM-7B): ``num_key_value_heads_per_layer``.
* Nemotron-NAS (nvidia/Llama-3_1-Nemotron-51B-Instruct, ``modeling_decilm.py``): ``block_configs``;
  KV heads are the query heads over ``n_heads_in_group``, and the feed-forward width is
  ``int(2 * ffn_mult * hidden_size / 3)``, rounded up to a multiple of 256. A layer may have no
  attention or no feed-forward (``no_op``), which are 0 heads and width 0 here, or one square matrix
  in its place (``replace_with_linear``). Newer files (modelopt's Puzzletron) give
  ``num_key_value_heads`` and ``intermediate_size`` instead, which are used as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elmcfg.field_types import MAX_LAYERS
from elmcfg.formats.safetensors import DTYPES

Loc = tuple[str | int, ...]

_MARKS = ("per_layer_config", "num_key_value_heads_per_layer", "block_configs")
# Whether queries and keys are normalised, of the families that are read.
_QK_NORM = {"llama": False, "mistral": False, "deci": False, "nemotron-nas": False, "qwen3": True}
_NAS_MULTIPLE = 256
# Keys of a config that these files may tell, or do not.
_OPTIONAL = (
    "rms_norm_eps", "rope_freq_constant", "max_context_length", "rope_max_length", "bos_token_id",
    "eos_token_id", "initializer_range", "torch_dtype",
)  # fmt: skip
# Where our keys stand in their files; what differs by layer is found by :func:`place`.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "num_transformer_layers": ("num_hidden_layers",),
    "model_dim": ("hidden_size",),
    "num_query_heads": ("num_attention_heads",),
    "num_kv_heads": ("num_key_value_heads_per_layer", "num_key_value_heads", "num_attention_heads"),
    "ffn_multipliers": ("intermediate_size",),
    "share_input_output_layers": ("tie_word_embeddings",),
    "max_context_length": ("max_position_embeddings",),
    "rope_max_length": ("max_position_embeddings",),
    "rope_freq_constant": ("rope_theta", "rope_parameters"),
    "torch_dtype": ("dtype", "torch_dtype"),
}
_IN_BLOCK: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "num_query_heads": ("attention", ()),
    "num_kv_heads": ("attention", ("n_heads_in_group", "num_key_value_heads")),
    "ffn_multipliers": ("ffn", ("ffn_mult", "intermediate_size")),
}


class FamilyError(Exception):
    """A config of another family cannot be expressed; the message says why, in one line.

    Attributes:
        loc: What in the file cannot.
    """

    def __init__(self, message: str, *loc: str | int) -> None:
        super().__init__(message)
        self.loc = loc


def family(data: Mapping[str, Any]) -> str | None:
    """Name of the other family that a file's keys are of, if they are."""
    data = _without_nulls(data)
    if "num_transformer_layers" in data or not any(mark in data for mark in _MARKS):
        return None
    return str(data.get("model_type", "unknown"))


def _without_nulls(data: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nulls, which mean the same as keys that are not there."""
    return {key: value for key, value in data.items() if value is not None}


def values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config that has the same layers.

    Raises:
        FamilyError: If a key is missing or wrong, or something cannot be expressed.
    """
    data = _without_nulls(data)
    name = family(data)
    if name not in _QK_NORM:
        raise FamilyError(
            f"configs of model_type {_shown(name)} are not read; {', '.join(_QK_NORM)} and "
            "openelm are",
            "model_type",
        )
    for key in ("attention_bias", "mlp_bias"):
        if data.get(key):
            raise FamilyError("its layers have biases, which cannot be expressed", key)
    depth, d = _whole(data, "num_hidden_layers"), _whole(data, "hidden_size")
    if depth > MAX_LAYERS:
        raise FamilyError(
            f"num_hidden_layers is {depth:,}, but must be at most {MAX_LAYERS:,}",
            "num_hidden_layers",
        )
    heads = _whole(data, "num_attention_heads")
    head_dim = data.get("head_dim") or d // heads
    _hold_overrides(data, depth)
    layers = [_layer(data, i, heads, d, head_dim) for i in range(depth)]
    ffn = [layer.ffn_dim for layer in layers]
    linear = {
        f"linear_{part}": [i for i, layer in enumerate(layers) if part in layer.linear]
        for part in ("attention", "ffn")
    }
    context = data.get("max_position_embeddings")
    dtype = data.get("dtype", data.get("torch_dtype"))
    told = {
        "max_context_length": context,
        "rope_max_length": context,
        "rms_norm_eps": data.get("rms_norm_eps"),
        "rope_freq_constant": _rope_base(data),
        "bos_token_id": _one(data.get("bos_token_id")),
        "eos_token_id": _one(data.get("eos_token_id")),
        "torch_dtype": dtype if dtype in DTYPES.values() else None,
    }
    return {
        "name": name,
        "num_transformer_layers": depth,
        "model_dim": d,
        "head_dim": head_dim,
        "vocab_size": _whole(data, "vocab_size"),
        "num_query_heads": [layer.query for layer in layers],
        "num_kv_heads": [layer.kv for layer in layers],
        "ffn_multipliers": [width / d for width in ffn],
        "ffn_dim_divisor": math.gcd(*ffn) or 1,
        "normalize_qk_projections": _QK_NORM[name],
        "share_input_output_layers": bool(data.get("tie_word_embeddings", False)),
        **{key: value for key, value in told.items() if value is not None},
        **{key: layers for key, layers in linear.items() if layers},
    }


def untold(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of a config that a file did not tell, of which :func:`values` made these."""
    return tuple(key for key in _OPTIONAL if key not in values)


def place(data: Mapping[str, Any], loc: Loc) -> Loc:
    """Where a value of ours stands in the other family's file.

    Args:
        data: The file.
        loc: Path of the value among those of :func:`values`.
    """
    data = _without_nulls(data)
    key, *rest = loc or ("",)
    key = str(key)
    if rest and "block_configs" in data and key in _IN_BLOCK:
        part, names = _IN_BLOCK[key]
        said = data["block_configs"][rest[0]].get(part) or {}
        return ("block_configs", rest[0], part, *(n for n in names if said.get(n) is not None))
    overrides = data.get("per_layer_config")
    if rest and isinstance(overrides, Mapping) and str(rest[0]) in overrides:
        own = next((n for n in _PLACES[key] if n in overrides[str(rest[0])]), None)
        if own is not None:
            return ("per_layer_config", str(rest[0]), own)
    found = next((name for name in _PLACES.get(key, (key,)) if name in data), key)
    return (found, *rest) if isinstance(data.get(found), list) else (found,)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Query heads, KV heads and feed-forward width; parts that one matrix stands in place of."""

    query: int
    kv: int
    ffn_dim: int
    linear: tuple[str, ...] = ()


def _hold_overrides(data: Mapping[str, Any], depth: int) -> None:
    """Refuse a ``per_layer_config`` of layers that are not there, as transformers does.

    Raises:
        FamilyError: If it names one.
    """
    overrides = data.get("per_layer_config", {})
    if not isinstance(overrides, Mapping):
        raise FamilyError("per_layer_config is no mapping from layers to keys", "per_layer_config")
    there = set(map(str, range(depth)))
    strange = next((layer for layer in overrides if str(layer) not in there), None)
    if strange is not None:
        message = f"per_layer_config has a layer {strange}; layers are 0 to {depth - 1}"
        raise FamilyError(message, "per_layer_config", strange)


def _layer(data: Mapping[str, Any], index: int, heads: int, d: int, head_dim: int) -> _Layer:
    if "block_configs" in data:
        return _block(data, index, heads, d)
    if "num_key_value_heads_per_layer" in data:
        key = "num_key_value_heads_per_layer"
        kv = _count(_entry(data, key, index), f"layer {index}: KV heads", key, index)
        return _Layer(heads, kv, _whole(data, "intermediate_size"))
    overrides = data["per_layer_config"]
    own = overrides.get(str(index), overrides.get(index, {}))
    at = ("per_layer_config", str(index))
    if not isinstance(own, Mapping):
        raise FamilyError(f"per_layer_config of layer {index} is no mapping of keys", *at)
    own = _without_nulls(own)
    if own.get("head_dim", head_dim) != head_dim:
        message = f"layer {index} has a head_dim of its own, which cannot be expressed"
        raise FamilyError(message, *at, "head_dim")
    layer = {"num_key_value_heads": data.get("num_attention_heads"), **data, **own}
    query, key_value, width = (
        _count(layer.get(key), f"layer {index}: {key}", *(at if key in own else ()), key)
        for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size")
    )
    return _Layer(query, key_value, width)


def _block(data: Mapping[str, Any], index: int, heads: int, d: int) -> _Layer:
    block = _entry(data, "block_configs", index)
    parts = block if isinstance(block, Mapping) else {}
    attention, ffn = parts.get("attention"), parts.get("ffn")
    if not isinstance(attention, Mapping) or not isinstance(ffn, Mapping):
        message = f"block_configs of layer {index} has no attention and ffn"
        raise FamilyError(message, "block_configs", index)
    if ffn.get("moe"):
        message = f"layer {index} has experts, which cannot be expressed"
        raise FamilyError(message, "block_configs", index, "ffn", "moe")
    linear = tuple(
        name
        for name, part in (("attention", attention), ("ffn", ffn))
        if part.get("replace_with_linear") and not part.get("no_op")
    )
    query = kv = width = 0
    if not attention.get("no_op") and "attention" not in linear:
        query, kv = heads, _block_kv(attention, index, heads)
    if not ffn.get("no_op") and "ffn" not in linear:
        width = _block_width(ffn, index, d)
    return _Layer(query, kv, width, linear)


def _block_kv(attention: Mapping[str, Any], index: int, heads: int) -> int:
    at = ("block_configs", index, "attention")
    key = "num_key_value_heads"
    if attention.get("n_heads_in_group") is None and attention.get(key) is not None:
        return _count(attention[key], f"layer {index}: {key}", *at, key)
    key = "n_heads_in_group"
    group = _count(attention.get(key), f"layer {index}: {key}", *at, key)
    if heads % group:
        message = f"layer {index}: {heads} query heads are not in groups of {group}"
        raise FamilyError(message, *at, key)
    return heads // group


def _block_width(ffn: Mapping[str, Any], index: int, d: int) -> int:
    at = ("block_configs", index, "ffn")
    key = "intermediate_size"
    if ffn.get("ffn_mult") is None and ffn.get(key) is not None:
        return _count(ffn[key], f"layer {index}: {key}", *at, key)
    multiplier = ffn.get("ffn_mult")
    if (
        isinstance(multiplier, bool)
        or not isinstance(multiplier, int | float)
        or not 0 < multiplier < 1000
    ):
        message = f"layer {index}: ffn_mult is {_shown(multiplier)}, not a multiplier"
        raise FamilyError(message, *at, "ffn_mult")
    # Rounded first, as the hub's code does it.
    width = int(2 * round(multiplier, 6) * d / 3)
    return -(-width // _NAS_MULTIPLE) * _NAS_MULTIPLE


def _entry(data: Mapping[str, Any], key: str, index: int) -> Any:
    entries = data[key]
    depth = data.get("num_hidden_layers")
    if not isinstance(entries, list) or len(entries) != depth:
        raise FamilyError(f"{key} has not one entry for each of {depth} layers", key)
    return entries[index]


def _whole(data: Mapping[str, Any], key: str) -> int:
    return _count(data.get(key), key, key)


def _count(value: Any, name: str, *loc: str | int) -> int:
    if type(value) is not int or not 1 <= value <= 2**30:
        raise FamilyError(f"{name} is {_shown(value)}, not a whole number from 1 to 2**30", *loc)
    return value


def _shown(value: Any) -> str:
    """Return a value in at most 40 characters: a file may say anything."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _rope_base(data: Mapping[str, Any]) -> Any:
    """Where transformers keeps it: a key of its own, or since version 5 in ``rope_parameters``."""
    parameters = data.get("rope_parameters")
    given = parameters.get("rope_theta") if isinstance(parameters, Mapping) else None
    return data.get("rope_theta", given)


def _one(token: Any) -> Any:
    return token[0] if isinstance(token, list) and token else token
