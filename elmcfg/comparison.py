"""The tensors of a checkpoint against a config: what the shapes say the config should have been.

A wrong entry of a list shows in several tensors, and a wrong size in all of them. So the sizes are
first read from the tensors (the depth from the names, the widths from the norms, the heads of a
layer from its two attention matrices) and held against the config key by key; a finding points at
the entry that is wrong. Only what that does not explain is reported tensor by tensor. Headers alone
are read, no weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elmcfg.diagnostics import Loc, Violation
from elmcfg.formats import mlx_quantized
from elmcfg.formats.checkpoint import EMBEDDING, layer_numbers
from elmcfg.formats.mlx_quantized import Packed
from elmcfg.formats.safetensors import DTYPES, CheckpointError, Entry, read_headers
from elmcfg.formats.weight_files import weights_named_by, why_unread
from elmcfg.geometry import Geometry, LayerShape
from elmcfg.rules.draft import Draft
from elmcfg.rules.wording import count, number, others
from elmcfg.straight_lines import ffn_line

Shapes = Mapping[str, tuple[int, ...]]

_FIRST = "transformer.layers.0."
# The keys of single values, and what of the tensors tells them.
_SIZES = {
    "num_transformer_layers": "names",
    "model_dim": "shapes",
    "head_dim": "shapes",
    "vocab_size": "shapes",
    "ffn_with_glu": "ffn.proj_1",
    "normalize_qk_projections": "q_norm",
    "share_input_output_layers": "lm_head",
}
_PARTS = {
    "num_query_heads": "query head",
    "num_kv_heads": "KV head",
    "ffn_dim": "feed-forward channel",
}
# So many wrong entries of a list are named one by one; of more, the first and how many.
_FEW = 3


def check(draft: Draft, path: Path) -> Iterator[Violation]:
    """Everything in which a checkpoint on disk and a config disagree.

    Args:
        draft: As :func:`violations` takes it.
        path: A ``*.safetensors`` file, an index of shards, or a folder with either.
    """
    named = weights_named_by(str(path))
    if named is not None and not named.name.endswith((".safetensors", ".index.json")):
        why = why_unread(named) or ""
        yield Violation("ELM601", (), why, "name a safetensors file, an index or a folder")
        return
    try:
        tensors = read_headers(path)
    except CheckpointError as error:
        yield Violation("ELM601", (), str(error), "name a safetensors file, an index or a folder")
        return
    yield from violations(draft, tensors)


def violations(draft: Draft, tensors: Mapping[str, Entry]) -> Iterator[Violation]:
    """Everything in which a checkpoint and a config disagree.

    Args:
        draft: The config, as far as it is valid: of two lists that contradict each other the
            weights say which is right.
        tensors: The headers of the checkpoint.
    """
    quantized = mlx_quantized.packed(tensors, draft.get("model_dim"))
    shapes = mlx_quantized.shapes(tensors, quantized)
    said = {key: draft.get(key) for key in _SIZES}
    seen = _seen(shapes)
    yield from _sizes(said, seen, draft)
    got = _geometry({**said, **seen}, shapes, draft)
    if got is not None:
        if seen.get("model_dim") == said["model_dim"]:  # else every entry is another model's
            yield from _lists(got, draft)
        yield from _tensors(got.tensor_shapes(), shapes)
    yield from _dtypes(draft, tensors)
    yield from _packing(quantized.values(), draft)


def _seen(shapes: Shapes) -> dict[str, Any]:
    """The keys of single values that the tensors tell, and their values."""
    depth = _depth(shapes)
    seen: dict[str, Any] = {
        "num_transformer_layers": depth,
        "model_dim": _dimension(shapes, "transformer.norm.weight", 0),
        "head_dim": _dimension(shapes, _FIRST + "attn.q_norm.weight", 0),
        "vocab_size": _dimension(shapes, EMBEDDING, 0),
        "ffn_with_glu": _gated(shapes),
    }
    if depth:
        seen["normalize_qk_projections"] = _FIRST + "attn.q_norm.weight" in shapes
    if EMBEDDING in shapes:
        seen["share_input_output_layers"] = "lm_head.weight" not in shapes
    return {key: value for key, value in seen.items() if value is not None}


def _depth(shapes: Shapes) -> int | None:
    """Number of layers, where they are numbered without a gap."""
    numbers = layer_numbers(shapes)
    return len(numbers) if numbers and max(numbers) == len(numbers) - 1 else None


def _dimension(shapes: Shapes, name: str, axis: int) -> int | None:
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) and shape[axis] > 0 else None


def _gated(shapes: Shapes) -> bool | None:
    rows = _dimension(shapes, _FIRST + "ffn.proj_1.weight", 0)
    columns = _dimension(shapes, _FIRST + "ffn.proj_2.weight", 1)
    if rows is None or columns is None or rows not in (columns, 2 * columns):
        return None
    return rows == 2 * columns


def _geometry(sizes: Mapping[str, Any], shapes: Shapes, draft: Draft) -> Geometry | None:
    """The model that the tensors are of; what they do not tell is taken from the config."""
    if any(value is None for value in sizes.values()):
        return None
    rest = {key: value for key, value in sizes.items() if key != "num_transformer_layers"}
    layers = tuple(
        _layer(i, sizes["head_dim"], shapes, draft) for i in range(sizes["num_transformer_layers"])
    )
    return Geometry(**rest, layers=layers)


def _layer(i: int, h: int, shapes: Shapes, draft: Draft) -> LayerShape:
    """The integers that the tensors of a layer have, where they have whole ones."""
    prefix = f"transformer.layers.{i}."
    columns = _dimension(shapes, prefix + "attn.out_proj.weight", 1)
    rows = _dimension(shapes, prefix + "attn.qkv_proj.weight", 0)
    width = _dimension(shapes, prefix + "ffn.proj_2.weight", 1)
    q, kv, f = (_said(draft, key, i) or 1 for key in _PARTS)
    if columns is not None and columns % h == 0:
        q = columns // h
    if rows is not None and rows > q * h and (rows - q * h) % (2 * h) == 0:
        kv = (rows - q * h) // (2 * h)
    return LayerShape(i, q, kv, width or f, 0.0, 0.0, 0.0, 0.0)


def _said(draft: Draft, key: str, layer: int) -> int | None:
    """What the config says of a layer: by its list, whole or not, or else by its recipe."""
    sizes: Sequence[int | None] | None = {
        "num_query_heads": draft.values.get("num_query_heads", draft.recipe_heads),
        "num_kv_heads": draft.values.get("num_kv_heads", draft.kv_heads),
        "ffn_dim": draft.ffn_widths,
    }[key]
    return sizes[layer] if sizes is not None and layer < len(sizes) else None


def _sizes(said: Mapping[str, Any], seen: Mapping[str, Any], draft: Draft) -> Iterator[Violation]:
    for key, value in seen.items():
        meant = said[key]
        if meant is None or value == meant:
            continue
        shown = [str(v).lower() if isinstance(v, bool) else f"{v:,}" for v in (value, meant)]
        written = f"{value}".lower()
        yield Violation(
            "ELM604",
            (key,) if key in draft.values else (),
            f"the weights have {key} {shown[0]} (by their {_SIZES[key]}), the config {shown[1]}",
            f"set {key} to {written}, or use the checkpoint that belongs to this config",
            label=f"weights: {shown[0]}",
        )


def _lists(got: Geometry, draft: Draft) -> Iterator[Violation]:
    """Entries of the lists that the shapes contradict."""
    for key, noun in _PARTS.items():
        pairs = [
            (layer.index, said, getattr(layer, key))
            for layer in got.layers
            if (said := _said(draft, key, layer.index)) not in (None, getattr(layer, key))
        ]
        named = pairs if len(pairs) <= _FEW else pairs[:1]
        for layer, said, value in named:
            yield Violation(
                "ELM604",
                _entry(key, layer, draft),
                f"layer {layer}: the weights have {count(value, noun)}, the config {said:,}"
                f"{others(len(pairs) - len(named))}",
                _remedy(key, value, got, draft),
                label=f"weights: {value:,}",
            )


def _entry(key: str, layer: int, draft: Draft) -> Loc:
    """The entry of the file that decides it."""
    listed = "ffn_multipliers" if key == "ffn_dim" else key
    entries = draft.values.get(listed)
    if entries is None:
        return ({"num_query_heads": "qkv_multipliers"}.get(key, "num_gqa_groups"),)
    explicit = key != "ffn_dim" or len(entries) == draft.layers
    return (listed, layer) if explicit else (listed,)


def _remedy(key: str, value: int, got: Geometry, draft: Draft) -> str:
    if key != "ffn_dim":
        return f"use {value}, or the checkpoint that belongs to this config"
    divisor = draft.get("ffn_dim_divisor")
    if value % divisor:
        return f"no multiplier gives {value:,}: it is no multiple of ffn_dim_divisor {divisor}"
    multiplier = number(ffn_line([value], got.model_dim, divisor).points[0])
    return f"use an ffn_multiplier of {multiplier}, or the checkpoint that belongs to this config"


def _tensors(expected: Shapes, shapes: Shapes) -> Iterator[Violation]:
    """What the sizes do not explain, tensor by tensor."""
    missing = [name for name in expected if name not in shapes]
    surplus = [name for name in shapes if name not in expected]
    wrong = [name for name, shape in expected.items() if shapes.get(name, shape) != shape]
    if missing:
        yield Violation(
            "ELM602",
            (),
            f"the weights lack {count(len(missing), 'tensor')}: {_listing(missing)}",
            "is a shard missing, or is it the checkpoint of another model?",
        )
    if surplus:
        yield Violation(
            "ELM603",
            (),
            f"the weights have {count(len(surplus), 'tensor')} that the model has not: "
            f"{_listing(surplus)}",
            "mlx-lm refuses parameters that it does not know; remove them, or use another config",
        )
    if wrong:
        named = wrong[:_FEW]
        more = f"; and {count(len(wrong) - _FEW, 'other tensor')} too" if wrong[_FEW:] else ""
        yield Violation(
            "ELM604",
            (),
            "; ".join(
                f"{name} has shape {_shape(shapes[name])}, the model needs {_shape(expected[name])}"
                for name in named
            )
            + more,
            "the checkpoint contradicts itself; was it edited or converted by hand?",
        )


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return shown if len(names) <= _FEW else f"{shown} and {len(names) - _FEW:,} more"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "()"


def _dtypes(draft: Draft, tensors: Mapping[str, Entry]) -> Iterator[Violation]:
    """Return the type of the values: that of the file, or any that programs compute with.

    Packed words have none of their own.
    """
    wanted = draft.values.get("torch_dtype")
    allowed = list(DTYPES.values()) if wanted is None else [wanted]
    scales = (name for name in tensors if name.endswith(".scales"))
    packed = {name.removesuffix("scales") + "weight" for name in scales}
    other = {
        name: tensor.dtype
        for name, tensor in tensors.items()
        if name not in packed and DTYPES.get(tensor.dtype) not in allowed
    }
    if not other:
        return
    names = " and ".join(sorted({DTYPES.get(dtype, dtype) for dtype in other.values()}))
    total = len(tensors) - len(packed & tensors.keys())
    yield Violation(
        "ELM605",
        ("torch_dtype",),
        f"{len(other):,} of {count(total, 'tensor')} are {names}, not {' or '.join(allowed)}: "
        f"{_listing(list(other))}",
        f"set torch_dtype to {names}"
        if len(other) == total and wanted is not None and names in DTYPES.values()
        else "save the checkpoint in one dtype",
        label=f"weights: {names}",
    )


def _packing(quantized: Collection[Packed], draft: Draft) -> Iterator[Violation]:
    """The quantization that the file names, against the one that the tensors have."""
    key = "quantization" if "quantization" in draft.foreign else "quantization_config"
    said = draft.foreign.get(key)
    if not quantized:
        if isinstance(said, dict):
            yield Violation(
                "ELM606",
                (key,),
                "the config says that the weights are quantized, but they are not",
                f"remove {key}, or use the quantized checkpoint",
            )
        return
    bits, group = (
        Counter(getattr(matrix, key) for matrix in quantized).most_common(1)[0][0]
        for key in ("bits", "group_size")
    )
    found = f"{bits} bits in groups of {group}"
    if not isinstance(said, dict):
        yield Violation(
            "ELM606",
            (),
            f"the weights are quantized ({found}), but the config has no quantization",
            f'add "quantization": {{"group_size": {group}, "bits": {bits}}} to '
            "the config.json; mlx-lm needs it to load them",
        )
        return
    # Entries for single layers may give them bits of their own.
    mixed = any(isinstance(value, dict) for value in said.values())
    for name, value in (("group_size", group), ("bits", bits)):
        if said.get(name) != value and not (mixed and name == "bits"):
            yield Violation(
                "ELM606",
                (key, name) if name in said else (key,),
                f"the weights are quantized with {found}, but {key} says {name} {said.get(name)}",
                f"set {name} to {value}",
                label=f"weights: {value}",
            )
