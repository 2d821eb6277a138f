"""A smaller model cut out of a bigger one's weights, as a start for training.

What is kept computes what it computed in the bigger model: the small model's output is that of the
big one with everything else masked out. So only what can be masked is cut: whole layers, query
heads, key/value heads with all their query heads, and feed-forward channels. The width of the
residual stream and of a head stay, since norms and rotations see all of their channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elmcfg.conversion.weights import Array, ConversionError, Weights, cast
from elmcfg.geometry import LayerShape, geometry

if TYPE_CHECKING:
    from elmcfg.config import Config

KEEP = ("first", "largest")
"""Which heads and channels are kept: the first, or those with the largest output weights."""

_FIXED = (
    "model_dim", "head_dim", "vocab_size", "ffn_with_glu", "normalize_qk_projections",
    "share_input_output_layers", "rms_norm_eps", "rope_freq_constant",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """What to cut.

    Attributes:
        config: The smaller model.
        layers: Layers of the bigger model, one for each of the smaller one's. None where the sizes
            tell: all of them, or the only ones that are as wide.
        keep: One of :data:`KEEP`.
    """

    config: Config
    layers: tuple[int, ...] | None = None
    keep: str = "first"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a layer: rows and columns of its matrices."""

    qkv_rows: Array
    query_channels: Array
    ffn_rows: Array
    ffn_channels: Array


def cut_weights(weights: Weights, big: Config, cut: Cut) -> Weights:
    """The weights of the smaller model, cut from the bigger one's as they are read.

    Raises:
        ConversionError: If the smaller model is no part of the bigger one.
    """
    small = cut.config
    for key in _FIXED:
        ours, theirs = getattr(small, key), getattr(big, key)
        if ours != theirs:
            raise ConversionError(f"cannot cut: {key} is {theirs}, the smaller model's {ours}")
    wholes, parts = geometry(big).layers, geometry(small).layers
    sources = _sources(wholes, parts, cut.layers)
    pairs = [(wholes[source], part) for source, part in zip(sources, parts, strict=True)]
    for whole, part in pairs:
        _fits(whole, part)
    shapes = geometry(small).tensor_shapes()
    kept: dict[int, _Kept] = {}

    def read(name: str) -> Array:
        index, tensor = _layer_and_part(name)
        values = weights.read(_source_of(name, sources))
        if index is None or tensor not in _CUTS:
            return values
        if index not in kept:
            kept.clear()  # layers come one after the other
            kept[index] = _choose(weights, *pairs[index], big, cut.keep)
        return _CUTS[tensor](values, kept[index])

    dtypes = {name: weights.dtypes[_source_of(name, sources)] for name in shapes}
    chosen = ", ".join(str(source) for source in sources)
    return Weights(dtypes, shapes, read, f"{weights.origin}, cut: layers {chosen}", weights.dtype)


def _named(index: int, tensor: str) -> str:
    return f"transformer.layers.{index}.{tensor}"


def _layer_and_part(name: str) -> tuple[int | None, str]:
    """The layer that a tensor is of, None for those of the whole model, and its name there."""
    if not name.startswith("transformer.layers."):
        return None, name
    index, _, tensor = name.removeprefix("transformer.layers.").partition(".")
    return int(index), tensor


def _source_of(name: str, sources: tuple[int, ...]) -> str:
    """The tensor of the bigger model that one of the smaller one's is cut from."""
    index, tensor = _layer_and_part(name)
    return name if index is None else _named(sources[index], tensor)


