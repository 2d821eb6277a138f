"""New variants, against CoreNet's rule written out again and models built in MLX."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import RELEASED

import elmcfg
from elmcfg import strategies
from elmcfg.diagnostics import has_errors
from elmcfg.geometry import geometry
from elmcfg.infer import infer
from elmcfg.scaling import recipe, rescaled, scale, select_layers

hundredths = st.integers(5, 800).map(lambda n: n / 100)


def published_width(wanted: np.float64, divisor: int) -> int:
    """make_divisible as apple/corenet publishes it, on the numbers that numpy makes."""
    width = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return width + divisor if width < 0.9 * wanted else width


def published_multipliers(ends: tuple[float, float], layers: int) -> list[np.float64]:
    return [np.round(m, 2) for m in np.linspace(*ends, num=layers, dtype=np.float64)]


@given(
    st.integers(2, 96),
    st.integers(1, 64).map(lambda n: 64 * n),
    st.sampled_from([32, 64, 96, 128]),
    st.integers(1, 8),
    st.tuples(hundredths, hundredths),
    st.tuples(hundredths, hundredths),
    st.sampled_from([32, 192, 256]),
)
@settings(max_examples=2000)
def test_recipes_give_corenets_lists(
    layers: int,
    width: int,
    head_dim: int,
    groups: int,
    qkv: tuple[float, float],
    ffn: tuple[float, float],
    divisor: int,
) -> None:
    step = head_dim * groups
    heads = [
        published_width(width * m, step) // head_dim for m in published_multipliers(qkv, layers)
    ]
    multipliers = published_multipliers(ffn, layers)
    widths = [published_width(width * m, divisor) for m in multipliers]
    config = scale(
        num_transformer_layers=layers,
        model_dim=width,
        head_dim=head_dim,
        num_gqa_groups=groups,
        qkv_multipliers=qkv,
        ffn_multipliers=ffn,
        ffn_dim_divisor=divisor,
    )
    got = elmcfg.resolve(config)
    assert list(got.num_query_heads or ()) == heads
    assert list(got.num_kv_heads or ()) == [q // groups for q in heads]
    assert list(got.ffn_multipliers) == multipliers
    assert [layer.ffn_dim for layer in geometry(config).layers] == widths


@given(strategies.configs())
def test_the_inferred_recipe_is_a_config(values: dict[str, Any]) -> None:
    config = elmcfg.Config(**values)
    found = infer(config)
    layers = geometry(config).layers
    # Multipliers that are rounded to nothing cannot be written out again.
    assume(min(min(x.qkv_multiplier, x.ffn_multiplier) for x in layers) > 0)
    if config.num_transformer_layers < 6:
        return
    again = elmcfg.Config(**recipe(config, found))
    if found.is_exact and found.qkv.decimals == found.ffn.decimals:
        ours, theirs = elmcfg.resolve(again), elmcfg.resolve(config)
        assert ours.num_query_heads == theirs.num_query_heads
        assert ours.num_kv_heads == theirs.num_kv_heads
        assert elmcfg.cost(again).parameters == elmcfg.cost(config).parameters


def test_selected_layers_keep_their_widths() -> None:
    # CoreNet's 1_1B-0.25l is layers 0, 4, ..., 24 of the released model.
    model = RELEASED[2]
    layers = list(range(0, 28, 4))
    got = select_layers(elmcfg.load(model.name), layers)
    assert list(got.num_kv_heads or ()) == [model.kv_heads[i] for i in layers]
    assert list(got.ffn_multipliers) == [model.ffn_multipliers[i] for i in layers]
    assert got.num_transformer_layers == 7
    parts = elmcfg.cost(elmcfg.load(model.name)).layers
    final_norm = 2048
    kept = sum(parts[i].parameters for i in layers) + final_norm
    assert elmcfg.cost(got).parameters.non_embedding == kept


def test_selected_layers_keep_a_null_that_says_something() -> None:
    config = elmcfg.load("tiny").model_copy(update={"bos_token_id": None, "eos_token_id": None})
    got = select_layers(config, [0, 2])
    assert (got.bos_token_id, got.eos_token_id) == (None, None)


@pytest.mark.parametrize("profile", ["tapered", "step"])
def test_a_depth_that_is_none_is_told_and_not_drawn(profile: str) -> None:
    tiny = elmcfg.load("tiny")
    with pytest.raises(elmcfg.InvalidConfigError, match="num_transformer_layers is 1000000000000"):
        rescaled(tiny, infer(tiny), {"num_transformer_layers": 10**12}, profile)


@pytest.mark.parametrize("layers", [[], [28], [-1]])
def test_layers_that_are_not_there_are_refused(layers: list[int]) -> None:
    with pytest.raises(ValueError, match="its layers are 0 to 27"):
        select_layers(elmcfg.load("openelm-1_1b"), layers)


def test_flops_are_those_of_a_flop_counter() -> None:
    # torch's FlopCounterMode on the meta device, OpenELM-270M, 512 tokens, full square attention.
    flops = elmcfg.cost(elmcfg.load("openelm-270m"), context_length=512).flops_per_token
    assert 512 * (flops.linear + flops.lm_head + flops.attention) == 294_909_902_848


def test_designs_of_a_search_have_as_many_parameters_in_mlx() -> None:
    mlx = pytest.importorskip("mlx.utils")
    from elmcfg.search.budgets import QUANTITIES, Conditions
    from elmcfg.search.engine import search
    from elmcfg.search.problem import config_of, costs_of
    from elmcfg.search.question import Question
    from elmcfg.search.space import make_space

    space = make_space(
        {
            "num_transformer_layers": {"from": 5, "to": 9},
            "model_dim": {"from": 64, "to": 256, "step": 32},
            "head_dim": [16, 32],
            "num_gqa_groups": [1, 3],
            "ffn_dim_divisor": [16, 64],
            "qkv_multipliers": [0.5, {"from": 0.5, "to": 1.5}, 0.5],
            "ffn_multipliers": [{"from": 0.5, "to": 2.0}, {"from": 0.5, "to": 4.0}],
        }
    )
    keys = {"vocab_size": 300, "share_input_output_layers": False}
    assumed = Conditions(vocab_size=300, share_input_output_layers=False)
    result = search(Question(space=space, conditions=assumed), candidates=6)
    assert len(result.designs) == 6
    for design in result.designs:
        config = config_of(design, space.schedule, keys)
        assert not has_errors(elmcfg.validate(config.model_dump(mode="json", exclude_none=True)))
        model: Any = elmcfg.build(config)
        arrays = mlx.tree_flatten(model.parameters())
        counted = sum(math.prod(array.shape) for _, array in arrays)
        assert costs_of(design, assumed, ["params"]) == {QUANTITIES["params"].name: counted}
