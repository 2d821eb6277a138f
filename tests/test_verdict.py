"""The statistics of a study, against SciPy's own tests and against enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from elmcfg.study.verdict import (
    Outcome,
    Trial,
    Verdict,
    bootstrap_interval,
    judge,
    least_seeds_without_assumptions,
    t_interval,
)


def judged(ends: dict[str, list[float]], rate: float = 3e-4) -> Verdict:
    return judge([Trial(n, s, rate, b) for n, row in ends.items() for s, b in enumerate(row)])


numbers = st.floats(1, 4).map(lambda x: round(x, 4))
tables = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=2, max_size=5)
)


@given(tables)
def test_a_tie_is_an_interval_that_holds_zero_and_holm_is_by_the_book(
    rows: list[list[float]],
) -> None:
    found = judged({f"v{i}": row for i, row in enumerate(rows)})
    tested = sorted((c.p, c.p_corrected) for c in found.comparisons if c.p is not None)
    if len(rows[0]) < 3:
        assert not tested
        assert not found.ranked
        return
    # Holm (1979): the running maximum of (m - i) p(i).
    expected = np.minimum(
        1, np.maximum.accumulate([(len(tested) - i) * p for i, (p, _) in enumerate(tested)])
    )
    assert [c for _, c in tested] == pytest.approx(expected)
    for c in found.comparisons:
        assert c.corrected is not None
        assert c.mean is not None
        low, high = c.corrected
        if abs(c.mean) > 1e-9 and c.spread and c.spread > 1e-9:  # not where both are rounding
            assert (low <= 0 <= high) == (c.outcome is Outcome.TIE)


def test_the_paired_interval_is_scipys() -> None:
    a, b = [2.257, 2.261, 2.249, 2.270], [2.291, 2.288, 2.290, 2.301]
    c = judged({"a": a, "b": b}).comparisons[0]
    scipys = stats.ttest_rel(a, b)
    assert c.p == pytest.approx(scipys.pvalue)
    assert c.interval is not None
    assert list(c.interval) == pytest.approx(list(scipys.confidence_interval(0.95)))
    # By the table of Student's distribution: 4.303 for 2 degrees of freedom.
    assert t_interval([-1, 0, 1], 0.95)[1] == pytest.approx(4.303 / 3**0.5, abs=1e-3)


def test_of_three_differences_the_bootstrap_is_their_range_and_says_too_much() -> None:
    values = [-0.030, -0.002, -0.011]
    means = sorted(sum(draw) / 3 for draw in product(values, repeat=3))
    exact = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert list(bootstrap_interval(values, 0.95)) == pytest.approx(list(exact))
    assert list(exact) == pytest.approx([min(values), max(values)])
    c = judged({"a": [2 + v for v in values], "b": [2.0, 2.0, 2.0]}).comparisons[0]
    assert c.bootstrap is not None
    assert c.bootstrap[1] < 0  # it would call a lower,
    assert c.outcome is Outcome.TIE  # which three such differences do not show


def test_many_pairs_are_corrected_for() -> None:
    pair = {"a": [2.00, 2.01, 2.02], "b": [2.03, 2.05, 2.07]}
    assert judged(pair).compared("a", "b").outcome is Outcome.LOWER
    others = {"c": [2.02, 2.04, 2.09], "d": [2.05, 2.01, 2.03], "e": [2.04, 2.08, 2.00]}
    assert judged(pair | others).compared("b", "a").outcome is Outcome.TIE


def test_two_seeds_rank_nothing() -> None:
    found = judged({"a": [1.0, 1.0], "b": [2.0, 2.0]})
    assert found.ranked == ()
    assert found.comparisons[0].outcome is Outcome.TOO_FEW
    assert found.comparisons[0].interval is None


def test_each_variant_stands_at_its_best_rate_of_those_with_most_seeds() -> None:
    trials = [Trial("a", s, r, 2 + r) for s in range(3) for r in (0.1, 0.2, 0.3)]
    trials += [Trial("a", 0, 0.9, 1.0)]  # low, but it diverged with the other seeds
    trials += [Trial("b", s, r, 3 - r) for s in range(3) for r in (0.1, 0.2, 0.3)]
    a, b = judge(trials).summaries
    assert (a.chosen.learning_rate, a.chosen.at_edge) == (0.1, True)
    assert b.chosen.learning_rate == 0.3
    assert b.mean == pytest.approx(2.7)
    with pytest.raises(ValueError, match="two trials"):
        judge([trials[0], trials[0]])


def test_ranks_agree_as_scipy_says() -> None:
    early, late = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.1, "b": 1.3, "c": 1.2}
    trials = [
        Trial(n, s, 1e-3, late[n], ((10, early[n]), (20, late[n]))) for n in early for s in range(3)
    ]
    # Of three pairs two agree and one does not: (2 - 1) / 3.
    ((step, tau),) = judge(trials).agreement
    assert (step, round(tau, 9)) == (10, round(1 / 3, 9))
    assert judge(trials).ranked == ("a", "c", "b")


def test_signs_alone_need_six_seeds() -> None:
    # 2 / 2**5 = 0.0625 and 2 / 2**6 = 0.03125; 15 pairs need 2 / 2**n <= 0.05 / 15 = 2 / 600.
    assert least_seeds_without_assumptions(0.95) == 6
    assert least_seeds_without_assumptions(0.95, comparisons=15) == 10
