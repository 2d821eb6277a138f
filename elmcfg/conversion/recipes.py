"""The one kind of recipe that CoreNet and the hub's code know: two end points, or one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg.infer import Exactness, Fit, infer
from elmcfg.schedule import RELEASED_DECIMALS

if TYPE_CHECKING:
    from elmcfg.config import Config


@dataclass(frozen=True, slots=True)
class EndPoints:
    """A recipe of at most two points for each half, rounded to two decimals.

    Attributes:
        qkv: Multipliers of the query width: first and last layer, or one for all.
        queries_per_kv_head: What CoreNet calls ``num_gqa_groups``.
        ffn: Multipliers of the feed-forward width, the same way; None where they follow no such
            recipe.
    """

    qkv: tuple[float, ...]
    queries_per_kv_head: int
    ffn: tuple[float, ...] | None


def end_points(config: Config) -> EndPoints | str:
    """The recipe of a model's heads and, if there is one, of its widths; or why there is none."""
    found = infer(config)
    if found.differing_kv:
        return (
            f"layer {found.differing_kv[0]} has another number of query heads per KV head than "
            f"{found.queries_per_kv_head}"
        )
    if not _is_plain(found.qkv):
        return f"its query heads follow none ({_said(found.qkv)})"
    ffn = found.ffn.points if _is_plain(found.ffn) else None
    return EndPoints(found.qkv.points, found.queries_per_kv_head, ffn)


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


def ffn_refusal(config: Config) -> str:
    """Why the widths follow no such recipe."""
    return f"its FFN widths follow none ({_said(infer(config).ffn)})"
