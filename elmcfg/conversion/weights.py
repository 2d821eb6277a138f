"""Weights one tensor at a time: from a checkpoint, from a GGUF file, or drawn at random.

Whoever converts a model holds one tensor in memory, not all of them. Arrays are numpy's; it has no
bfloat16, so that such values are held as the upper halves of their float32 forms, in ``uint16``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elmcfg.document import open_regular
from elmcfg.formats import gguf, mlx_quantized, safetensors
from elmcfg.formats.mlx_quantized import Packed
from elmcfg.formats.safetensors import CheckpointError, Entry
from elmcfg.geometry import geometry

if TYPE_CHECKING:
    from elmcfg.config import Config

Array = NDArray[Any]

DTYPES = {ours: theirs for theirs, ours in safetensors.DTYPES.items()}
"""Names of dtypes in a config, and in the files."""

_NUMPY: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
}
BLOCK = 32
"""Values of a block of GGUF's Q8_0, which has one scale (ggml-common.h, ``QK8_0``)."""
_BLOCK_BYTES = 2 + BLOCK
_PIECE = 2**18
_INFINITY = {"F16": 0x7C00, "BF16": 0x7F80}


class ConversionError(Exception):
    """A model cannot be converted; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a model, by the released checkpoints' names.

    Attributes:
        dtypes: Dtype of each tensor: ``F32``, ``F16`` or ``BF16``.
        shapes: Shape of each tensor.
        read: The values of a tensor; to be called once for each.
        origin: Where they come from, in words.
        dtype: What a config calls the dtype of most matrices; of quantized ones, that of their
            scales.
        is_random: Whether they were drawn, and not trained.
    """

    dtypes: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Array]
    origin: str
    dtype: str
    is_random: bool = False


def random(config: Config, *, seed: int = 0) -> Weights:
    """Random weights, as ``elmcfg.build`` makes them, in the config's dtype. Imports MLX.

    Raises:
        BackendError: If MLX cannot be imported.
    """
    from elmcfg.backend import import_mlx

    import_mlx()
    from elmcfg.model.arrays import random_arrays

    shapes = geometry(config).tensor_shapes()
    return Weights(
        dict.fromkeys(shapes, DTYPES[config.torch_dtype]),
        shapes,
        random_arrays(config, dtype=config.torch_dtype, seed=seed),
        f"random weights of seed {seed}",
        config.torch_dtype,
        is_random=True,
    )


def of_file(path: Path, config: Config) -> Weights:
    """The weights of a safetensors checkpoint or a GGUF file.

    Args:
        path: A ``*.safetensors`` file, the index of shards, a folder of several without one, or a
            ``*.gguf`` file.
        config: Of the model that they are of.

    Raises:
        CheckpointError: If it cannot be read.
        ConversionError: If it is another model's, or in a form that is not read.
    """
    quantized: Mapping[str, Packed] = {}
    if path.suffix.lower() == ".gguf":
        parts = gguf.entries(gguf.read_header(path))
        shapes = gguf.shapes(parts)
    else:
        headers = safetensors.read_headers(path)
        quantized = mlx_quantized.packed(headers, config.model_dim)
        shapes = mlx_quantized.shapes(headers, quantized)
        parts = {name: _parts(name, headers, quantized, path) for name in shapes}
    expected = geometry(config).tensor_shapes()
    _hold(shapes, expected, path)
    for name in expected:
        if name not in quantized and len({entry.dtype for entry in parts[name]}) > 1:
            raise ConversionError(f"{path}: the halves of {name} have different dtypes")
    dtypes = {name: parts[name][-1].dtype for name in expected}
    readable = {*DTYPES.values(), "Q8_0"}
    strange = next((name for name, dtype in dtypes.items() if dtype not in readable), None)
    if strange is not None:
        raise ConversionError(
            f"{path}: {strange} is {dtypes[strange]}; F32, F16, BF16, Q8_0 and MLX's affine "
            "quantization are read"
        )

    def read(name: str) -> Array:
        if name in quantized:
            return _dequantized(parts[name], quantized[name])
        arrays = [_values(entry) for entry in parts[name]]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    most = Counter(dtypes[name] for name, shape in expected.items() if len(shape) == 2)
    usual = safetensors.DTYPES.get(most.most_common(1)[0][0], "float32")
    wide = {n: "F32" for n, dtype in dtypes.items() if n in quantized or dtype == "Q8_0"}
    return Weights(dtypes | wide, expected, read, str(path), usual)


