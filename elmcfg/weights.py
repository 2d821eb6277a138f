"""A checkpoint against a config: names, shapes and dtypes from the headers alone.

A safetensors file begins with the length of its header (8 bytes, little endian) and the header, a
JSON object of name to dtype, shape and place (huggingface/safetensors, "Format"). That is all that
is read; no weights are. A checkpoint in shards has an index, ``model.safetensors.index.json``,
whose ``weight_map`` says which file holds which tensor.

What the headers mean for a config is said in :mod:`elmcfg.comparison`.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.diagnostics import Violation

if TYPE_CHECKING:
    from elmcfg.rules.draft import Draft

MAX_HEADER_BYTES = 12 * 2**20
"""Longest header that is read: one of 10,000 layers has 8.6 MB, and more could fill the memory."""

INDEX = "model.safetensors.index.json"


class UnreadableWeightsError(Exception):
    """A checkpoint's headers cannot be read; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a header says of a tensor.

    Attributes:
        dtype: As safetensors names it, such as ``BF16``.
        shape: Its dimensions.
        file: Name of the file that holds it.
    """

    dtype: str
    shape: tuple[int, ...]
    file: str


def read_headers(path: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint, from its headers.

    Args:
        path: A ``*.safetensors`` file, an index of shards, or a folder with either.

    Raises:
        UnreadableWeightsError: If there is none, or a header is damaged.
    """
    tensors: dict[str, Tensor] = {}
    for file in _files(path):
        for name, tensor in _header(file).items():
            if name in tensors:
                raise UnreadableWeightsError(
                    f"{name} stands in {tensors[name].file} and in {file.name}"
                )
            tensors[name] = tensor
    return tensors


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        if (path / INDEX).is_file():
            return _shards(path / INDEX)
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise UnreadableWeightsError(f"{path} holds no *.safetensors file")
        return files
    return _shards(path) if path.suffix == ".json" else [path]


def _shards(index: Path) -> list[Path]:
    """The files that an index names, which must lie beside it."""
    weight_map = _json(index, _bytes(index, 0, MAX_HEADER_BYTES)).get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in weight_map.values()
    ):
        raise UnreadableWeightsError(f"{index.name} has no weight_map of tensors to file names")
    files = [index.parent / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise UnreadableWeightsError(f"{index.name} names {file.name}, which is not there")
    return files


def _bytes(file: Path, start: int, most: int) -> bytes:
    try:
        # Looked at first: reading from a pipe could wait for ever.
        if not stat.S_ISREG(file.stat().st_mode):
            raise UnreadableWeightsError(f"{file} is not a regular file")
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read(most)
    except OSError as error:
        raise UnreadableWeightsError(f"{file} cannot be read: {error.strerror}") from error


def _json(file: Path, raw: bytes) -> dict[str, Any]:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        raise UnreadableWeightsError(f"{file.name} is damaged: its header is no JSON") from None
    if not isinstance(values, dict):
        raise UnreadableWeightsError(f"{file.name} is damaged: its header is no JSON object")
    return values


def _header(file: Path) -> dict[str, Tensor]:
    raw = _bytes(file, 0, 8)
    length = int.from_bytes(raw, "little")
    if len(raw) < 8 or not 2 <= length <= MAX_HEADER_BYTES:
        raise UnreadableWeightsError(f"{file.name} is not a safetensors file")
    text = _bytes(file, 8, length)
    if len(text) < length:
        raise UnreadableWeightsError(f"{file.name} is cut short: its header is not all there")
    tensors = {}
    for name, entry in _json(file, text).items():
        if name != "__metadata__":
            tensors[name] = _tensor(file, name, entry)
    return tensors


def _tensor(file: Path, name: str, entry: Any) -> Tensor:
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    shape = entry.get("shape") if isinstance(entry, dict) else None
    sound = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(dtype, str) or not sound:
        raise UnreadableWeightsError(f"{file.name} is damaged: {name} has no dtype or shape")
    return Tensor(dtype, tuple(shape or ()), file.name)


def violations(draft: Draft, path: Path) -> Iterator[Violation]:
    """Everything in which a checkpoint and a config disagree.

    Args:
        draft: The config, as far as it is valid.
        path: As :func:`read_headers` takes it.
    """
    from elmcfg import comparison  # brings the geometry, which reading headers does not need

    try:
        tensors = read_headers(path)
    except UnreadableWeightsError as error:
        yield Violation("ELM601", (), str(error), "name a safetensors file, an index or a folder")
        return
    yield from comparison.violations(draft, tensors)
