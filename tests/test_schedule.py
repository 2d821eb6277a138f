"""Control points to multipliers, against numpy itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmcfg import schedule

numbers = st.floats(1e-3, 1e3, allow_nan=False)


@given(numbers, numbers, st.integers(1, 200))
def test_linspace_is_numpys_bit_for_bit(start: float, stop: float, num: int) -> None:
    assert list(schedule.linspace(start, stop, num)) == np.linspace(start, stop, num).tolist()


@given(numbers, st.integers(0, 6))
def test_rounding_is_numpys_bit_for_bit(value: float, decimals: int) -> None:
    assert schedule.numpy_round(value, decimals) == np.round(np.float64(value), decimals)


def test_rounding_is_not_pythons() -> None:
    assert schedule.numpy_round(0.525, 2) == 0.52
    assert round(0.525, 2) == 0.53


@given(
    st.lists(numbers, min_size=3, max_size=8),
    st.integers(8, 60),
)
def test_control_points_are_joined_by_straight_lines(points: list[float], layers: int) -> None:
    if not schedule.is_control_points(len(points), layers):
        return
    places, values = [], []
    for place, value in zip(np.linspace(0, layers - 1, len(points)), points, strict=True):
        for layer in dict.fromkeys((int(np.floor(place + 1e-9)), int(np.ceil(place - 1e-9)))):
            places.append(layer)
            values.append(value)
    wanted = np.interp(np.arange(layers), places, values)
    got = schedule.multipliers(points, layers, decimals=None)
    assert got == pytest.approx(wanted.tolist(), rel=1e-12)
    assert set(points) <= set(got)


@pytest.mark.parametrize(("layers", "peaks"), [(17, [8]), (18, [8, 9])])
def test_the_crowns_peak_is_one_layer_or_two(layers: int, peaks: list[int]) -> None:
    got = schedule.multipliers((0.5, 3.8, 0.5), layers, decimals=None)
    assert [i for i, m in enumerate(got) if m == 3.8] == peaks
    assert got == pytest.approx(got[::-1])


def test_a_frame_replaces_the_ends_alone() -> None:
    plain = schedule.multipliers((0.5, 4.0), 18)
    framed = schedule.multipliers((0.5, 4.0), 18, frame=4.0)
    assert framed == (4.0, *plain[1:-1], 4.0)


def test_one_point_is_used_unrounded_as_corenet_uses_a_number() -> None:
    assert schedule.multipliers((2.275,), 4) == (2.275,) * 4


def test_one_per_layer_is_kept_as_it_is() -> None:
    assert schedule.multipliers((0.123, 4.567), 2, frame=1.0) == (0.123, 4.567)


@pytest.mark.parametrize(
    ("count", "layers"), [(0, 16), (9, 16), (15, 16), (17, 16), (3, 4), (2, 1)]
)
def test_lists_that_are_neither_are_refused(count: int, layers: int) -> None:
    with pytest.raises(ValueError, match=f"{count} multipliers are neither"):
        schedule.multipliers((1.0,) * count, layers)


@pytest.mark.parametrize(("count", "layers"), [(1, 16), (2, 16), (8, 16), (3, 5), (2, 3)])
def test_control_points_are_at_most_half_the_layers(count: int, layers: int) -> None:
    assert len(schedule.multipliers((1.0,) * count, layers)) == layers
