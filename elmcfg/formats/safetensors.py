"""Safetensors checkpoints: headers read with suspicion, files written tensor by tensor.

A file is the length of its header (8 bytes, little endian), the header, a JSON object of name to
dtype, shape and place, and the data that the places cut up (huggingface/safetensors, "Format").
A large checkpoint comes in shards with an index, ``model.safetensors.index.json``, whose
``weight_map`` says which file holds which tensor.

Only headers are read here. They may say anything, so that nothing is believed: lengths stay within
the file, places fit the shapes and do not overlap, and shards lie in the folder of their index.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elmcfg.document import (
    LinkError,
    exists,
    git_lfs,
    open_regular,
    read_regular,
    require_inside,
)

DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""Bytes of one value, by the format's own names of dtypes."""

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What a config calls the dtypes of its weights, by the names in safetensors and GGUF."""

MAX_HEADER_BYTES = 8 * 2**20
"""Longest headers of a checkpoint that are read, those of all shards together; 1,024 quantized
layers take 3 MB. The format's own limit is 100 MB, which as values would take a gigabyte."""
MAX_TENSORS = 65_536
"""Most tensors of a checkpoint that are read; 1,024 quantized layers have 14,338."""
MAX_SHARDS = 1_024
MAX_RANK = 8
MAX_NAME = 256
"""Longest name of a tensor, which may stand in a message; GGUF allows 64 characters."""
SHARD_BYTES = 5_000_000_000
"""Most data of one shard, as the hub's tools cut checkpoints by default."""

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MOST_DIMENSION = 2**48
_ALIGNMENT = 8
_NAME_LENGTH = 80


class CheckpointError(Exception):
    """A checkpoint cannot be read; the message says which file, and why, in one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file.

    Attributes:
        dtype: As safetensors or GGUF names it, such as ``BF16``.
        shape: Its dimensions, rows first.
        file: The file that holds it.
        start: Where its data begin in that file, in bytes.
        nbytes: How many bytes they are.
    """

    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    nbytes: int


def find(folder: Path) -> Path | None:
    """The checkpoint of a model folder: its index, or its one file."""
    for name in (INDEX, SINGLE):
        if (folder / name).exists():
            return folder / name
    files = sorted(folder.glob("*.safetensors"))
    return files[0] if len(files) == 1 else None


def read_headers(path: Path) -> dict[str, Entry]:
    """Every tensor of a checkpoint, from the headers alone.

    Args:
        path: A ``*.safetensors`` file, the index of shards, or a folder. Of a folder without an
            index it is all files that are read, as mlx-lm does it.

    Raises:
        CheckpointError: If a file is missing or damaged, or lies outside the folder of its index.
    """
    if path.is_dir():
        one = find(path)
        if one is None:
            return _merged(path)
        hold_inside(one)
        return read_headers(one)
    if path.suffix != ".json":
        return _headers_of([path])
    weight_map = _weight_map(path)
    names = sorted(set(weight_map.values()))
    _limit_shards(path, len(names))
    tensors = _headers_of([_shard(path, name) for name in names])
    for tensor, name in weight_map.items():
        if tensor not in tensors or tensors[tensor].file.name != name:
            raise CheckpointError(f"{path}: says that {tensor} is in {name}, but it is not")
    surplus = next((name for name in tensors if name not in weight_map), None)
    if surplus is not None:
        raise CheckpointError(f"{tensors[surplus].file}: {surplus} is not in the index")
    return tensors


