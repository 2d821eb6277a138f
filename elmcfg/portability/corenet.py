"""CoreNet, ``general_gpt.py``: knows recipes only, one number or the two ends of a line.

It reads no config file: a model is an entry of ``gpt_configs`` in its code. So the question is
whether some entry builds this model, whatever form the config gives it in: its own recipe, if it is
one that CoreNet can say, or the one that is sought for its lists. The RMSNorm epsilon is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from elmcfg.geometry import ffn_dim, query_heads
from elmcfg.portability.hf import expand
from elmcfg.portability.verdict import RELEASED_EPS, Built, Layer, RefusesError, meant
from elmcfg.straight_lines import Line, ffn_line, heads_line

if TYPE_CHECKING:
    from elmcfg.config import Config


def read(config: Config) -> Built:
    """The model that the best entry of ``gpt_configs`` builds.

    Raises:
        RefusesError: If no entry can say it.
    """
    wanted = meant(config)
    d, h, divisor = config.model_dim, config.head_dim, config.ffn_dim_divisor
    groups = _groups(wanted.layers)
    heads = [layer.num_query_heads for layer in wanted.layers]
    if not _gives(config.qkv_multipliers, heads, lambda m: query_heads(m, d, h, groups)):
        _require(heads_line(heads, d, h, groups), "num_query_heads")
    widths = [layer.ffn_dim for layer in wanted.layers]
    if not _gives(config.ffn_multipliers, widths, lambda m: ffn_dim(m, d, divisor)):
        _require(ffn_line(widths, d, divisor), "ffn_multipliers")
    return replace(wanted, rms_norm_eps=RELEASED_EPS)


def _groups(layers: Sequence[Layer]) -> int:
    ratios = [layer.num_query_heads // layer.num_kv_heads for layer in layers]
    for i, ratio in enumerate(ratios):
        if ratio != ratios[0]:
            raise RefusesError(
                f"has one number of queries per KV head for all layers, but layer {i} has {ratio} "
                f"where layer 0 has {ratios[0]}",
                ("num_kv_heads", i),
                i,
            )
    return ratios[0]


def _gives(
    points: Sequence[float] | None, sizes: Sequence[int], size: Callable[[float], int]
) -> bool:
    """Whether the control points, as CoreNet reads them, give these sizes."""
    if not points:
        return False
    multipliers = expand(points[0] if len(points) == 1 else points, len(sizes))
    return multipliers is not None and [size(m) for m in multipliers] == sizes


def _require(line: Line, key: str) -> None:
    layer = line.departure
    if layer is not None:
        ends = " to ".join(f"{point:g}" for point in line.points)
        nearest = f" (the nearest, {ends}, first differs in layer {layer})" if ends else ""
        raise RefusesError(
            f"cannot say it: it takes one multiplier or the two ends of a line, and no line gives "
            f"these {key}{nearest}",
            (key, layer),
            layer,
        )
