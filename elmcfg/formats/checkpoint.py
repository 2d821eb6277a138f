"""What the tensors of a checkpoint say of its config, and what they leave open.

Shapes tell almost everything: the depth from the names, the widths from the norms and the
embedding, the heads of a layer from its two attention matrices. What they cannot tell (the RoPE
base, the norm's epsilon, how long the context may be) is assumed as the released models have it,
and named, so that no guess passes for a fact.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.formats import gguf, mlx_quantized, safetensors
from elmcfg.formats.safetensors import DTYPES, CheckpointError, Entry
from elmcfg.geometry import ffn_dim, shortest_multiplier, usual_rope_length
from elmcfg.storage import Packing, Storage, label

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry

Shapes = Mapping[str, tuple[int, ...]]

EMBEDDING = "transformer.token_embeddings.weight"
"""Name of the embedding table in the released checkpoints."""
_LAYER = re.compile(r"transformer\.layers\.(0|[1-9]\d{0,5})\.")
_USUAL_DIVISOR = 256
# Of more tensors that are wrong, these are named, and how many more there are.
_FEW = 3
_USUAL_HEAD_DIMS = (64, 128, 32, 16, 8, 4, 2)
UNTOLD = ("rope_max_length", "initializer_range", "use_cache")
"""Keys of a config that neither tensors nor the metadata of a GGUF file tell."""
# Keys that the metadata of a GGUF file tell, and tensors do not.
_IN_METADATA = {
    "rms_norm_eps": "openelm.attention.layer_norm_rms_epsilon",
    "rope_freq_constant": "openelm.rope.freq_base",
    "max_context_length": "openelm.context_length",
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A config as far as a checkpoint tells it.

    Attributes:
        values: Keys of a config.
        assumed: Keys that the file does not tell, given in ``values`` or left at their defaults.
    """

    values: dict[str, Any]
    assumed: tuple[str, ...]


def read(path: Path) -> Reading:
    """The config of a checkpoint, from its headers alone.

    Args:
        path: A ``*.safetensors`` file, the index of shards, or a ``*.gguf`` file.

    Raises:
        CheckpointError: If it cannot be read, is damaged, or is not of an OpenELM-style model.
    """
    if path.suffix.lower() == ".gguf":
        return _of_gguf(path)
    entries = safetensors.read_headers(path)
    values, assumed = from_shapes(
        mlx_quantized.shapes(entries, mlx_quantized.packed(entries)), path
    )
    # Packed words and other integers are no values of a dtype.
    dtypes = [entry.dtype for entry in entries.values() if entry.dtype in DTYPES]
    return _reading(values, (*_IN_METADATA, *assumed), dtypes)


def storage(path: Path, shape: Geometry) -> Storage | None:
    """Return how the tensors of a checkpoint are stored, from its headers alone.

    Args:
        path: As :func:`read` takes it, or a folder of several files.
        shape: Of the model.

    Returns:
        None where the tensors are not this model's, or in a type that is not known.

    Raises:
        CheckpointError: If it cannot be read.
    """
    expected = shape.tensor_shapes()
    if path.suffix.lower() == ".gguf":
        parts = gguf.entries(gguf.read_header(path))
    else:
        entries = safetensors.read_headers(path)
        parts = {name: mlx_quantized.parts(name, entries) for name in expected}
        if sum(map(len, parts.values())) < len(entries):
            return None
    packings: dict[str, Packing] = {}
    for name, dimensions in expected.items():
        stored = parts.get(name, ())
        packing = mlx_quantized.packing(stored, dimensions)
        if packing is not None:
            packings[name.removesuffix(".weight")] = packing
        elif not _is_plain(stored, dimensions):
            return None
    norm = parts["transformer.norm.weight"][0]
    matrices = Counter(parts[f"{name}.weight"][0].dtype for name in shape.matrices())
    usual = norm.dtype if packings else matrices.most_common(1)[0][0]
    return Storage(
        label(packings, shape, DTYPES.get(usual, usual)),
        norm.nbytes // shape.model_dim,
        packings,
        {name: sum(entry.nbytes for entry in one) for name, one in parts.items()},
    )


