"""The one kind of recipe that CoreNet and the hub's code know: two end points, or one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg.geometry import geometry
from elmcfg.infer import Exactness, Fit, infer
from elmcfg.schedule import RELEASED_DECIMALS
from elmcfg.straight_lines import Line, ffn_line, heads_line

if TYPE_CHECKING:
    from elmcfg.config import Config


@dataclass(frozen=True, slots=True)
class EndPoints:
    """A recipe of at most two points for each half, rounded to two decimals.

    Attributes:
        qkv: Multipliers of the query width: first and last layer, or one for all.
        queries_per_kv_head: What CoreNet calls ``num_gqa_groups``.
        ffn: Multipliers of the feed-forward width, the same way; or why there are none.
    """

    qkv: tuple[float, ...]
    queries_per_kv_head: int
    ffn: tuple[float, ...] | str


def end_points(config: Config) -> EndPoints | str:
    """The recipe of a model's heads and, if there is one, of its widths; or why there is none.

    A reason is a clause, such as ``its query heads follow none (...)``.
    """
    found = infer(config)
    if found.differing_kv:
        return (
            f"layer {found.differing_kv[0]} has another number of query heads per KV head than "
            f"{found.queries_per_kv_head}"
        )
    shape, groups = geometry(config), found.queries_per_kv_head
    heads = [layer.num_query_heads for layer in shape.layers]
    qkv = _points(found.qkv, heads_line(heads, shape.model_dim, shape.head_dim, groups))
    if qkv is None:
        return f"its query heads follow none ({_said(found.qkv)})"
    widths = [layer.ffn_dim for layer in shape.layers]
    ffn = _points(found.ffn, ffn_line(widths, shape.model_dim, config.ffn_dim_divisor))
    return EndPoints(qkv, groups, ffn or f"its FFN widths follow none ({_said(found.ffn)})")


def _points(fit: Fit, line: Line) -> tuple[float, ...] | None:
    """The recipe itself where it is of this kind, or another that makes the same sizes."""
    if _is_plain(fit):
        return fit.points
    return line.points if line.departure is None else None


def _is_plain(fit: Fit) -> bool:
    return (
        len(fit.points) <= 2
        and fit.frame is None
        and fit.decimals == RELEASED_DECIMALS
        and fit.exactness is not Exactness.NEAREST
    )


def _said(fit: Fit) -> str:
    if fit.exactness is Exactness.NEAREST:
        return f"the nearest misses layer {fit.differing[0]}"
    return fit.profile if fit.decimals == RELEASED_DECIMALS else f"{fit.profile}, not rounded to 2"
