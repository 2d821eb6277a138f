"""Building: reproducible weights, nothing evaluated, and no side effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elmcfg.backend import import_mlx
from elmcfg.config import Config
from elmcfg.costs import cost

mx = import_mlx()
from mlx.utils import tree_flatten  # noqa: E402

from elmcfg.model import Model, build  # noqa: E402

RECIPE = {
    "num_transformer_layers": 4,
    "model_dim": 128,
    "head_dim": 16,
    "vocab_size": 500,
    "num_gqa_groups": 2,
    "qkv_multipliers": (0.5, 1.0),
    "ffn_multipliers": (0.5, 4.0),
    "ffn_dim_divisor": 32,
}


def recipe(**update: Any) -> Config:
    return Config.model_validate({**RECIPE, **update})


def tensors(model: Model) -> dict[str, Any]:
    return dict(tree_flatten(model.parameters()))


def weights(model: Model) -> dict[str, Any]:
    return {name: np.array(value) for name, value in tensors(model).items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_the_seed_decides_the_weights() -> None:
    first = weights(build(recipe(), seed=3))
    mx.random.uniform(shape=(7,))
    assert same(first, weights(build(recipe(), seed=3)))
    assert not same(first, weights(build(recipe(), seed=4)))


def test_no_two_matrices_are_alike() -> None:
    values = [value.flat[0] for value in weights(build(recipe())).values() if value.ndim == 2]
    assert len(set(values)) == len(values)


def test_the_callers_random_numbers_are_not_disturbed() -> None:
    mx.random.seed(11)
    expected = np.array(mx.random.uniform(shape=(5,)))
    mx.random.seed(11)
    mx.eval(build(recipe(), seed=5).parameters())
    assert np.array_equal(np.array(mx.random.uniform(shape=(5,))), expected)


def test_matrices_have_the_initializers_spread_and_norms_are_one() -> None:
    for name, value in weights(build(recipe(initializer_range=0.3))).items():
        if value.ndim == 1:
            assert (value == 1).all(), name
        else:
            assert abs(value.mean()) < 0.02, name
            assert value.std() == pytest.approx(0.3, rel=0.05), name


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_dtypes_by_name_and_by_value(name: str) -> None:
    for dtype in (name, getattr(mx, name)):
        model = build(recipe(), dtype=dtype)
        assert {tensor.dtype for tensor in tensors(model).values()} == {getattr(mx, name)}
        assert model(mx.array([[1, 2]])).dtype == getattr(mx, name)


@pytest.mark.parametrize("dtype", ["float8", "int32", ""])
def test_unknown_dtypes_are_refused_with_the_choices(dtype: str) -> None:
    with pytest.raises(ValueError, match="choose from float32, bfloat16, float16"):
        build(recipe(), dtype=dtype)
    with pytest.raises(ValueError, match=r"unknown dtype 'mlx\.core\.int8'"):
        build(recipe(), dtype=mx.int8)


def test_a_model_far_larger_than_memory_is_built_without_evaluating_anything() -> None:
    config = recipe(model_dim=2**20, vocab_size=2**20, head_dim=128, num_gqa_groups=4)
    assert cost(config).parameters.total > 10**13
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    small = build(recipe())
    assert mx.get_peak_memory() - before < 10**5 < 4 * cost(recipe()).parameters.total
    del small
    logits = build(config)(mx.array([[1, 2, 3]]))
    assert logits.shape == (1, 3, 2**20)
    assert mx.get_peak_memory() - before < 10**6


def test_quantization_and_lora_code_sees_linear_layers() -> None:
    import mlx.nn as nn

    model = build(recipe())
    nn.quantize(model, group_size=32, bits=8)
    assert isinstance(model.layers[0].ffn.proj_1, nn.QuantizedLinear)
    assert isinstance(model.transformer.token_embeddings, nn.QuantizedEmbedding)
    plain = build(recipe())(mx.array([[1, 2, 3]]))
    difference = mx.abs(model(mx.array([[1, 2, 3]])) - plain).max().item()
    assert 0 < difference < 0.1 * mx.abs(plain).max().item()
