"""The header of a GGUF file, llama.cpp's format: what it says of a model, and where tensors lie.

A file is the magic ``GGUF``, a version, the numbers of tensors and of metadata, the metadata
(typed values by key), the tensors' names, dimensions, types and places, and, after padding, the
data (ggml-org/ggml, ``docs/gguf.md``). Dimensions stand in the opposite order to everyone else's,
the fastest first.

The reader is ours, not the ``gguf`` package's, since a file may say anything: every length is held
against the bytes that are left before it is believed, and long lists of texts, which
tokenizers are, are passed by.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elmcfg.document import open_regular
from elmcfg.formats.safetensors import (
    MAX_NAME,
    MAX_TENSORS,
    CheckpointError,
    Entry,
    check_places,
    refuse_pointer,
)

ARCHITECTURE = "openelm"
MAX_LAYERS = 512
"""As many as llama.cpp has room for (``LLAMA_MAX_LAYERS``)."""

LAYER_TENSORS = {
    "attn_qkv": "attn.qkv_proj",
    "attn_output": "attn.out_proj",
    "attn_q_norm": "attn.q_norm",
    "attn_k_norm": "attn.k_norm",
    "ffn_down": "ffn.proj_2",
    "attn_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
}
"""llama.cpp's names of a layer's tensors, and the released checkpoints'."""
MODEL_TENSORS = {
    "token_embd.weight": "transformer.token_embeddings.weight",
    "output_norm.weight": "transformer.norm.weight",
}
HALVES = ("ffn_gate", "ffn_up")
"""The first and the second half of the rows of ``ffn.proj_1``."""

# Values per block and bytes per block of ggml's types (ggml-org/ggml, ggml-common.h).
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136),
}  # fmt: skip
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_MOST_BYTES = 64 * 2**20
"""Longest header that is read; most of it is the vocabulary, which takes up to 20 MB."""
_MOST_TEXT = 2**20
MAX_TEXTS = 1_000_000
"""Most texts in lists; a vocabulary has up to 300,000 tokens and twice as many merges."""
_MOST_NUMBERS = 4_096
"""Longest list of numbers that is kept: those that tell a model have one for each layer."""
_MOST_KEYS = 65_536


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        metadata: Values by key; of a list of texts, or of more than 4,096 numbers, how many
            there are.
        tensors: By llama.cpp's names.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, Entry]


def read_header(file: Path) -> Header:
    """Read metadata and places, and no weights.

    Raises:
        CheckpointError: If it is no GGUF file of version 2 or 3, or says what cannot be.
    """
    refuse_pointer(file)
    try:
        with open_regular(file, None) as stream:
            size = os.fstat(stream.fileno()).st_size
            return _header(_Reader(stream, file, size))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error


