"""What a study's finished trainings say about its variants, and what they do not.

All is computed from paired differences: two variants trained with the same seed saw the same data
in the same order, so what the data did to both cancels. With the handful of seeds that a study can
afford, which interval is drawn matters more than anything else:

* A bootstrap of three differences can draw 10 samples, and one of 27 draws is three times the
  smallest, more than the 2.5 % that a 95 % interval leaves out on a side. So that interval runs
  from the smallest difference to the largest, and where two variants are alike it misses zero
  whenever the three signs agree: in 1 of 4 studies, not in 1 of 20. Percentile and BCa intervals
  are too narrow for so few (Hesterberg 2015, "What Teachers Should Know About the Bootstrap",
  arXiv:1411.5279, sections 4 and 5; Efron and Tibshirani 1993, chapters 13 and 14).
* Student's t interval is as wide as so few differences ask for, if they scatter normally around
  their mean; three differences cannot show whether they do. It decides; the bootstrap stands
  beside it.
* Many pairs find one that differs by chance. Holm's step-down procedure (1979, Scandinavian
  Journal of Statistics 6) keeps the chance of any false difference below 1 - confidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_SEEDS = 3
"""Paired seeds below which nothing is ranked: two give a spread with one degree of freedom."""

_RESAMPLES = 9_999


@dataclass(frozen=True, slots=True)
class Trial:
    """A training that came to its end.

    Attributes:
        variant: Name of the variant.
        seed: Seed of weights and data order.
        learning_rate: The peak learning rate.
        bits_per_byte: Of the held-out text, at the end.
        validation: Steps with the bits per byte measured there, ascending.
    """

    variant: str
    seed: int
    learning_rate: float
    bits_per_byte: float
    validation: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The learning rate at which a variant is compared.

    Attributes:
        learning_rate: Of those with most finished seeds, the one of lowest mean bits per byte.
        tried: Every rate with its finished seeds and their mean, ascending; a rate that did not
            finish once is not here.
        at_edge: Whether it is the least or the greatest of several, so that a better one may lie
            outside.
    """

    learning_rate: float
    tried: tuple[tuple[float, int, float], ...]
    at_edge: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """A variant's trials at its chosen learning rate.

    Attributes:
        variant: Its name.
        chosen: Its learning rate.
        seeds: Finished seeds, ascending.
        mean: Bits per byte, over these seeds.
        noise: Standard deviation over the seeds (n - 1 in the denominator); None for one seed.
        least: The lowest bits per byte.
        most: The highest.
    """

    variant: str
    chosen: Chosen
    seeds: tuple[int, ...]
    mean: float
    noise: float | None
    least: float
    most: float


class Outcome(StrEnum):
    """What a comparison says of the first variant's bits per byte."""

    LOWER = "lower"
    TIE = "tie"
    TOO_FEW = "too few seeds"


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two variants over the seeds they share; differences are first minus second, bits per byte.

    Attributes:
        first: The variant of lower mean over these seeds.
        second: The other.
        seeds: The seeds both finished.
        differences: One per seed.
        mean: Of the differences; None without any.
        spread: Standard deviation of the differences; None for fewer than two.
        interval: Student's t interval of this pair alone, at the study's confidence.
        corrected: The same at the confidence of this pair's step in Holm's procedure, or of the
            step that stopped it. It holds zero exactly where the outcome is a tie.
        bootstrap: The percentile bootstrap interval of the mean; too narrow for few seeds.
        p: Of the paired t test, two-sided.
        p_corrected: After Holm.
        outcome: Whether the first is lower, or they tie, or there are too few seeds to say.
    """

    first: str
    second: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float | None
    spread: float | None
    interval: Interval | None = None
    corrected: Interval | None = None
    bootstrap: Interval | None = None
    p: float | None = None
    p_corrected: float | None = None
    outcome: Outcome = Outcome.TOO_FEW


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that the finished trainings say.

    Attributes:
        confidence: Of the intervals, and of all outcomes together.
        summaries: One per variant that finished a seed, in the order given.
        comparisons: One per pair of these.
        ranked: Variants that finished :data:`LEAST_SEEDS` seeds or more, by their mean over
            ``shared``, lowest first; empty where they are fewer than two, or do not all share so
            many. Neighbours may tie: see ``comparisons``.
        means: Of the ranked variants, in bits per byte over ``shared``.
        shared: Seeds that all ranked variants finished.
        unranked: Variants with too few seeds to stand in ``ranked``.
        firsts: For each shared seed, the variant that was lowest.
        agreement: Steps with Kendall's tau-b between the order of the ranked variants there and
            at the end, by their means over ``shared``; the last step is left out.
    """

    confidence: float
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    ranked: tuple[str, ...]
    means: tuple[float, ...]
    shared: tuple[int, ...]
    unranked: tuple[str, ...]
    firsts: Mapping[int, str]
    agreement: tuple[tuple[int, float], ...]

    def compared(self, one: str, other: str) -> Comparison:
        """The comparison of two variants.

        Raises:
            KeyError: If they were not compared.
        """
        for found in self.comparisons:
            if {found.first, found.second} == {one, other}:
                return found
        raise KeyError((one, other))


