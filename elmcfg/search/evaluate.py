"""Many given designs at once: for a search of one's own, where the space is not one of ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elmcfg.schedule import RELEASED_DECIMALS
from elmcfg.search.halves import Floats, Integers, expand, widths

# As many designs as leave their multipliers in a core's own cache.
_CHUNK = 2_048


@dataclass(frozen=True, slots=True)
class Designs:
    """Designs, one to an entry.

    Attributes:
        layers: Depths, (N,).
        model_dim: Widths in channels, (N,).
        head_dim: Head widths in channels, (N,).
        queries_per_kv_head: (N,).
        divisor: Of the feed-forward widths, in channels, (N,).
        qkv: Control points of the QKV schedules, (N, points).
        ffn: Control points of the FFN schedules, (N, points).
    """

    layers: Integers
    model_dim: Integers
    head_dim: Integers
    queries_per_kv_head: Integers
    divisor: Integers
    qkv: Floats
    ffn: Floats


def sums(
    designs: Designs, *, decimals: int | None = RELEASED_DECIMALS
) -> tuple[Integers, Integers]:
    """KV heads and feed-forward divisors of all layers together, each (N,).

    Every cost of :mod:`elmcfg.search.budgets` is linear in these two.

    Args:
        designs: What to evaluate.
        decimals: Rounding of the multipliers; None for none.
    """
    heads = np.empty(len(designs.layers), np.int64)
    units = np.empty(len(designs.layers), np.int64)
    steps = designs.head_dim * designs.queries_per_kv_head
    for depth, chunk in _by_depth(designs.layers):
        width = designs.model_dim[chunk]
        for result, points, divisor in (
            (heads, designs.qkv, steps),
            (units, designs.ffn, designs.divisor),
        ):
            wanted = expand(points[chunk].T, depth, decimals=decimals)
            result[chunk] = widths(wanted * width, divisor[chunk]).sum(axis=0)
    return heads, units


def _by_depth(layers: Integers) -> Iterator[tuple[int, Integers]]:
    """Positions of designs of one depth, some thousands at a time."""
    order = np.argsort(layers, kind="stable")
    edges = np.flatnonzero(np.diff(layers[order])) + 1
    for group in np.split(order, edges):
        for start in range(0, len(group), _CHUNK):
            yield int(layers[group[0]]), group[start : start + _CHUNK]
