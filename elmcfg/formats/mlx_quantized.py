"""Matrices as MLX quantizes them, told from headers.

A quantized matrix is three tensors: ``.weight`` of 32-bit words that pack ``32 / bits`` columns
each, and ``.scales`` and ``.biases`` with one column per group of columns (ml-explore/mlx,
``mx.quantize``, mode ``affine``). How many columns a group has shows where they are known: in a
matrix that reads the model's width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from elmcfg.formats.safetensors import Entry
from elmcfg.storage import Packing

_READS_WIDTH = ("qkv_proj", "proj_1", "token_embeddings", "lm_head")


@dataclass(frozen=True, slots=True)
class Packed:
    """How a matrix is packed.

    Attributes:
        shape: Of the matrix that it stands for.
        group_size: Columns that share a scale and a bias.
        bits: Of each value.
    """

    shape: tuple[int, int]
    group_size: int
    bits: int


def packed(entries: Mapping[str, Entry], model_dim: int | None = None) -> dict[str, Packed]:
    """The quantized matrices of a checkpoint, by the names of their ``.weight``.

    Args:
        entries: Its tensors.
        model_dim: Width of the model, where its last norm is not there to tell it.
    """
    norm = entries.get("transformer.norm.weight")
    width = norm.shape[0] if norm and len(norm.shape) == 1 else model_dim
    pairs = {}
    for name, scales in entries.items():
        base = name.removesuffix(".scales")
        words = entries.get(f"{base}.weight")
        if base != name and words and len(words.shape) == len(scales.shape) == 2:
            pairs[base] = (words.shape, scales.shape[1])
    groups = {
        base: width // count
        for base, (_, count) in pairs.items()
        if width and count and base.endswith(_READS_WIDTH)
    }
    # A model has one size of group; where single matrices have others, these tell their own.
    usual = Counter(groups.values()).most_common(1)[0][0] if groups else 0
    found = {}
    for base, ((rows, words_per_row), count) in pairs.items():
        group = groups.get(base, usual)
        if group * count:
            bits = words_per_row * 32 // (group * count)
            found[f"{base}.weight"] = Packed((rows, group * count), group, bits)
    return found


def shapes(
    entries: Mapping[str, Entry], quantized: Mapping[str, Packed]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters, with each quantized matrix as the one that it stands for."""
    return {
        name: quantized[name].shape if name in quantized else entry.shape
        for name, entry in entries.items()
        if _matrix(name) == name or _matrix(name) not in entries
    }


def parts(name: str, entries: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """Return the tensors that a parameter is stored in: itself, and any scales and biases."""
    base = name.removesuffix("weight")
    stored = (name, f"{base}scales", f"{base}biases")
    return tuple(entries[each] for each in stored if each in entries)


def packing(stored: Sequence[Entry], shape: tuple[int, ...]) -> Packing | None:
    """Return how a parameter of a known shape is quantized; None where it is not, or not soundly.

    Args:
        stored: What :func:`parts` gives for it.
        shape: Of the parameter.
    """
    if len(stored) < 2 or len(shape) != 2:
        return None
    words, scales = stored[0].shape, stored[1].shape
    rows, columns = shape
    if len(words) != 2 or len(scales) != 2 or not words[0] == scales[0] == rows or not scales[1]:
        return None
    group_size, bits = columns // scales[1], words[1] * 32 // columns
    if group_size * scales[1] != columns or bits * columns != words[1] * 32:
        return None
    # Without biases a scale is a byte; MLX has 16 columns to a group in one such mode alone.
    byte_scaled = "nvfp4" if group_size == 16 else f"mxfp{bits}"
    return Packing(group_size, bits, "affine" if len(stored) > 2 else byte_scaled)


def _matrix(name: str) -> str:
    """The matrix that a tensor belongs to: of scales and biases their ``.weight``."""
    base, _, part = name.rpartition(".")
    return f"{base}.weight" if part in ("scales", "biases") else name
