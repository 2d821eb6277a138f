"""A model as a GGUF file that llama.cpp runs.

llama.cpp's OpenELM (``src/models/openelm.cpp``) takes per-layer arrays of head counts and widths,
so that any lists can be written, not only a recipe's. It always has a gate, always normalises
queries and keys, and always ties the output head to the embedding: what is otherwise is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from elmcfg.conversion.tokenizer import Vocabulary
from elmcfg.conversion.weights import (
    BLOCK,
    DTYPES,
    Array,
    ConversionError,
    Weights,
    blocked,
    cast,
    pieces,
)
from elmcfg.formats.gguf import (
    ARCHITECTURE,
    HALVES,
    LAYER_TENSORS,
    MAX_LAYERS,
    MAX_TEXTS,
    MODEL_TENSORS,
)
from elmcfg.geometry import geometry

if TYPE_CHECKING:
    from elmcfg.config import Config

FILE_TYPES = {"float32": 0, "float16": 1, "q8_0": 7, "bfloat16": 32}
"""Types of matrices, with their numbers in llama.cpp (``LLAMA_FTYPE``)."""

_STORED = {**DTYPES, "q8_0": "Q8_0"}


def obstacles(config: Config) -> list[str]:
    """Why llama.cpp cannot run a model; empty where it can."""
    found = []
    if not config.normalize_qk_projections:
        found.append("normalize_qk_projections is false, but llama.cpp's OpenELM needs QK norms")
    if not config.share_input_output_layers:
        found.append(
            "share_input_output_layers is false, but llama.cpp's OpenELM always ties the output"
        )
    if not config.ffn_with_glu:
        found.append("ffn_with_glu is false, but llama.cpp's OpenELM always has a gate")
    if config.num_transformer_layers > MAX_LAYERS:
        found.append(
            f"{config.num_transformer_layers:,} layers, but llama.cpp has room for {MAX_LAYERS}"
        )
    if config.vocab_size > MAX_TEXTS:
        found.append(
            f"vocab_size is {config.vocab_size:,}, but a GGUF file names every token, and at most "
            f"{MAX_TEXTS:,} are written"
        )
    return found


def write(
    path: Path, config: Config, weights: Weights, vocabulary: Vocabulary, file_type: str
) -> None:
    """Write a GGUF file, one tensor at a time.

    Args:
        path: The file; nothing is there yet.
        config: A valid config without :func:`obstacles`.
        weights: Of the same model.
        vocabulary: A token for each row of the embedding table.
        file_type: Type of the matrices, one of :data:`FILE_TYPES`. Norms are always F32, and a
            matrix whose rows are no whole blocks of 32 is F16 in a Q8_0 file, as llama.cpp's own
            converter does it.

    Raises:
        ConversionError: If the ``gguf`` package is missing, or a weight does not fit the type.
        OSError: If the file cannot be written.
    """
    try:
        import gguf
    except ImportError:
        raise ConversionError("GGUF files need the package gguf; install elmcfg[gguf]") from None
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    try:
        _metadata(writer, config, vocabulary, file_type)
        for name, shape, stored, _, _ in _plan(config, weights, file_type):
            kind = gguf.GGMLQuantizationType[stored]
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            nbytes = math.prod(shape) // block * block_bytes
            writer.add_tensor_info(name, shape, np.dtype(np.float32), nbytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()
    with path.open("ab") as stream:
        _data(stream, config, weights, file_type, writer.data_alignment)


def _metadata(writer: Any, config: Config, vocabulary: Vocabulary, file_type: str) -> None:
    layers = geometry(config).layers
    writer.add_name(config.name or "OpenELM-style model")
    writer.add_file_type(FILE_TYPES[file_type])
    writer.add_block_count(len(layers))
    writer.add_context_length(config.max_context_length)
    writer.add_embedding_length(config.model_dim)
    writer.add_feed_forward_length([layer.ffn_dim for layer in layers])
    writer.add_head_count([layer.num_query_heads for layer in layers])
    writer.add_head_count_kv([layer.num_kv_heads for layer in layers])
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_freq_constant)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.kinds)
    if config.bos_token_id is not None:
        writer.add_bos_token_id(config.bos_token_id)
    if config.eos_token_id is not None:
        writer.add_eos_token_id(config.eos_token_id)


def _plan(
    config: Config, weights: Weights, file_type: str
) -> Iterator[tuple[str, tuple[int, ...], str, str, slice]]:
    """Name, shape and type of each tensor of the file, and which rows of which tensor it is."""

    def one(name: str, source: str, rows: slice) -> tuple[str, tuple[int, ...], str, str, slice]:
        shape = weights.shapes[source]
        shape = (len(range(*rows.indices(shape[0]))), *shape[1:])
        stored = _STORED[file_type] if len(shape) == 2 else "F32"
        if stored == "Q8_0" and shape[-1] % BLOCK:
            stored = "F16"
        return name, shape, stored, source, rows

    everything = slice(None)
    for name, source in MODEL_TENSORS.items():
        yield one(name, source, everything)
    for layer in geometry(config).layers:
        prefix = f"transformer.layers.{layer.index}."
        for part, source in LAYER_TENSORS.items():
            name = f"blk.{layer.index}.{part}.weight"
            yield one(name, f"{prefix}{source}.weight", everything)
        halves = slice(None, layer.ffn_dim), slice(layer.ffn_dim, None)
        for part, rows in zip(HALVES, halves, strict=True):
            yield one(f"blk.{layer.index}.{part}.weight", f"{prefix}ffn.proj_1.weight", rows)


def _data(
    stream: IO[bytes], config: Config, weights: Weights, file_type: str, alignment: int
) -> None:
    """Append the tensors, each at the next whole multiple of the alignment.

    Not by the writer's own ``write_tensor_data``, which wants a tensor whole.
    """
    stream.write(bytes(-stream.tell() % alignment))
    held, values = "", np.empty(0)
    for _, _, stored, source, rows in _plan(config, weights, file_type):
        if source != held:  # Both halves of proj_1 are cut from one reading.
            values = np.empty(0)
            held, values = source, weights.read(source)
        for part in pieces(values[rows]):
            stream.write(np.ascontiguousarray(_stored(part, weights.dtypes[source], stored)).data)
        stream.write(bytes(-stream.tell() % alignment))


def _stored(values: Array, dtype: str, stored: str) -> Array:
    if stored == "Q8_0":
        return blocked(cast(values, dtype, "F32"))
    return cast(values, dtype, stored)