class _Reader:
    """Little-endian values from a file of known size."""

    def __init__(self, stream: IO[bytes], file: Path, size: int) -> None:
        self.stream, self.file, self.size = stream, file, size
        self.left, self.texts_left = size, MAX_TEXTS

    def error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.file}: damaged: {what}")

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise self.error(f"{count:,} bytes are wanted where {self.left:,} are left")
        self.left -= count
        if self.size - self.left > _MOST_BYTES:
            raise self.error(f"a header of over {_MOST_BYTES:,} bytes")
        raw = self.stream.read(count)
        if len(raw) < count:
            raise self.error("it ends early")
        return raw

    def number(self, code: str) -> Any:
        layout = struct.Struct("<" + code)
        return layout.unpack(self.take(layout.size))[0]

    def raw_text(self) -> bytes:
        length = self.number("Q")
        if length > _MOST_TEXT:
            raise self.error(f"a text of {length:,} bytes")
        return self.take(length)

    def text(self) -> str:
        try:
            return self.raw_text().decode()
        except UnicodeDecodeError:
            raise self.error("a text is not UTF-8") from None

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(self.scalar(kind))
        inner, count = self.number("I"), self.number("Q")
        if inner == _STRING:
            self.texts_left -= count
            if self.texts_left < 0:
                raise self.error(f"over {MAX_TEXTS:,} texts in lists")
            for _ in range(count):
                self.raw_text()
            return count
        code = self.scalar(inner)
        raw = self.take(count * struct.calcsize(code))
        return list(struct.unpack(f"<{count}{code}", raw)) if count <= _MOST_NUMBERS else count

    def scalar(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self.error(f"a value of unknown type {kind}")
        return _SCALARS[kind]


def _header(reader: _Reader) -> Header:
    if reader.size < 24 or reader.take(4) != b"GGUF":
        raise CheckpointError(f"{reader.file}: not a GGUF file")
    version = reader.number("I")
    if version not in (2, 3):
        raise CheckpointError(
            f"{reader.file}: GGUF of version {version}, or big-endian; 2 and 3 are read"
        )
    num_tensors, num_keys = reader.number("Q"), reader.number("Q")
    if num_tensors > MAX_TENSORS or num_keys > _MOST_KEYS:
        raise reader.error(f"{num_tensors:,} tensors and {num_keys:,} keys")
    metadata: dict[str, Any] = {}
    for _ in range(num_keys):
        key = reader.text()
        if key in metadata:
            raise reader.error(f"the key {key} stands twice")
        metadata[key] = reader.value(reader.number("I"))
    places = [_place(reader) for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
        raise reader.error(f"an alignment of {alignment}")
    base = -(-(reader.size - reader.left) // alignment) * alignment
    tensors: dict[str, Entry] = {}
    for name, dtype, shape, start, nbytes in places:
        if name in tensors:
            raise reader.error(f"the tensor {name} stands twice")
        tensors[name] = Entry(dtype, shape, reader.file, base + start, nbytes)
    check_places(tensors, reader.file, reader.size)
    return Header(metadata, tensors)


def _place(reader: _Reader) -> tuple[str, str, tuple[int, ...], int, int]:
    name = reader.text()
    if len(name) > MAX_NAME:
        raise reader.error(f"a tensor's name has {len(name):,} characters")
    rank = reader.number("I")
    if not 1 <= rank <= 4:
        raise reader.error(f"{name} has {rank:,} dimensions")
    shape = tuple(reversed([reader.number("Q") for _ in range(rank)]))
    kind, start = reader.number("I"), reader.number("Q")
    dtype, block, block_bytes = _TYPES.get(kind, (f"type {kind}", 1, 0))
    if max(shape) > 2**48 or shape[-1] % block:
        raise reader.error(f"{name} cannot have shape {shape}")
    return name, dtype, shape, start, math.prod(shape) // block * block_bytes


def entries(header: Header) -> dict[str, tuple[Entry, ...]]:
    """The tensors by the released checkpoints' names; those of ``proj_1`` are two halves each.

    Tensors that an OpenELM has not keep their own names.

    Raises:
        CheckpointError: If a layer lacks one of the halves, or they differ in shape.
    """
    found: dict[str, tuple[Entry, ...]] = {}
    halves: dict[str, dict[str, Entry]] = {}
    for name, entry in header.tensors.items():
        prefix, _, index_and_part = name.partition(".")
        index, _, part = index_and_part.removesuffix(".weight").partition(".")
        if name in MODEL_TENSORS:
            found[MODEL_TENSORS[name]] = (entry,)
        elif prefix == "blk" and part in LAYER_TENSORS:
            found[f"transformer.layers.{index}.{LAYER_TENSORS[part]}.weight"] = (entry,)
        elif prefix == "blk" and part in HALVES:
            halves.setdefault(index, {})[part] = entry
        else:
            found[name] = (entry,)
    for index, parts in halves.items():
        if len(parts) < len(HALVES) or len({half.shape for half in parts.values()}) > 1:
            file = next(iter(parts.values())).file
            raise CheckpointError(f"{file}: blk.{index} has no {' and '.join(HALVES)} of one shape")
        found[f"transformer.layers.{index}.ffn.proj_1.weight"] = tuple(
            parts[half] for half in HALVES
        )
    return found


def shapes(parts: Mapping[str, tuple[Entry, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters, from what :func:`entries` gives."""
    return {
        name: (sum(part.shape[0] for part in stored), *stored[0].shape[1:])
        for name, stored in parts.items()
    }