def _parts(
    name: str, headers: Mapping[str, Entry], quantized: Mapping[str, Packed], path: Path
) -> tuple[Entry, ...]:
    """The tensors that a parameter is stored in: words, biases and scales of a quantized one."""
    if name not in quantized:
        return (headers[name],)
    base, bits = name.removesuffix("weight"), quantized[name].bits
    words, scales, biases = (headers.get(base + n) for n in ("weight", "scales", "biases"))
    if words is None or scales is None or biases is None or words.dtype != "U32":
        raise ConversionError(
            f"{path}: {name} has no biases and 32-bit words; of MLX's quantizations only the "
            "affine one is read"
        )
    rows, columns = quantized[name].shape
    fits = words.shape == (rows, columns * bits // 32) and columns * bits % 32 == 0
    if not fits or bits not in range(2, 9) or biases.shape != scales.shape:
        raise ConversionError(f"{path}: the words, scales and biases of {name} do not fit")
    if biases.dtype != scales.dtype:
        raise ConversionError(f"{path}: the scales and biases of {name} have different dtypes")
    return words, biases, scales


def _hold(
    shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Hold a file's tensors against the config's."""
    wrong = [n for n, shape in expected.items() if n not in shapes or shapes[n] != shape]
    wrong += [name for name in shapes if name not in expected]
    if not wrong:
        return
    name = wrong[0]
    got, wanted = shapes.get(name, "none"), expected.get(name, "none")
    more = f", and {len(wrong) - 1:,} tensors more" if len(wrong) > 1 else ""
    raise ConversionError(
        f"{path}: the weights are not this config's: {name} has shape {got}, the config wants "
        f"{wanted}{more}"
    )


def _values(entry: Entry) -> Array:
    """The values of an entry; those that need no unpacking are mapped from the file, not read."""
    if entry.nbytes == 0:
        return np.empty(entry.shape, _NUMPY.get(entry.dtype, np.float32))
    try:
        with open_regular(entry.file, None) as stream:
            raw = np.memmap(stream, np.uint8, "r", entry.start, (entry.nbytes,))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{entry.file}: cannot be read: {error}") from error
    if entry.dtype == "Q8_0":
        return _unblocked(raw).reshape(entry.shape)
    values: Array = raw.view(_NUMPY[entry.dtype])
    return values.reshape(entry.shape)


def _dequantized(parts: tuple[Entry, ...], matrix: Packed) -> Array:
    """``scale * value + bias`` of each group, in float32.

    The values of a row follow each other bit by bit, the lowest first, also where their bits do not
    divide 32 (ml-explore/mlx, ``quantized.cpp``).
    """
    words, biases, scales = (_values(part) for part in parts)
    values = np.empty(matrix.shape, np.float32)
    powers = (1 << np.arange(matrix.bits)).astype(np.uint8)
    step = max(1, _PIECE // matrix.shape[1])
    for start in range(0, matrix.shape[0], step):
        rows = slice(start, start + step)
        stored = np.ascontiguousarray(words[rows]).view(np.uint8)
        bits = np.unpackbits(stored, axis=1, bitorder="little").reshape(-1, matrix.bits)
        whole = (bits * powers).sum(axis=1, dtype=np.float32)
        scale, bias = (
            cast(table[rows], parts[-1].dtype, "F32").reshape(-1, 1) for table in (scales, biases)
        )
        group = whole.reshape(-1, matrix.group_size)
        values[rows] = (scale * group + bias).reshape(-1, matrix.shape[1])
    return values


def pieces(values: Array) -> Iterator[Array]:
    """Whole rows of a few megabytes at a time: what is made of them stays small."""
    rows = values.shape[0]
    step = max(1, _PIECE // max(1, values.size // max(1, rows)))
    for start in range(0, rows, step):
        yield values[start : start + step]


def _unblocked(raw: Array) -> Array:
    """Values of Q8_0: blocks of a float16 scale and 32 signed bytes (ggml-common.h)."""
    blocks = raw.reshape(-1, _BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    values: Array = scales * blocks[:, 2:].view(np.int8)
    return values


def blocked(values: Array) -> Array:
    """Float32 values as Q8_0, a row of bytes for each row.

    Each block of 32 is scaled so that its largest magnitude is 127, and rounded, halves away from
    zero, as ggml's ``quantize_row_q8_0_ref`` does.

    Args:
        values: (rows, columns) float32; columns a multiple of 32.
    """
    rows = values.shape[0]
    blocks = values.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    scaled = blocks * inverse
    whole = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
    packed = np.concatenate([scales.astype("<f2").view(np.uint8), whole.view(np.uint8)], axis=1)
    return packed.reshape(rows, -1)


def cast(values: Array, dtype: str, to: str) -> Array:
    """Values of one of the three dtypes in another, rounded to the nearest, ties to even.

    Raises:
        ConversionError: If a finite value would become infinite.
    """
    if dtype == to:
        return values
    if to == "F32":
        return _widened(values) if dtype == "BF16" else values.astype(np.float32)
    known = None if dtype == "F32" else _halves(dtype, to)
    narrow = _narrowed(values, to) if known is None else known[values.view(np.uint16)]
    # As integers: numpy's isinf of halves takes as long as the conversion.
    infinite = (narrow.view(np.uint16) & 0x7FFF) == _INFINITY[to]
    if infinite.any():
        meant = cast(values[infinite], dtype, "F32")
        if (finite := np.abs(meant[np.isfinite(meant)])).size:
            raise ConversionError(f"a weight of {finite.max():.3g} is too large for {to}")
    return narrow


@cache
def _halves(dtype: str, to: str) -> Array:
    """What each of the 65,536 values of a 16-bit dtype is in the other: faster than arithmetic."""
    return _narrowed(cast(np.arange(2**16, dtype="<u2").view(_NUMPY[dtype]), dtype, "F32"), to)


def _narrowed(values: Array, to: str) -> Array:
    with np.errstate(over="ignore"):
        return values.astype("<f2") if to == "F16" else _bfloat16(values)


def _widened(values: Array) -> Array:
    """bfloat16 values, held as their bits, in float32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _bfloat16(values: Array) -> Array:
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding the bits of a NaN could carry into its sign; a quiet NaN stays one.
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype("<u2")