def _is_plain(stored: Sequence[Entry], shape: tuple[int, ...]) -> bool:
    """Return whether a parameter is stored whole, in a type whose size is known."""
    if not stored or not all(entry.shape and entry.nbytes for entry in stored):
        return False
    return (sum(entry.shape[0] for entry in stored), *stored[0].shape[1:]) == shape


def _reading(values: dict[str, Any], assumed: tuple[str, ...], dtypes: list[str]) -> Reading:
    """With the dtype that most tensors have, where a config has a name for it."""
    most = Counter(dtypes).most_common(1)
    if not most or most[0][0] not in DTYPES:
        return Reading(values, (*assumed, "torch_dtype"))
    return Reading({**values, "torch_dtype": DTYPES[most[0][0]]}, assumed)


def from_shapes(shapes: Shapes, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The keys that shapes tell, and the names of those among them that are a guess.

    Args:
        shapes: By the released checkpoints' names.
        path: What to call the file in errors.

    Raises:
        CheckpointError: If they are not the tensors of an OpenELM-style model.
    """
    depth = _depth(shapes, path)
    vocab, d = _shape(shapes, EMBEDDING, 2, path)
    first = "transformer.layers.0."
    normed = first + "attn.q_norm.weight" in shapes
    wide = [_widths(shapes, i, path) for i in range(depth)]
    if normed:
        (h,) = _shape(shapes, first + "attn.q_norm.weight", 1, path)
    else:
        common = math.gcd(*(n for q, kv, _, _ in wide for n in (q, kv)))
        h = next((n for n in _USUAL_HEAD_DIMS if common % n == 0), common)
    ffn = [f for _, _, f, _ in wide]
    gated = {rows == 2 * f for _, _, f, rows in wide}
    if h < 1 or len(gated) > 1 or any(q % h or kv % h for q, kv, _, _ in wide):
        raise CheckpointError(f"{path}: its layers contradict each other; is it another model's?")
    divisor = math.gcd(*ffn)
    divisor = _USUAL_DIVISOR if divisor % _USUAL_DIVISOR == 0 else divisor
    values: dict[str, Any] = {
        "num_transformer_layers": depth,
        "model_dim": d,
        "head_dim": h,
        "vocab_size": vocab,
        "num_query_heads": [q // h for q, _, _, _ in wide],
        "num_kv_heads": [kv // h for _, kv, _, _ in wide],
        "ffn_multipliers": [shortest_multiplier(f, d, divisor) for f in ffn],
        "ffn_dim_divisor": divisor,
        "ffn_with_glu": gated == {True},
        "normalize_qk_projections": normed,
        "share_input_output_layers": "lm_head.weight" not in shapes,
    }
    assumed = ("ffn_dim_divisor", *(() if normed else ("head_dim",)), *UNTOLD)
    _agree(values, shapes, path)
    return values, assumed


def _agree(values: Mapping[str, Any], shapes: Shapes, path: Path) -> None:
    """Hold every tensor against the model that the telling ones describe."""
    from elmcfg.config import Config  # only here are models needed
    from elmcfg.geometry import geometry

    try:
        expected = geometry(Config.model_validate(values)).tensor_shapes()
    except ValueError:
        return  # The config is not valid; the linter says why.
    missing = [name for name in expected if name not in shapes]
    foreign = [name for name in shapes if name not in expected]
    problems = [f"has no tensor {name}; is a shard missing?" for name in missing]
    problems += [f"has a tensor {name}, which no OpenELM has" for name in foreign]
    problems += [
        f"{name} has shape {shape}, the other tensors want {expected[name]}"
        for name, shape in shapes.items()
        if shape != expected.get(name, shape)
    ]
    if problems:
        more = f"; and {len(problems) - _FEW:,} more" if problems[_FEW:] else ""
        raise CheckpointError(f"{path}: {'; '.join(problems[:_FEW])}{more}")


def layer_numbers(shapes: Iterable[str]) -> set[int]:
    """The numbers that layers have in the names of tensors."""
    return {int(match[1]) for match in map(_LAYER.match, shapes) if match}


def _depth(shapes: Shapes, path: Path) -> int:
    numbers = layer_numbers(shapes)
    if not numbers:
        shown = next(iter(shapes), "nothing")
        raise CheckpointError(
            f"{path}: not the tensors of an OpenELM-style model, which are called "
            f"transformer.layers.N...; the first here is {shown}"
        )
    if max(numbers) >= len(numbers):
        lost = next(i for i in range(len(numbers)) if i not in numbers)
        raise CheckpointError(f"{path}: has no tensor of layer {lost}; is a shard missing?")
    return len(numbers)


def _shape(shapes: Shapes, name: str, rank: int, path: Path) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise CheckpointError(f"{path}: has no tensor {name}; is a shard missing?")
    if len(shape) != rank or min(shape) < 1:
        raise CheckpointError(f"{path}: {name} cannot have shape {shape}")
    return shape


def _widths(shapes: Shapes, index: int, path: Path) -> tuple[int, int, int, int]:
    """Query width, KV width, feed-forward width and rows of ``proj_1`` of a layer."""
    prefix = f"transformer.layers.{index}."
    rows, _ = _shape(shapes, prefix + "attn.qkv_proj.weight", 2, path)
    _, q = _shape(shapes, prefix + "attn.out_proj.weight", 2, path)
    _, f = _shape(shapes, prefix + "ffn.proj_2.weight", 2, path)
    hidden, _ = _shape(shapes, prefix + "ffn.proj_1.weight", 2, path)
    if rows <= q or (rows - q) % 2 or hidden not in (f, 2 * f):
        raise CheckpointError(
            f"{path}: layer {index} contradicts itself: {rows:,} rows of qkv_proj over {q:,} "
            f"query channels, {hidden:,} rows of proj_1 over {f:,} FFN channels"
        )
    return q, (rows - q) // 2, f, hidden


def _of_gguf(path: Path) -> Reading:
    header = gguf.read_header(path)
    said = header.metadata
    name = said.get("general.architecture")
    if name != gguf.ARCHITECTURE:
        raise CheckpointError(f"{path}: a model of architecture {name!r}, not 'openelm'")
    values, assumed = from_shapes(gguf.shapes(gguf.entries(header)), path)
    _same(values, said, path)
    values |= {key: _short(said[name]) for key, name in _IN_METADATA.items() if name in said}
    for token in ("bos_token_id", "eos_token_id"):
        values.setdefault(token, None)  # a file that names none has none
    context = values.get("max_context_length")
    if isinstance(context, int):
        values["rope_max_length"] = usual_rope_length(context)
    if isinstance(said.get("general.name"), str):
        values["name"] = said["general.name"]
    untold = (key for key in _IN_METADATA if key not in values)
    dtypes = [entry.dtype for entry in header.tensors.values() if len(entry.shape) == 2]
    return _reading(values, (*untold, *assumed), dtypes)


def _short(value: Any) -> Any:
    """A 32-bit number as one writes it: GGUF keeps 1e-6 as 9.999999974752427e-07."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _same(values: Mapping[str, Any], said: Mapping[str, Any], path: Path) -> None:
    """Hold the metadata against the tensors: llama.cpp goes by both."""
    d, divisor = values["model_dim"], values["ffn_dim_divisor"]
    pairs = {
        "block_count": values["num_transformer_layers"],
        "embedding_length": d,
        "attention.key_length": values["head_dim"],
        "attention.value_length": values["head_dim"],
        "attention.head_count": values["num_query_heads"],
        "attention.head_count_kv": values["num_kv_heads"],
        "feed_forward_length": [ffn_dim(m, d, divisor) for m in values["ffn_multipliers"]],
    }
    for key, seen in pairs.items():
        meant = said.get(f"openelm.{key}")
        if isinstance(seen, list) and isinstance(meant, int):
            meant = [meant] * len(seen)
        if meant != seen:
            shown = "nothing" if meant is None else meant
            raise CheckpointError(
                f"{path}: openelm.{key} is {shown}, its tensors are those of {seen}"
            )
