"""Tokenizers by their content, and vocabularies for GGUF, with a placeholder where there is none.

A SentencePiece model is a protobuf message (google/sentencepiece, ``sentencepiece_model.proto``)
whose field 1 repeats the pieces: text (1), score (2) and type (3). No more than that is needed, so
that it is read here, without the library. GGUF numbers the types of pieces in the same way.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmcfg.conversion.weights import ConversionError
from elmcfg.document import read_regular
from elmcfg.formats.safetensors import CheckpointError, refuse_pointer

SENTENCEPIECE, FAST = "tokenizer.model", "tokenizer.json"
"""The two forms of a tokenizer in one file, by their names in a model folder."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_KINDS = {NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE}
_MOST_BYTES = 64 * 2**20
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens with a score and a type each."""

    tokens: list[str]
    scores: list[float]
    kinds: list[int]


def placeholder(size: int) -> Vocabulary:
    """A made-up vocabulary: three special tokens, the 256 bytes, and names for the rest.

    Any text can be cut into its bytes, so that llama.cpp works on it where there are that many.
    """
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    tokens += [f"[token {i}]" for i in range(len(tokens), size)]
    kinds += [NORMAL] * (len(tokens) - len(kinds))
    return Vocabulary(tokens[:size], [0.0] * size, kinds[:size])


def sentencepiece(path: Path, size: int) -> Vocabulary:
    """The vocabulary of a SentencePiece model, filled up with unused tokens.

    Args:
        path: The ``tokenizer.model``.
        size: Rows of the embedding table.

    Raises:
        ConversionError: If it is no SentencePiece model, or has more pieces than rows.
    """
    pieces = _pieces(_content(path))
    if not pieces:
        raise ConversionError(f"{path}: not a SentencePiece model (tokenizer.model)")
    if len(pieces) > size:
        raise ConversionError(
            f"{path}: has {len(pieces):,} pieces, the model only {size:,} rows of embeddings"
        )
    pieces += [(f"[unused {i}]", 0.0, UNUSED) for i in range(len(pieces), size)]
    return Vocabulary(*(list(column) for column in zip(*pieces, strict=True)))


def recognize(path: Path) -> tuple[str, dict[int, str]] | None:
    """Return what a tokenizer is called in a model folder, and its tokens by their numbers.

    The content of the file decides, whatever it is called.

    Returns:
        None where it is neither a SentencePiece model nor a ``tokenizer.json``.

    Raises:
        ConversionError: If it cannot be read.
    """
    raw = _content(path)
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        tokens = {i: text for i, (text, _, _) in enumerate(_pieces(raw))}
        return (SENTENCEPIECE, tokens) if tokens else None
    tokens = _tokens(values)
    return (FAST, tokens) if tokens else None


def is_sentencepiece(path: Path) -> bool:
    """Return whether a file is a SentencePiece model: one of that name is held to be one."""
    known = None if path.name == SENTENCEPIECE else recognize(path)
    return path.name == SENTENCEPIECE or (known is not None and known[0] == SENTENCEPIECE)


def _content(path: Path) -> bytes:
    try:
        refuse_pointer(path)
        return read_regular(path, _MOST_BYTES)
    except CheckpointError as error:
        raise ConversionError(str(error)) from error
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror}") from error


def _tokens(values: Any) -> dict[int, str]:
    """Return the tokens of a ``tokenizer.json`` (huggingface/tokenizers): a model with a vocab."""
    model = values.get("model") if isinstance(values, dict) else None
    vocab = model.get("vocab") if isinstance(model, dict) else None
    pairs: list[tuple[Any, Any]] = []
    if isinstance(vocab, dict):
        pairs = [(number, text) for text, number in vocab.items()]
    elif isinstance(vocab, list):  # of Unigram models, each with its score
        pairs = [(i, row[0]) for i, row in enumerate(vocab) if isinstance(row, list) and row]
    added = values.get("added_tokens") if pairs else None
    for one in added if isinstance(added, list) else []:
        if isinstance(one, dict):
            pairs.append((one.get("id"), one.get("content")))
    return {n: text for n, text in pairs if type(n) is int and isinstance(text, str)}


def _pieces(raw: bytes) -> list[tuple[str, float, int]]:
    """Return the pieces of a SentencePiece model; none where it is not one."""
    try:
        return [
            _piece(part) for field, part in _fields(raw) if field == 1 and isinstance(part, bytes)
        ]
    except (IndexError, ValueError, struct.error):
        return []


def _piece(raw: bytes) -> tuple[str, float, int]:
    text, score, kind = "", 0.0, NORMAL
    for field, value in _fields(raw):
        if field == 1 and isinstance(value, bytes):
            text = value.decode()
        elif field == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
    if kind not in _KINDS:
        raise ValueError(kind)
    return text, score, kind


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(raw, at)
            yield key >> 3, number
            continue
        if wire == _DELIMITED:
            length, at = _varint(raw, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, len(raw) + 1)
        if at + length > len(raw):
            raise ValueError(length)
        yield key >> 3, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(shift)
