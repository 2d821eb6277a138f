"""From lists back to recipes, against the released models and random recipes."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import RELEASED, Released, corenet_lists

import elmcfg
from elmcfg import strategies
from elmcfg.config import Config
from elmcfg.geometry import geometry
from elmcfg.infer import Exactness, Inference, from_multipliers, infer

hundredths = st.integers(5, 800).map(lambda n: n / 100)


def lists(values: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    layers = geometry(Config(**values)).layers
    return (
        [layer.num_query_heads for layer in layers],
        [layer.num_kv_heads for layer in layers],
        [layer.ffn_dim for layer in layers],
    )


def expanded(found: Inference, config: Config) -> tuple[list[int], list[int], list[int]]:
    """The lists of the recipe, by the way any recipe goes."""
    n = config.num_transformer_layers
    return lists(
        {
            "num_transformer_layers": n,
            "model_dim": config.model_dim,
            "head_dim": config.head_dim,
            "vocab_size": config.vocab_size,
            "ffn_dim_divisor": config.ffn_dim_divisor,
            "num_gqa_groups": found.queries_per_kv_head,
            "qkv_multipliers": found.qkv.multipliers(n),
            "ffn_multipliers": found.ffn.multipliers(n),
        }
    )


def hand_written(model: Released, **more: Any) -> Config:
    return Config(
        **{
            "num_transformer_layers": model.layers,
            "model_dim": model.model_dim,
            "head_dim": model.head_dim,
            "vocab_size": 32000,
            "num_query_heads": [4 * kv for kv in model.kv_heads],
            "num_kv_heads": model.kv_heads,
            "ffn_multipliers": model.ffn_multipliers,
            **more,
        }
    )


@pytest.mark.parametrize("model", RELEASED, ids=lambda m: m.name)
def test_released_lists_give_the_released_recipe(model: Released) -> None:
    found = infer(hand_written(model))
    assert found.qkv.points == (0.5, 1.0)
    assert found.ffn.points == (0.5, 4.0)
    assert found.queries_per_kv_head == 4
    assert found.ffn.exactness is Exactness.MULTIPLIERS
    assert found.qkv.exactness is Exactness.WIDTHS
    assert found.is_exact


@pytest.mark.parametrize("name", ["crown", "framed", "reverse", "vanilla"])
@pytest.mark.parametrize("keep_recipe", [True, False])
def test_shipped_schedules_are_recognised(name: str, keep_recipe: bool) -> None:
    config = elmcfg.load(f"lws-18l-{name}")
    values = elmcfg.resolve(config).model_dump(exclude={"schedule"}, exclude_none=True)
    if not keep_recipe:
        del values["qkv_multipliers"], values["num_gqa_groups"]
    found = infer(Config(**values))
    wanted = {
        "crown": ((0.5, 1.0, 0.5), 1.0, (0.5, 3.8, 0.5), 4.0),
        "framed": ((0.5, 1.0), 1.0, (0.5, 4.0), 4.0),
        "reverse": ((1.0, 0.5), None, (4.0, 0.5), None),
        "vanilla": ((0.5, 1.0), None, (0.5, 4.0), None),
    }[name]
    got = (found.qkv.points, found.qkv.frame, found.ffn.points, found.ffn.frame)
    assert got == wanted
    profile = {"vanilla": "linear", "framed": "framed linear", "crown": "framed crown"}
    assert found.ffn.profile == profile.get(name, name)


@given(st.lists(hundredths, min_size=1, max_size=3), st.integers(5, 48))
def test_control_points_come_back(points: list[float], layers: int) -> None:
    # Only what fewer points could not say is canonical.
    assume(len(set(points)) == len(points) and (len(points) < 3 or points[0] != points[2]))
    values = elmcfg.scale(num_transformer_layers=layers, model_dim=64, ffn_multipliers=points)
    multipliers = elmcfg.resolve(values).ffn_multipliers
    found = from_multipliers(multipliers)
    assert found is not None
    assert found.multipliers(layers) == multipliers
    if len(points) < 3:
        assert found.points == tuple(points)
    else:
        assert len(found.points) <= 3


@given(strategies.recipes(max_layers=30), strategies.schedules())
def test_what_is_inferred_makes_the_multipliers_again(
    values: dict[str, Any], options: dict[str, Any]
) -> None:
    assume(options["decimals"] in (2, None) and values["num_transformer_layers"] > 6)
    config = Config(**values, schedule=options)
    multipliers = elmcfg.resolve(config).ffn_multipliers
    found = from_multipliers(multipliers)
    if found is not None:
        assert found.multipliers(len(multipliers)) == multipliers
    if options["frame_ffn_multiplier"] is None:
        assert found is not None


@given(
    st.integers(5, 40),
    st.integers(2, 40).map(lambda n: 64 * n),
    st.sampled_from([64, 128]),
    st.integers(1, 6),
    st.tuples(hundredths, hundredths),
    st.tuples(hundredths, hundredths),
)
def test_head_counts_alone_give_a_recipe_that_makes_them(
    layers: int,
    width: int,
    head_dim: int,
    groups: int,
    qkv: tuple[float, float],
    ffn: tuple[float, float],
) -> None:
    wanted = corenet_lists(layers, width, head_dim, groups, qkv, ffn)
    config = Config(
        num_transformer_layers=layers,
        model_dim=width,
        head_dim=head_dim,
        vocab_size=100,
        num_query_heads=wanted.query_heads,
        num_kv_heads=wanted.kv_heads,
        ffn_multipliers=wanted.ffn_multipliers,
    )
    found = infer(config)
    assert found.is_exact
    assert expanded(found, config) == (wanted.query_heads, wanted.kv_heads, wanted.ffn_widths)


def test_an_edited_list_gives_the_nearest_recipe_and_the_layers_that_differ() -> None:
    model = RELEASED[0]
    kv, ffn = list(model.kv_heads), list(model.ffn_multipliers)
    kv[7], ffn[3], ffn[12] = 9, 3.7, 0.5
    heads = [4 * n for n in kv]
    found = infer(hand_written(model, num_kv_heads=kv, num_query_heads=heads, ffn_multipliers=ffn))
    assert (found.qkv.exactness, found.qkv.differing) == (Exactness.NEAREST, (7,))
    assert (found.ffn.exactness, found.ffn.differing) == (Exactness.NEAREST, (3, 12))
    assert not found.is_exact
    config = hand_written(model)
    got, wanted = expanded(found, config), expanded(infer(config), config)
    assert got == wanted


def test_layers_with_another_number_of_queries_per_kv_head_are_named() -> None:
    model = RELEASED[0]
    heads = [4 * n for n in model.kv_heads]
    heads[2] = 9
    found = infer(hand_written(model, num_query_heads=heads))
    assert (found.queries_per_kv_head, found.differing_kv) == (4, (2,))
    assert not found.is_exact
