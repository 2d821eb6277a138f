"""What a study would do, as text: its variants, how they match, and its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elmcfg.escaping import printable

if TYPE_CHECKING:
    from elmcfg.study.jobs import Job
    from elmcfg.study.plan import Plan
    from elmcfg.study.variants import Named

# Rows of the table of variants.
_MOST = 50


def text(plan: Plan, found: Sequence[Named], budget: float | None, todo: Sequence[Job]) -> str:
    """A row for each variant, what they are matched on, and how many jobs of each kind."""
    names = [printable(v.name) for v in found]
    width = max(map(len, names))
    lines = [
        f"{'':{width}}  {'parameters':>15}  {'non-embedding':>15}  {'KV bytes/token':>14}  off"
    ]
    for name, variant in list(zip(names, found, strict=True))[:_MOST]:
        spent = variant.cost
        off = "" if variant.deviation is None else f"{variant.deviation:+.2%}"
        lines.append(
            f"{name:{width}}  {spent.parameters.total:15,}  "
            f"{spent.parameters.non_embedding:15,}  {spent.kv_cache_bytes_per_token:14,}  {off}"
        )
    if len(found) > _MOST:
        lines.append(f"... and {len(found) - _MOST:,} more")
    lines += ["", printable(matched(plan, found, budget)), ""]
    counts = Counter(job.kind for job in todo)
    distinct = len({job.key for job in todo})
    lines.append("jobs: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
    if distinct < len(todo):
        lines.append(f"{len(todo) - distinct:,} of them are the same model again: done once")
    return "\n".join(lines)


def matched(plan: Plan, found: Sequence[Named], budget: float | None) -> str:
    """Whether the variants are comparable, in a sentence."""
    if plan.match is None or budget is None:
        return "NOT matched on any budget: compare with care, or give the plan a match"
    off = [v for v in found if abs(v.deviation or 0.0) > plan.match.tolerance]
    what = f"{plan.match.cost} of {budget:,.0f} within {plan.match.tolerance:.2%}"
    if not off:
        return f"matched on {what}"
    told = ", ".join(f"{v.name} {v.deviation:+.2%}" for v in off[:10])
    more = f" and {len(off) - 10:,} more" if len(off) > 10 else ""
    return f"NOT matched on {what}: {told}{more}"
