"""Amounts as people write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmcfg import units
from elmcfg.render.tables import amount


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("600M", 600_000_000),
        ("1.1B", 1_100_000_000),
        ("1.1b", 1_100_000_000),
        ("2e18", 2 * 10**18),
        ("2.5E3", 2500),
        ("271,527,168", 271_527_168),
        ("271_527_168", 271_527_168),
        ("3G", 3 * 10**9),
        ("1Ki", 1024),
        (" 7 k ", 7000),
        (".5k", 500),
    ],
)
def test_counts(text: str, wanted: int) -> None:
    assert units.count(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("48MiB", 48 * 2**20),
        ("48mib", 48 * 2**20),
        ("2GB", 2 * 10**9),
        ("2G", 2 * 10**9),
        ("1.5KiB", 1536),
        ("17", 17),
        ("17B", 17),
        ("1TiB", 2**40),
    ],
)
def test_sizes(text: str, wanted: int) -> None:
    assert units.size(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("400GB/s", 400 * 10**9),
        ("14TFLOPS", 14 * 10**12),
        ("14.2 TFLOP/s", 14_200 * 10**9),
        ("1e12", 10**12),
        ("3GiB/s", 3 * 2**30),
        ("14T", 14 * 10**12),
    ],
)
def test_rates(text: str, wanted: int) -> None:
    assert units.rate(text) == wanted


def test_shares() -> None:
    assert units.fraction("0.5%") == Fraction(1, 200)
    assert units.fraction("0.005") == Fraction(1, 200)


@pytest.mark.parametrize("text", ["", "M", "600X", "-5M", "1.5", "nan", "1e99999", "600 M B"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|unknown unit|not a whole number"):
        units.count(text)


@pytest.mark.parametrize("text", ["48XiB", "1.0001B", "5%", "x"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|unknown unit|not a whole number"):
        units.size(text)


@pytest.mark.parametrize("text", ["0GB/s", "5 apples", "fast"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown rate|not an amount"):
        units.rate(text)


@given(st.integers(0, 10**18), st.sampled_from([("k", 3), ("M", 6), ("B", 9), ("T", 12)]))
def test_no_digit_is_lost(number: int, unit: tuple[str, int]) -> None:
    name, power = unit
    whole, rest = divmod(number, 10**power)
    assert units.count(f"{whole}.{rest:0{power}}{name}") == number


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (999, "999 FLOPs"),
        (999_499, "999 kFLOPs"),
        (999_500, "1 MFLOPs"),
        (1_234_567, "1.23 MFLOPs"),
    ],
)
def test_figures_of_three_digits(number: float, wanted: str) -> None:
    assert amount(number, "FLOPs") == wanted