def _sources(
    wholes: Sequence[LayerShape], parts: Sequence[LayerShape], chosen: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Return a layer of the bigger model for each of the smaller one's."""
    big, small = len(wholes), len(parts)
    if chosen is None:
        return _only_choice(wholes, parts)
    if len(chosen) != small:
        raise ConversionError(f"cannot cut: {len(chosen)} layers named, but the model has {small}")
    if any(not 0 <= layer < big for layer in chosen) or list(chosen) != sorted(set(chosen)):
        raise ConversionError(
            f"cannot cut: layers must rise from 0 to {big - 1} at most, not {list(chosen)}"
        )
    return chosen


def _only_choice(wholes: Sequence[LayerShape], parts: Sequence[LayerShape]) -> tuple[int, ...]:
    """Return the layers that the sizes leave no doubt about.

    Raises:
        ConversionError: If there are several ways to choose them, or none.
    """
    big, small = len(wholes), len(parts)
    if small > big:
        raise ConversionError(f"cannot cut: {small:,} layers out of {big:,}")
    if small == big:
        return tuple(range(big))
    first = _first_match([*map(_widths, wholes)], [*map(_widths, parts)])
    last = _first_match([*map(_widths, wholes)][::-1], [*map(_widths, parts)][::-1])
    if first is not None and last is not None and first == tuple(big - 1 - i for i in last[::-1]):
        return first
    why = "none are as wide as its own" if first is None else "several are as wide as its own"
    spread = ",".join(str(round(i * (big - 1) / max(1, small - 1))) for i in range(small))
    raise ConversionError(
        f"cannot cut: which {small:,} of the {big:,} layers? In order, {why}; name them with "
        f"--slice-layers, such as {spread}"
    )


def _widths(layer: LayerShape) -> tuple[int, ...]:
    return layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim


def _first_match(
    wholes: list[tuple[int, ...]], parts: list[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """Return the earliest indices, in rising order, where the parts stand among the wholes."""
    found: list[int] = []
    for part in parts:
        try:
            found.append(wholes.index(part, found[-1] + 1 if found else 0))
        except ValueError:
            return None
    return tuple(found)


def _fits(whole: LayerShape, part: LayerShape) -> None:
    for what, size in _SIZES.items():
        if size(part) > size(whole):
            raise ConversionError(
                f"cannot cut: layer {part.index} wants {size(part):,} {what}, layer {whole.index} "
                f"of the bigger model has {size(whole):,}"
            )


_SIZES: Mapping[str, Callable[[LayerShape], int]] = {
    "KV heads": lambda layer: layer.num_kv_heads,
    "query heads per KV head": lambda layer: layer.num_query_heads // layer.num_kv_heads,
    "FFN channels": lambda layer: layer.ffn_dim,
}


def _choose(
    weights: Weights, whole: LayerShape, part: LayerShape, config: Config, keep: str
) -> _Kept:
    h, kv = config.head_dim, whole.num_kv_heads
    ratio, wanted = whole.num_query_heads // kv, part.num_query_heads // part.num_kv_heads
    # Squared norms of what each query head and each FFN channel adds to the stream.
    heads = np.zeros((kv, ratio))
    channels = np.zeros(whole.ffn_dim)
    if keep == "largest":
        out = _columns(weights, _named(whole.index, "attn.out_proj.weight"))
        heads = out.reshape(kv, ratio, h).sum(axis=2)
        channels = _columns(weights, _named(whole.index, "ffn.proj_2.weight"))
    groups = _top(np.sort(heads, axis=1)[:, ratio - wanted :].sum(axis=1), part.num_kv_heads)
    queries = np.concatenate([group * ratio + _top(heads[group], wanted) for group in groups])
    q = whole.num_query_heads
    rows = np.concatenate([queries, q + groups, q + kv + groups])
    ffn = _top(channels, part.ffn_dim)
    # The rows of the gate, where there is one, and of the up projection.
    ffn_rows = np.concatenate([ffn, whole.ffn_dim + ffn]) if config.ffn_with_glu else ffn
    return _Kept(_spread(rows, h), _spread(queries, h), ffn_rows, ffn)


def _columns(weights: Weights, name: str) -> Array:
    """Squared norm of each column."""
    values = cast(weights.read(name), weights.dtypes[name], "F32")
    return np.square(values, dtype=np.float64).sum(axis=0)  # type: ignore[no-any-return]


def _top(scores: Array, count: int) -> Array:
    """Indices of the largest, the earlier of equals, in rising order."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def _spread(heads: Array, head_dim: int) -> Array:
    """The channels of heads."""
    channels: Array = (heads[:, None] * head_dim + np.arange(head_dim)).reshape(-1)
    return channels


_CUTS: Mapping[str, Callable[[Array, _Kept], Array]] = {
    "attn.qkv_proj.weight": lambda values, kept: values[kept.qkv_rows],
    "attn.out_proj.weight": lambda values, kept: values[:, kept.query_channels],
    "ffn.proj_1.weight": lambda values, kept: values[kept.ffn_rows],
    "ffn.proj_2.weight": lambda values, kept: values[:, kept.ffn_channels],
}