def _merged(folder: Path) -> dict[str, Entry]:
    """The tensors of several files without an index."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: holds no *.safetensors file")
    _limit_shards(folder, len(files))
    for file in files:
        hold_inside(file)
    return _headers_of(files)


def _limit_shards(path: Path, count: int) -> None:
    if count > MAX_SHARDS:
        raise CheckpointError(f"{path}: {count:,} shards; at most {MAX_SHARDS:,} are read")


def _headers_of(files: Iterable[Path]) -> dict[str, Entry]:
    """Read the headers of all shards; each tensor must be in one of them alone."""
    tensors: dict[str, Entry] = {}
    bytes_left = MAX_HEADER_BYTES
    for file in files:
        entries, length = _file_headers(file, bytes_left)
        bytes_left -= length
        for name in entries:
            if name in tensors:
                raise CheckpointError(f"{file}: {name} stands in {tensors[name].file.name} too")
        tensors |= entries
        _limit_tensors(file, len(tensors))
    return tensors


def _limit_tensors(file: Path, count: int) -> None:
    if count > MAX_TENSORS:
        raise CheckpointError(
            f"{file}: over {MAX_TENSORS:,} tensors in one checkpoint are not read"
        )


def _weight_map(index: Path) -> dict[str, str]:
    refuse_pointer(index)
    try:
        raw = read_regular(index, MAX_HEADER_BYTES)
    except OSError as error:
        raise CheckpointError(f"{index}: cannot be read: {_why(error)}") from error
    weight_map = _object(index, raw).get("weight_map")
    if (
        not isinstance(weight_map, dict)
        or not weight_map
        or not all(isinstance(name, str) for name in weight_map.values())
    ):
        raise CheckpointError(f"{index}: has no weight_map of tensors to file names")
    return weight_map


def _shard(index: Path, name: str) -> Path:
    """A shard, which must be a file beside the index."""
    plain = name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)
    if not plain or not name.endswith(".safetensors"):
        raise CheckpointError(f"{index}: {_short(name)!r} is no name of a shard beside it")
    file = index.parent / name
    if not exists(file):
        raise CheckpointError(f"{index}: names {_short(name)}, which is not there")
    hold_inside(file)
    return file


def hold_inside(file: Path) -> None:
    """Make sure that a file which was found in a folder, not named by the user, lies in it.

    Raises:
        CheckpointError: If it does not; :func:`elmcfg.document.require_inside` says when.
    """
    try:
        require_inside(file, file.parent)
    except LinkError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {_why(error)}") from error


def _short(name: str) -> str:
    """Return the beginning of a name that may be a megabyte long."""
    return name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}..."


def refuse_pointer(file: Path) -> None:
    """Make sure that a file is itself, and not what Git LFS has put into its place.

    Raises:
        CheckpointError: If it is a pointer.
    """
    if git_lfs.is_pointer_file(file):
        raise CheckpointError(f"{file}: {git_lfs.MESSAGE}; {git_lfs.HELP}")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _file_headers(file: Path, most: int) -> tuple[dict[str, Entry], int]:
    """Read the header of one file, of at most so many bytes; also how many they were."""
    refuse_pointer(file)
    try:
        with open_regular(file, None) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 10 or not 2 <= length <= size - 8:
                raise CheckpointError(
                    f"{file}: not a safetensors file, or cut short: a header of {length:,} bytes "
                    f"in a file of {size:,}"
                )
            if length > most:
                raise CheckpointError(
                    f"{file}: a header of {length:,} bytes; those of a checkpoint may have "
                    f"{MAX_HEADER_BYTES:,} together"
                )
            header = _object(file, stream.read(length))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {_why(error)}") from error
    header.pop("__metadata__", None)
    _limit_tensors(file, len(header))
    longest = max(map(len, header), default=0)
    if longest > MAX_NAME:
        raise CheckpointError(f"{file}: a tensor's name has {longest:,} characters")
    entries = {name: _entry(file, name, said, 8 + length) for name, said in header.items()}
    check_places(entries, file, size)
    return entries, length


def byte_count(shape: Sequence[int], value_bytes: int, most: int) -> int | None:
    """Return how many bytes the values of a tensor are; None where that is more than ``most``.

    The product stops there: that of many large dimensions would take seconds to compute.
    """
    if 0 in shape:
        return 0
    total = value_bytes
    for dimension in shape:
        total *= dimension
        if total > most:
            return None
    return total


def _object(file: Path, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise CheckpointError(f"{file}: a name stands twice in its header")
        return values

    try:
        values = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{file}: damaged: its header is not JSON") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: damaged: its header is no JSON object")
    return values


def _whole(values: Any, most: int) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n <= most for n in values)


def _entry(file: Path, name: str, said: Any, base: int) -> Entry:
    said = said if isinstance(said, dict) else {}
    dtype, shape, place = said.get("dtype"), said.get("shape"), said.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise CheckpointError(f"{file}: {name} has no dtype that is known")
    if not _whole(shape, _MOST_DIMENSION) or len(shape) > MAX_RANK:
        raise CheckpointError(f"{file}: {name} has no sound shape")
    if not _whole(place, 2**63 - 1) or len(place) != 2:
        raise CheckpointError(f"{file}: {name} has no sound data_offsets")
    start, end = place
    if end - start != byte_count(shape, DTYPE_BYTES[dtype], max(0, end - start)):
        raise CheckpointError(f"{file}: the place of {name} does not fit its shape {shape}")
    return Entry(dtype, tuple(shape), file, base + start, end - start)


def check_places(entries: Mapping[str, Entry], file: Path, size: int) -> None:
    """Make sure that tensors lie within their file and apart from each other.

    Raises:
        CheckpointError: If they do not.
    """
    end, before = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].nbytes)):
        if entry.start < end:
            raise CheckpointError(f"{file}: the data of {before} and {name} overlap")
        end, before = entry.start + entry.nbytes, name
        if end > size:
            raise CheckpointError(
                f"{file}: cut short: {name} ends at byte {end:,}, the file at {size:,}"
            )


def write_header(stream: IO[bytes], tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Write the header of a file whose data follow in the same order.

    Args:
        stream: At the start of the file.
        tensors: Dtype and shape by name.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * DTYPE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little") + text)


def shards(sizes: Mapping[str, int], most: int = SHARD_BYTES) -> list[tuple[str, tuple[str, ...]]]:
    """File names, each with the tensors it holds, in order.

    Args:
        sizes: Bytes of each tensor.
        most: Bytes of a shard; a tensor larger than that has one for itself.
    """
    groups: list[list[str]] = [[]]
    held = 0
    for name, nbytes in sizes.items():
        if groups[-1] and held + nbytes > most:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += nbytes
    if len(groups) == 1:
        return [(SINGLE, tuple(groups[0]))]
    return [
        (f"model-{i:05d}-of-{len(groups):05d}.safetensors", tuple(group))
        for i, group in enumerate(groups, start=1)
    ]


def index(files: Iterable[tuple[str, tuple[str, ...]]], total_bytes: int) -> str:
    """The text of the index of shards."""
    weight_map = {name: file for file, names in files for name in names}
    return (
        json.dumps(
            {
                "metadata": {"total_size": total_bytes},
                "weight_map": dict(sorted(weight_map.items())),
            },
            indent=2,
        )
        + "\n"
    )
