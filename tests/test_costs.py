"""Parameters, KV bytes and FLOPs against published figures."""

import math

import oracles
import pytest
from hypothesis import given

from elmcfg.config import Config
from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.linter import load
from elmcfg.strategies import configs


@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
def test_the_released_figures(model: oracles.Released) -> None:
    config = load(model.name)
    assert cost(config).parameters.total == model.parameters
    assert cost(config).kv_cache_bytes_per_token == model.kv_bytes
    assert cost(config).weight_bytes == 2 * model.parameters
    trained = config.model_copy(update={"vocab_size": 32128})
    assert cost(trained).parameters.total == model.parameters_32128


def test_flops_of_270m_are_those_of_torchs_counter() -> None:
    # torch 2.13 FlopCounterMode on the meta device: batch 1, 512 tokens, full square attention.
    flops = cost(load("openelm-270m"), context_length=512).flops_per_token
    assert 512 * (flops.linear + flops.lm_head + flops.attention) == 294_909_902_848
    assert 512 * flops.linear == 236_055_429_120
    assert 512 * flops.lm_head == 41_943_040_000
    assert 512 * flops.attention == 16_911_433_728


@given(configs())
def test_parameters_are_the_formulas_and_the_tensors(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    shape, spent = geometry(config), cost(config)
    wanted = oracles.count_parameters(
        config.vocab_size,
        config.model_dim,
        config.head_dim,
        [layer.num_query_heads for layer in shape.layers],
        [layer.num_kv_heads for layer in shape.layers],
        [layer.ffn_dim for layer in shape.layers],
        glu=config.ffn_with_glu,
        qk_norm=config.normalize_qk_projections,
        tied=config.share_input_output_layers,
    )
    parts = spent.parameters
    assert parts.total == wanted
    assert parts.total == sum(math.prod(s) for s in shape.tensor_shapes().values())
    assert parts.total == parts.embedding + parts.attention + parts.ffn + parts.norm
    assert parts.non_embedding == parts.total - parts.embedding
    layers = sum(layer.parameters for layer in spent.layers)
    assert layers + parts.embedding + config.model_dim == wanted


@given(configs())
def test_prefill_is_the_mean_of_decoding_each_position(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    context = 7
    each = [cost(config, context_length=t).flops_per_token.decode for t in range(1, context + 1)]
    flops = cost(config, context_length=context).flops_per_token
    assert flops.prefill * context == sum(each)
    assert flops.training == 3 * flops.prefill


def test_a_context_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="context_length must be 1 to 1,073,741,824, got 0"):
        cost(load("tiny"), context_length=0)
