"""The step of the gradient check: down the slope, as far as the slope says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmcfg.backend import import_mlx

mx = import_mlx()
from elmcfg.proof.checks.gradient import _step  # noqa: E402
from elmcfg.proof.tolerance import number  # noqa: E402

PART = 0.01
SHAPES = st.one_of(st.tuples(st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(SHAPES, st.floats(-9, 4), st.integers(0, 2**32), st.booleans())
def test_where_the_loss_is_linear_it_falls_by_just_that(
    shape: tuple[int, ...], size: float, seed: int, transposed: bool
) -> None:
    gradient = 10**size * mx.random.normal(shape, key=mx.random.key(seed))
    if transposed:  # As MLX hands out the gradients of matrices.
        gradient = mx.contiguous(gradient.T).T
    slope, moved = _step(mx.zeros(shape), gradient, PART)
    assert moved.shape == shape
    assert number(slope) > 0
    assert number((gradient * moved).sum()) == pytest.approx(-PART, rel=1e-3)


@given(SHAPES)
def test_no_gradient_has_no_slope_and_moves_nothing(shape: tuple[int, ...]) -> None:
    slope, moved = _step(mx.ones(shape), mx.zeros(shape), PART)
    assert number(slope) == 0
    assert mx.array_equal(moved, mx.ones(shape))


@given(SHAPES, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 10**6))
def test_one_number_that_is_not_finite_is_enough(
    shape: tuple[int, ...], bad: float, place: int
) -> None:
    gradient = mx.ones(shape).reshape(-1)
    gradient[place % gradient.size] = bad
    slope, _ = _step(mx.ones(shape), gradient.reshape(shape), PART)
    assert not math.isfinite(number(slope))
