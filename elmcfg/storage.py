"""In what form the numbers of a model are stored: in a dtype, or quantized as MLX does it.

MLX packs the columns of a matrix in groups (ml-explore/mlx, ``mx.quantize``). A group has a scale
and a bias in the dtype of the model in mode ``affine``, and a scale of one byte in the others.
mlx-lm quantizes every matrix whose columns are whole groups, and leaves the others as they are
(``quantize_model`` in its ``utils.py``); ``quantization`` in its ``config.json`` says how, for the
model and for single matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry

Stored = Literal["float32", "bfloat16", "float16", "q8", "q4"]
"""What weights and a KV cache can be stored in, by the names of flags."""

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_BYTE_SCALES = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}


@dataclass(frozen=True, slots=True)
class Packing:
    """How a matrix is quantized.

    Attributes:
        group_size: Columns that share a scale.
        bits: Of each number.
        mode: As MLX calls it.
    """

    group_size: int
    bits: int
    mode: str = "affine"

    def __str__(self) -> str:
        mode = "" if self.mode == "affine" else f" ({self.mode})"
        return f"{self.bits} bits in groups of {self.group_size}{mode}"

    def nbytes(self, rows: int, columns: int, width: int) -> int:
        """Return the bytes of a matrix, its scales and its biases; ``width`` is of one of these."""
        of_group = 1 if self.mode in _BYTE_SCALES else 2 * width
        return rows * (columns * self.bits // 8 + columns // self.group_size * of_group)


PACKINGS = {"q8": Packing(64, 8), "q4": Packing(64, 4)}
"""What the names in flags and in variants mean, for weights and for a KV cache."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How the weights of one model are stored.

    Attributes:
        label: What to call it.
        width: Bytes of a number that is not quantized.
        packings: The quantized matrices, by the names of their modules.
        sizes: Bytes of parameters as a file has them, by the names of their tensors.
    """

    label: str
    width: int
    packings: Mapping[str, Packing] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether every number is of the one width."""
        return not self.packings and not self.sizes

    def matrix_bytes(self, name: str, rows: int, columns: int) -> int:
        """Return the bytes of a matrix."""
        known = self.sizes.get(f"{name}.weight")
        if known is not None:
            return known
        packing = self.packings.get(name)
        if packing is None:
            return rows * columns * self.width
        return packing.nbytes(rows, columns, self.width)


def plain(dtype: str) -> Storage:
    """Return the form of a model that is not quantized."""
    return Storage(dtype, DTYPE_BYTES[dtype])


def named(name: str, shape: Geometry) -> Storage:
    """Return the form that a flag names: a dtype, or a quantization with 16-bit scales."""
    if name in DTYPE_BYTES:
        return plain(name)
    packings = _packings(shape, PACKINGS[name], {})
    return Storage(f"{name}: {label(packings, shape, '16-bit')}", 2, packings)


def of_config(values: Mapping[str, Any], shape: Geometry, dtype: str) -> Storage | None:
    """Return the form that a ``config.json`` of mlx-lm describes; None where it names none.

    Args:
        values: Its keys.
        shape: Of the model.
        dtype: Of the weights that are not quantized, of scales and of biases.
    """
    described = values.get("quantization") or values.get("quantization_config")
    if not isinstance(described, Mapping):
        return None
    usual = _packing(described)
    if usual is None:
        return None
    packings = _packings(shape, usual, described)
    return Storage(label(packings, shape, dtype), DTYPE_BYTES[dtype], packings)


def _packing(described: Any) -> Packing | None:
    """Return what a mapping with ``group_size``, ``bits`` and ``mode`` says, if that is sound."""
    if not isinstance(described, Mapping):
        return None
    mode = described.get("mode") or described.get("quant_method") or "affine"
    if mode not in ("affine", *_BYTE_SCALES):
        return None
    group_size, bits = _BYTE_SCALES.get(mode, (None, None))
    group_size, bits = described.get("group_size", group_size), described.get("bits", bits)
    if type(group_size) is not int or type(bits) is not int:
        return None
    return Packing(group_size, bits, mode) if group_size > 0 and 1 < bits <= 8 else None


def _packings(shape: Geometry, usual: Packing, single: Mapping[str, Any]) -> dict[str, Packing]:
    """Return the packing of every matrix that is quantized, single ones otherwise than the rest."""
    packings = {}
    for name, (_, columns) in shape.matrices().items():
        described = single.get(name, True)
        packing = usual if described is True else _packing(described)
        if packing is not None and columns % packing.group_size == 0:
            packings[name] = packing
    return packings


def label(packings: Mapping[str, Packing], shape: Geometry, rest: str) -> str:
    """Return what to call a quantization: the usual packing, and how many matrices have others."""
    matrices = shape.matrices()
    if not packings:
        return rest
    (usual, _), *others = Counter(packings.values()).most_common()
    parts = [str(usual), *(f"{count} matrices in {packing}" for packing, count in others)]
    if len(packings) < len(matrices):
        parts.append(f"{len(matrices) - len(packings)} matrices and the norms {rest}")
    else:
        parts.append(f"norms {rest}")
    return ", ".join(parts)
