"""A shape to be like: what decides between designs that meet a budget equally well.

Thousands of designs can meet a budget to the parameter. The one given is the least different from
a reference, by default the released models (arXiv 2404.14619). The difference is a sum of natural
logarithms of ratios, so 0.1 is about 10 % in one respect: width over depth, head width, queries
per KV head, and for each schedule the mean over the layers, compared at the same relative depth.
It says what is alike, nothing about what is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry
    from elmcfg.search.budgets import Shape
    from elmcfg.search.halves import Floats

# A small multiplier can be rounded to zero, which has no logarithm.
_ZERO = 1e-6


@dataclass(frozen=True, slots=True)
class Reference:
    """A shape to compare with.

    Attributes:
        name: What it is called.
        qkv: QKV multipliers evenly spread over the depth: control points, or one per layer.
        ffn: FFN multipliers, likewise.
        aspect_ratio: Channels of width for each layer of depth.
        head_dim: Channels of a head; None where it does not matter.
        queries_per_kv_head: None where it does not matter.
    """

    name: str
    qkv: tuple[float, ...]
    ffn: tuple[float, ...]
    aspect_ratio: float
    head_dim: int | None = None
    queries_per_kv_head: int | None = None

    def of_shape(self, shape: Shape) -> float:
        """Difference of a shape without its schedules."""
        result = abs(log(shape.model_dim / shape.layers / self.aspect_ratio))
        if self.head_dim is not None:
            result += abs(log(shape.head_dim / self.head_dim))
        if self.queries_per_kv_head is not None:
            result += abs(log(shape.queries_per_kv_head / self.queries_per_kv_head))
        return result


def differences(multipliers: Floats, wanted: Sequence[float]) -> Floats:
    """Difference of each layer, shape (layers, schedules), from a schedule; the same shape."""
    import numpy as np

    places = np.linspace(0, 1, len(multipliers)) if len(multipliers) > 1 else np.array([0.5])
    anchors = np.linspace(0, 1, len(wanted)) if len(wanted) > 1 else np.array([0.5])
    at_each = np.interp(places, anchors, np.array(wanted))
    # Logarithms are slow: of rounded multipliers, each is taken once.
    values, index = np.unique(multipliers, return_inverse=True)
    logs = np.log(np.maximum(values, _ZERO))[index.reshape(multipliers.shape)]
    result: Floats = np.abs(logs - np.log(at_each)[:, None])
    return result


def of_schedules(multipliers: Floats, wanted: Sequence[float]) -> Floats:
    """Difference of schedules, shape (layers, schedules), from one; shape (schedules,)."""
    result: Floats = differences(multipliers, wanted).mean(axis=0)
    return result


RELEASED = Reference(
    "the released models", (0.5, 1.0), (0.5, 4.0), aspect_ratio=80.0, queries_per_kv_head=4
)


def reference(shape: Geometry, name: str) -> Reference:
    """The shape of a model as a reference, by the widths it really has."""
    groups = {layer.num_query_heads // layer.num_kv_heads for layer in shape.layers}
    return Reference(
        name=name,
        qkv=tuple(layer.effective_qkv_multiplier for layer in shape.layers),
        ffn=tuple(layer.effective_ffn_multiplier for layer in shape.layers),
        aspect_ratio=shape.model_dim / len(shape.layers),
        head_dim=shape.head_dim,
        queries_per_kv_head=groups.pop() if len(groups) == 1 else None,
    )
