"""What a verdict means, in sentences that never say more than the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmcfg.study.verdict import LEAST_SEEDS, Outcome, least_seeds_without_assumptions

if TYPE_CHECKING:
    from elmcfg.study.results import Results, Run
    from elmcfg.study.verdict import Comparison, Verdict

PROXY = (
    "What this small proxy can tell: how these variants compare on this text, at this size, for "
    "this many steps, with these learning rates. What it cannot tell: which is better at another "
    "size or after longer training. Rankings of small models carry over only in part: at 150M "
    "parameters they order about 80 % of pairs as at 1B (DataDecide, arXiv:2504.11393), and gains "
    "on small models can turn into losses on larger ones. Repeat the study nearer to the size you "
    "mean to train before you rely on it."
)


def verdict(results: Results, found: Verdict) -> list[str]:
    """The verdict, a sentence each: who is lower, who ties, and whether there is a ranking."""
    if not found.summaries:
        return ["No training has finished, so there is nothing to compare."]
    if not found.ranked:
        return [
            f"No ranking: that takes {LEAST_SEEDS} seeds that two or more variants, and all that "
            "are ranked, have finished. What pairs of variants say is listed below."
        ]
    first = found.ranked[0]
    ties: list[str] = []
    beaten: list[str] = []
    for name in found.ranked[1:]:
        tie = found.compared(first, name).outcome is Outcome.TIE
        (ties if tie else beaten).append(name)
    told = [c for c in found.comparisons if c.outcome is Outcome.LOWER]
    said = [
        f"{first} has the lowest mean, {found.means[0]:.4f} bits per byte over "
        f"{len(found.shared)} paired seeds."
    ]
    if ties:
        said.append(f"It ties with {_list(ties)}: the data cannot tell them apart.")
    if beaten:
        said.append(f"It is lower than {_list(beaten)} by more than the noise.")
    if not told:
        said = ["Tie: no two of the variants can be told apart.", said[0]]
    firsts = sorted(set(found.firsts.values()), key=found.ranked.index)
    if len(firsts) > 1:
        said.append(f"Which is lowest changes with the seed: {_list(firsts)}.")
    if found.unranked:
        said.append(f"Not ranked, for too few finished seeds: {_list(found.unranked)}.")
    if results.missing:
        said.append(f"The study is not finished: {len(results.missing)} jobs are missing.")
    return said


def cautions(results: Results, found: Verdict) -> list[str]:
    """What to keep in mind: how the intervals were made, and what may mislead."""
    compared = sum(c.p is not None for c in found.comparisons)
    said = [matching(results), *learning_rates(found)]
    if compared:
        fewest = min(len(c.seeds) for c in found.comparisons if c.p is not None)
        needed = least_seeds_without_assumptions(found.confidence, compared)
        said.append(
            f"A tie is an interval that holds zero. The interval that decides is Student's t of "
            f"the paired differences, widened after Holm for {compared} comparisons so that all "
            f"outcomes hold together with {found.confidence:.0%} confidence. It supposes that "
            f"differences scatter normally, which {fewest} seeds cannot show; without that, "
            f"nothing could be told apart below {needed} seeds."
        )
        said.append(
            "The bootstrap interval stands beside it and does not decide: of 3 seeds it merely "
            "runs from the smallest difference to the largest, and of two equal variants it "
            "would miss zero in 1 study of 4 (Hesterberg 2015, arXiv:1411.5279)."
        )
        said.append("A tie does not say that two variants are equal: more seeds may part them.")
    hurt = sorted({r.variant for r in lost(results)})
    if hurt:
        said.append(
            f"Trainings of {_list(hurt)} diverged or failed and are left out, which can flatter "
            "the variant: those that broke might have been the worst."
        )
    return [*said, *(f"{remark}." for remark in results.remarks)]


def matching(results: Results) -> str:
    """Whether the variants were matched on a budget."""
    match = results.match
    if not match:
        return "The variants were not matched on a budget: a lower loss may be a larger model's."
    limit = tolerance(match.get("tolerance"))
    off = [
        f"{v.name} ({v.deviation:+.2%})"
        for v in results.variants
        if v.deviation is not None and limit is not None and abs(v.deviation) > limit
    ]
    unknown = [v.name for v in results.variants if v.deviation is None]
    said = f"Variants are matched on {match.get('cost')}"
    if isinstance(match.get("target"), int | float):
        said += f" of {match['target']:,}"
    if limit is not None:
        said += f", within {limit:.2%}"
    if off or unknown:
        return said + f", but not these: {_list([*off, *unknown])}."
    return said + "; other costs may differ, see the table."


def tolerance(given: object) -> float | None:
    """A tolerance as a plan may write it, 0.01 or 1%, as a share; None where there is none."""
    from elmcfg.units import fraction

    if isinstance(given, int | float):
        return float(given)
    try:
        return float(fraction(given)) if isinstance(given, str) else None
    except ValueError:
        return None


def learning_rates(found: Verdict) -> list[str]:
    """How learning rates were chosen."""
    rates = {s.variant: s.chosen for s in found.summaries}
    if not rates:
        return []
    if all(len(c.tried) == 1 for c in rates.values()):
        return ["Every variant has one learning rate; another may change the order."]
    said = [
        "Each variant stands at its best learning rate, chosen on the same held-out text, which "
        "makes its figure a little too good: "
        + ", ".join(f"{n} {c.learning_rate:g}" for n, c in rates.items())
        + "."
    ]
    edge = [n for n, c in rates.items() if c.at_edge]
    if edge:
        said.append(
            f"At the edge of the sweep, so that a better rate may lie beyond: {_list(edge)}."
        )
    return said


def agreement(found: Verdict) -> str | None:
    """How early the order was that of the end."""
    if not found.agreement:
        return None
    step, tau = found.agreement[len(found.agreement) // 2]
    early, first = found.agreement[0]
    return (
        f"Rank agreement with the end (Kendall's tau, 1 for the same order, 0 for chance): "
        f"{first:+.2f} at step {early:,}, {tau:+.2f} at step {step:,}, over "
        f"{len(found.ranked)} variants."
    )


def lost(results: Results) -> list[Run]:
    """Runs of any kind that diverged or failed."""
    return [run for run in results.runs if run.status != "done"]


def loss(run: Run) -> str:
    """One of them, in a line."""
    seed = "" if run.seed is None else f", seed {run.seed}"
    rate = "" if run.learning_rate is None else f", learning rate {run.learning_rate:g}"
    said = f"{run.variant}: {run.kind}{seed}{rate} {run.status}"
    error = run.error or {}
    step = error.get("step") or (run.result or {}).get("diverged_at")
    if step is not None:
        said += f" at step {step}"
    signal = f" ({error['signal']})" if error.get("signal") else ""
    return said + (f": {error['type']}: {error['message']}{signal}" if error.get("type") else "")


def difference(pair: Comparison) -> str:
    """``a - b``: mean and the interval that decides."""
    if pair.mean is None or pair.corrected is None:
        return "-" if pair.mean is None else f"{pair.mean:+.4f}"
    low, high = pair.corrected
    return f"{pair.mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def _list(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