def judge(trials: Sequence[Trial], *, confidence: float = 0.95) -> Verdict:
    """Compare variants by their finished trainings.

    Args:
        trials: Finished ones, at most one per variant, seed and learning rate.
        confidence: Of the intervals, between 0 and 1.

    Raises:
        ValueError: If the confidence is not between 0 and 1, or a trial is there twice.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    grid: dict[str, dict[float, dict[int, Trial]]] = {}
    for trial in trials:
        row = grid.setdefault(trial.variant, {}).setdefault(trial.learning_rate, {})
        if trial.seed in row:
            raise ValueError(f"{trial.variant}, seed {trial.seed}: two trials of one job")
        row[trial.seed] = trial
    chosen = {name: _choose(rates) for name, rates in grid.items()}
    runs = {name: rates[chosen[name].learning_rate] for name, rates in grid.items()}
    pairs = [_paired(a, b, runs) for a, b in combinations(runs, 2)]
    means, shared = _ranked(runs)
    ranked = tuple(means)
    return Verdict(
        confidence=confidence,
        summaries=tuple(_summary(name, chosen[name], runs[name]) for name in runs),
        comparisons=tuple(_decided(pairs, confidence)),
        ranked=ranked,
        means=tuple(means.values()),
        shared=shared,
        unranked=tuple(name for name in runs if name not in ranked),
        firsts={s: min(ranked, key=lambda n: runs[n][s].bits_per_byte) for s in shared},
        agreement=_agreement(ranked, shared, runs),
    )


def least_seeds_without_assumptions(confidence: float, comparisons: int = 1) -> int:
    """Paired seeds from which signs alone can tell two variants apart.

    Where two variants are alike and nothing is known of how differences scatter but that either
    sign is as likely, all ``n`` signs agree with probability ``2 / 2**n``: below that no
    assumption-free test can go (the sign test and Fisher's permutation of signs).

    Args:
        confidence: Of the statement.
        comparisons: Pairs among which the strictest of Holm's steps must be passed.
    """
    seeds = 1
    while 2.0 ** (1 - seeds) > (1 - confidence) / comparisons:
        seeds += 1
    return seeds


def _choose(rates: Mapping[float, Mapping[int, Trial]]) -> Chosen:
    tried = tuple(
        (rate, len(by_seed), float(np.mean([t.bits_per_byte for t in by_seed.values()])))
        for rate, by_seed in sorted(rates.items())
    )
    # A rate at which some seeds diverged is not better for the luck of the others.
    rate = min(tried, key=lambda one: (-one[1], one[2]))[0]
    return Chosen(rate, tried, len(tried) > 1 and rate in (tried[0][0], tried[-1][0]))


def _summary(variant: str, chosen: Chosen, runs: Mapping[int, Trial]) -> Summary:
    ends = np.array([runs[seed].bits_per_byte for seed in sorted(runs)])
    return Summary(
        variant=variant,
        chosen=chosen,
        seeds=tuple(sorted(runs)),
        mean=float(ends.mean()),
        noise=float(ends.std(ddof=1)) if len(ends) > 1 else None,
        least=float(ends.min()),
        most=float(ends.max()),
    )


def _paired(a: str, b: str, runs: Mapping[str, Mapping[int, Trial]]) -> Comparison:
    seeds = tuple(sorted(runs[a].keys() & runs[b].keys()))
    differences = [runs[a][s].bits_per_byte - runs[b][s].bits_per_byte for s in seeds]
    if sum(differences) > 0:
        a, b, differences = b, a, [-d for d in differences]
    return Comparison(
        first=a,
        second=b,
        seeds=seeds,
        differences=tuple(differences),
        mean=float(np.mean(differences)) if differences else None,
        spread=float(np.std(differences, ddof=1)) if len(differences) > 1 else None,
    )


def _decided(pairs: Sequence[Comparison], confidence: float) -> list[Comparison]:
    """The comparisons with intervals and, all together, with outcomes."""
    enough = [i for i, pair in enumerate(pairs) if len(pair.seeds) >= LEAST_SEEDS]
    decided = list(pairs)
    corrected, stopped = 0.0, None
    by_p = sorted((_p(pairs[i]), i) for i in enough)
    for step, (p, i) in enumerate(by_p):
        corrected = max(corrected, min(1.0, (len(by_p) - step) * p))
        if corrected > 1 - confidence and stopped is None:
            stopped = step
        level = 1 - (1 - confidence) / (len(by_p) - (step if stopped is None else stopped))
        decided[i] = replace(
            pairs[i],
            interval=t_interval(pairs[i].differences, confidence),
            corrected=t_interval(pairs[i].differences, level),
            bootstrap=bootstrap_interval(pairs[i].differences, confidence),
            p=p,
            p_corrected=corrected,
            # The first is the one of lower mean, so it is lower or ties.
            outcome=Outcome.LOWER if stopped is None else Outcome.TIE,
        )
    return decided


def _p(pair: Comparison) -> float:
    from scipy.stats import t

    if pair.mean is None or not pair.spread:
        # Differences that are all alike: all zero, or beyond any noise.
        return 0.0 if pair.mean else 1.0
    n = len(pair.differences)
    return float(2 * t.sf(abs(pair.mean) / (pair.spread / n**0.5), n - 1))


def t_interval(values: Sequence[float], confidence: float) -> Interval:
    """Student's interval of a mean: ``mean ± t(n - 1) * sd / sqrt(n)`` (Student 1908).

    Args:
        values: At least two.
        confidence: Between 0 and 1.
    """
    from scipy.stats import t

    mean, spread, n = float(np.mean(values)), float(np.std(values, ddof=1)), len(values)
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * spread / n**0.5
    return mean - half, mean + half


def bootstrap_interval(values: Sequence[float], confidence: float) -> Interval:
    """The percentile bootstrap interval of a mean, by :func:`scipy.stats.bootstrap`, seeded.

    Args:
        values: At least two.
        confidence: Between 0 and 1.
    """
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _ranked(
    runs: Mapping[str, Mapping[int, Trial]],
) -> tuple[dict[str, float], tuple[int, ...]]:
    """Means of the ranked variants over the seeds they all finished, lowest first."""
    enough = {name: by_seed for name, by_seed in runs.items() if len(by_seed) >= LEAST_SEEDS}
    shared = sorted(set.intersection(*map(set, enough.values()))) if len(enough) > 1 else []
    if len(shared) < LEAST_SEEDS:
        return {}, ()
    means = {n: float(np.mean([enough[n][s].bits_per_byte for s in shared])) for n in enough}
    return dict(sorted(means.items(), key=lambda one: one[1])), tuple(shared)


def _agreement(
    ranked: Sequence[str], shared: Sequence[int], runs: Mapping[str, Mapping[int, Trial]]
) -> tuple[tuple[int, float], ...]:
    from scipy.stats import kendalltau

    if len(ranked) < 3:  # The order of two is right or wrong; that is no correlation.
        return ()
    at: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name in ranked:
        for seed in shared:
            for step, bits in runs[name][seed].validation:
                at[step][name].append(bits)
    complete = {
        step: _means(by_name, ranked)
        for step, by_name in sorted(at.items())
        if all(len(by_name[name]) == len(shared) for name in ranked)
    }
    end = np.array([np.mean([runs[n][s].bits_per_byte for s in shared]) for n in ranked])
    found = []
    for step, means in list(complete.items())[:-1]:
        tau = float(kendalltau(means, end).statistic)
        if not np.isnan(tau):  # It is where one of the orders has no order, all being equal.
            found.append((step, tau))
    return tuple(found)


def _means(by_name: Mapping[str, Sequence[float]], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([np.mean(by_name[name]) for name in names])
