"""The rounding rule and the final integers of each layer."""

from fractions import Fraction

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmcfg.config import Config
from elmcfg.geometry import ffn_dim, geometry, make_divisible, query_heads, shortest_multiplier
from elmcfg.strategies import configs

divisors = st.integers(1, 2048)
widths = st.floats(0, 1e6, allow_nan=False)


@given(widths, divisors)
def test_make_divisible_is_the_nearest_multiple_mended_by_the_ten_percent_rule(
    value: float, divisor: int
) -> None:
    # Within rounding errors of a tie, but not at one, floats may choose either neighbour.
    off = abs(Fraction(value) / divisor % 1 - Fraction(1, 2))
    if value / divisor < 2000 and not 0 < off < 1e-9:
        assert make_divisible(value, divisor) == oracles.make_divisible(value, divisor)


@given(widths, divisors)
def test_make_divisible_never_loses_over_ten_percent(value: float, divisor: int) -> None:
    result = make_divisible(value, divisor)
    assert result % divisor == 0
    assert result >= divisor
    assert result >= 0.9 * value


@given(st.integers(1, 5000), divisors)
def test_make_divisible_keeps_multiples(count: int, divisor: int) -> None:
    assert make_divisible(count * divisor, divisor) == count * divisor


@given(st.integers(1, 200), st.integers(1, 8192), divisors)
def test_the_shortest_multiplier_gives_the_width(count: int, model_dim: int, divisor: int) -> None:
    width = count * divisor
    multiplier = shortest_multiplier(width, model_dim, divisor)
    assert ffn_dim(multiplier, model_dim, divisor) == width


def test_the_shortest_multipliers_of_a_released_model() -> None:
    released = [0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13]  # OpenELM-270M, the first half
    widths = [768, 1024, 1280, 1536, 1792, 2048, 2560, 2816]
    shortest = [shortest_multiplier(width, 1280, 256) for width in widths]
    # Each is the ratio itself, in two decimals, which is rounded to the same width.
    assert shortest == [0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 2.2]
    assert [ffn_dim(m, 1280, 256) for m in released] == widths


@pytest.mark.parametrize(
    ("value", "divisor", "expected"),
    [
        (288, 256, 512),  # the 10 % rule widens by 78 %
        (0, 256, 256),  # the floor
        (384, 256, 512),  # a half goes up
        (640.0, 192, 576),  # 0.9 * 640 is 576: `<` keeps it, `<=` would not
        (0.5 * 1280, 64 * 3, 576),  # the same as widths: 9 heads, not 12
    ],
)
def test_make_divisible_at_its_traps(value: float, divisor: int, expected: int) -> None:
    assert make_divisible(value, divisor) == expected


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_make_divisible_refuses_what_is_no_width(value: float) -> None:
    with pytest.raises(ValueError, match="value must be finite"):
        make_divisible(value, 8)


def test_make_divisible_refuses_a_divisor_of_zero() -> None:
    with pytest.raises(ValueError, match="divisor must be a positive integer, got 0"):
        make_divisible(8, 0)


@pytest.mark.parametrize(("model_dim", "expected"), [(576, 12), (1600, 24)])
def test_a_multiplier_of_one_need_not_give_model_dim_over_head_dim(
    model_dim: int, expected: int
) -> None:
    assert query_heads(1.0, model_dim, 64, 4) == expected


@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
def test_the_released_recipes_give_the_released_lists(model: oracles.Released) -> None:
    shape = geometry(
        Config(
            num_transformer_layers=model.layers,
            model_dim=model.model_dim,
            head_dim=model.head_dim,
            vocab_size=32000,
            num_gqa_groups=4,
            qkv_multipliers=(0.5, 1.0),
            ffn_multipliers=(0.5, 4.0),
        )
    )
    assert [layer.num_kv_heads for layer in shape.layers] == model.kv_heads
    assert [layer.num_query_heads for layer in shape.layers] == [4 * kv for kv in model.kv_heads]
    assert [layer.ffn_multiplier for layer in shape.layers] == model.ffn_multipliers
    assert len(shape.tensor_shapes()) == model.arrays


def test_the_widths_of_270m() -> None:
    recipe = Config(
        num_transformer_layers=16,
        model_dim=1280,
        head_dim=64,
        vocab_size=32000,
        num_gqa_groups=4,
        qkv_multipliers=(0.5, 1.0),
        ffn_multipliers=(0.5, 4.0),
    )
    assert [layer.ffn_dim for layer in geometry(recipe).layers] == oracles.FFN_WIDTHS_270M


@given(
    st.integers(1, 80),
    st.integers(1, 4096),
    st.integers(1, 64).map(lambda n: 2 * n),
    st.integers(1, 8),
    st.tuples(st.floats(0.05, 3), st.floats(0.05, 3)),
    st.tuples(st.floats(0.05, 8), st.floats(0.05, 8)),
    st.sampled_from([1, 8, 64, 100, 256]),
)
def test_any_recipe_gives_corenets_lists(
    layers: int,
    model_dim: int,
    head_dim: int,
    groups: int,
    qkv: tuple[float, float],
    ffn: tuple[float, float],
    divisor: int,
) -> None:
    wanted = oracles.corenet_lists(layers, model_dim, head_dim, groups, qkv, ffn, divisor)
    if layers == 1:
        qkv, ffn = (np.round(qkv[0], 2),), (np.round(ffn[0], 2),)  # type: ignore[assignment]
    if layers == 2:  # one per layer: already what the rule would give, but for the rounding
        qkv, ffn = ((float(np.round(a, 2)), float(np.round(b, 2))) for a, b in (qkv, ffn))
    if min(*qkv, *ffn) == 0:
        return
    shape = geometry(
        Config(
            num_transformer_layers=layers,
            model_dim=model_dim,
            head_dim=head_dim,
            vocab_size=100,
            num_gqa_groups=groups,
            qkv_multipliers=tuple(float(m) for m in qkv),
            ffn_multipliers=tuple(float(m) for m in ffn),
            ffn_dim_divisor=divisor,
        )
    )
    assert [layer.num_query_heads for layer in shape.layers] == wanted.query_heads
    assert [layer.num_kv_heads for layer in shape.layers] == wanted.kv_heads
    assert [layer.ffn_multiplier for layer in shape.layers] == wanted.ffn_multipliers
    assert [layer.ffn_dim for layer in shape.layers] == wanted.ffn_widths


@given(configs())
def test_effective_multipliers_are_what_was_got(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    for layer in geometry(config).layers:
        assert layer.effective_qkv_multiplier * config.model_dim == pytest.approx(
            layer.num_query_heads * config.head_dim
        )
        assert layer.effective_ffn_multiplier * config.model_dim == pytest.approx(layer.ffn_dim)
