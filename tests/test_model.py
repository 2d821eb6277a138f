"""The model against two oracles that share no code with it: mlx-lm's and one in numpy."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmcfg.backend import import_mlx
from elmcfg.config import Config, resolve
from elmcfg.costs import cost
from elmcfg.geometry import Geometry, geometry

mx = import_mlx()
from mlx.utils import tree_flatten  # noqa: E402

from elmcfg.model import KVCache, Model, build, make_cache  # noqa: E402
from elmcfg.model.quantized import quantized_attention  # noqa: E402

mlx_lm_cache = importlib.import_module("mlx_lm.models.cache")
mlx_lm_openelm = importlib.import_module("mlx_lm.models.openelm")

Array = Any
Weights = dict[str, Any]
few = settings(max_examples=25, deadline=None)


def tiny(**update: Any) -> Config:
    given = {
        "num_transformer_layers": 3,
        "model_dim": 24,
        "head_dim": 8,
        "vocab_size": 29,
        "num_query_heads": (2, 4, 3),
        "num_kv_heads": (1, 2, 3),
        "ffn_multipliers": (0.5, 2.0, 1.0),
        "ffn_dim_divisor": 4,
    }
    return Config.model_validate({**given, **update})


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> Config:
    """Small shapes, each layer with its own."""
    n = draw(st.integers(1, 3))
    kv_heads = draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    ratios = draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    multipliers = st.floats(0.2, 3).map(lambda value: round(value, 2))
    return Config.model_validate(
        {
            "num_transformer_layers": n,
            "model_dim": draw(st.integers(4, 40)),
            "head_dim": draw(st.sampled_from((2, 4, 8, 12))),
            "vocab_size": draw(st.integers(2, 40)),
            "num_query_heads": tuple(k * r for k, r in zip(kv_heads, ratios, strict=True)),
            "num_kv_heads": tuple(kv_heads),
            "ffn_multipliers": draw(st.lists(multipliers, min_size=n, max_size=n)),
            "ffn_dim_divisor": draw(st.integers(1, 16)),
            "normalize_qk_projections": draw(st.booleans()),
            "share_input_output_layers": draw(st.booleans()),
            "rms_norm_eps": draw(st.sampled_from((1e-6, 1e-2))),
            "rope_freq_constant": draw(st.sampled_from((10000.0, 100.0))),
            "bos_token_id": None,
            "eos_token_id": None,
            **fixed,
        }
    )


def randomized(config: Config, seed: int = 0) -> tuple[Model, Weights]:
    """A model in which every tensor, norms too, is random, and its weights as numpy arrays."""
    rng = np.random.default_rng(seed)
    weights = {
        name: (rng.normal(0, 0.4, shape) + (1 if len(shape) == 1 else 0)).astype(np.float32)
        for name, shape in geometry(config).tensor_shapes().items()
    }
    model = build(config)
    model.load_weights([(name, mx.array(value)) for name, value in weights.items()], strict=True)
    return model, weights


def random_tokens(config: Config, batch: int, length: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.integers(0, config.vocab_size, (batch, length))


def reference(shape: Geometry, config: Config, weights: Weights, tokens: Array) -> Array:
    """The whole model in float64 numpy: loops instead of fused operations."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    h = shape.head_dim

    def norm(x: Array, weight: Array) -> Array:
        mean = (x * x).mean(axis=-1, keepdims=True)
        return x / np.sqrt(mean + config.rms_norm_eps) * weight

    def rotate(x: Array) -> Array:  # (B, L, H)
        frequencies = config.rope_freq_constant ** (-2 * np.arange(h // 2) / h)
        angles = np.arange(x.shape[1])[:, None] * frequencies
        first, second = x[..., : h // 2], x[..., h // 2 :]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)

    def softmax(x: Array) -> Array:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def silu(x: Array) -> Array:
        return x / (1 + np.exp(-x))

    x = w["transformer.token_embeddings.weight"][tokens]
    hidden_from_future = np.triu(np.full((tokens.shape[1],) * 2, -np.inf), k=1)
    for layer in shape.layers:
        p = f"transformer.layers.{layer.index}."
        q, k, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
        qkv = norm(x, w[p + "attn_norm.weight"]) @ w[p + "attn.qkv_proj.weight"].T
        heads = [qkv[..., i * h : (i + 1) * h] for i in range(q + 2 * k)]
        if shape.normalize_qk_projections:
            for i in range(q + k):
                name = "q_norm" if i < q else "k_norm"
                heads[i] = norm(heads[i], w[f"{p}attn.{name}.weight"])
        outputs = []
        for j in range(q):
            group = j // (q // k)
            query, key = rotate(heads[j]), rotate(heads[q + group])
            scores = query @ key.transpose(0, 2, 1) / np.sqrt(h) + hidden_from_future
            outputs.append(softmax(scores) @ heads[q + k + group])
        x = x + np.concatenate(outputs, axis=-1) @ w[p + "attn.out_proj.weight"].T
        up = norm(x, w[p + "ffn_norm.weight"]) @ w[p + "ffn.proj_1.weight"].T
        inner = silu(up[..., :f]) * up[..., f:] if shape.ffn_with_glu else silu(up)
        x = x + inner @ w[p + "ffn.proj_2.weight"].T
    tied = shape.share_input_output_layers
    head = w["transformer.token_embeddings.weight" if tied else "lm_head.weight"]
    return norm(x, w["transformer.norm.weight"]) @ head.T


def mlx_lm_model(config: Config, weights: Weights) -> Any:
    values = resolve(config).model_dump(exclude_none=True)
    model = mlx_lm_openelm.Model(mlx_lm_openelm.ModelArgs.from_dict(values))
    model.load_weights([(name, mx.array(value)) for name, value in weights.items()], strict=True)
    return model


def assert_close(ours: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    ours, theirs = np.array(ours, np.float64), np.array(theirs, np.float64)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=tolerance)


@few
@given(configs(), st.integers(1, 3), st.integers(1, 9))
def test_logits_equal_a_numpy_reference(config: Config, batch: int, length: int) -> None:
    model, weights = randomized(config)
    tokens = random_tokens(config, batch, length)
    expected = reference(geometry(config), config, weights, tokens)
    assert_close(model(mx.array(tokens)), expected)


@few
@given(configs(ffn_with_glu=False), st.integers(1, 9))
def test_logits_without_a_gate_equal_a_numpy_reference(config: Config, length: int) -> None:
    model, weights = randomized(config)
    tokens = random_tokens(config, 2, length)
    assert_close(model(mx.array(tokens)), reference(geometry(config), config, weights, tokens))


@few
@given(configs(), st.integers(1, 9))
def test_logits_equal_mlx_lm(config: Config, length: int) -> None:
    model, weights = randomized(config)
    tokens = mx.array(random_tokens(config, 2, length))
    assert_close(model(tokens), mlx_lm_model(config, weights)(tokens), 1e-6)


@few
@given(configs(), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_logits_with_a_cache_equal_mlx_lm(config: Config, pieces: Sequence[int]) -> None:
    model, weights = randomized(config)
    theirs = mlx_lm_model(config, weights)
    our_cache, their_cache = make_cache(model), mlx_lm_cache.make_prompt_cache(theirs)
    for seed, length in enumerate(pieces):
        tokens = mx.array(random_tokens(config, 2, length, seed))
        assert_close(model(tokens, our_cache), theirs(tokens, their_cache), 1e-6)
        assert [c.offset for c in our_cache] == [c.offset for c in their_cache]


@pytest.mark.parametrize("pieces", [(255, 1, 1), (256, 1), (300, 256, 7), (1, 600)])
def test_caches_grow_past_their_step(pieces: Sequence[int]) -> None:
    config = tiny()
    model, _ = randomized(config)
    tokens = mx.array(random_tokens(config, 2, sum(pieces)))
    ours, theirs = make_cache(model), mlx_lm_cache.make_prompt_cache(model)
    for caches in (ours, theirs):
        start, parts = 0, []
        for length in pieces:
            parts.append(model(tokens[:, start : start + length], caches))
            start += length
        assert_close(mx.concatenate(parts, axis=1), model(tokens))
    for cache in ours:
        assert cache.keys is not None
        assert cache.keys.shape[2] % KVCache.step == 0
        assert sum(pieces) <= cache.keys.shape[2] < sum(pieces) + 2 * KVCache.step
        assert cache.nbytes == 2 * cache.keys.nbytes


def test_an_empty_cache_holds_nothing() -> None:
    assert KVCache().nbytes == 0
    assert KVCache().state == (None, None)


def test_our_cache_serves_mlx_lm_models() -> None:
    config = tiny()
    model, weights = randomized(config)
    theirs = mlx_lm_model(config, weights)
    tokens = mx.array(random_tokens(config, 1, 9))
    caches = make_cache(model)
    parts = [theirs(tokens[:, :7], caches), theirs(tokens[:, 7:], caches)]
    assert_close(mx.concatenate(parts, axis=1), model(tokens))


def test_left_padded_batches_give_what_single_rows_give() -> None:
    config = tiny()
    model, _ = randomized(config)
    rows = [random_tokens(config, 1, length, length)[0] for length in (3, 7, 5)]
    padding = [7 - len(row) for row in rows]
    padded = np.stack([np.pad(row, (7 - len(row), 0)) for row in rows])
    caches = [mlx_lm_cache.BatchKVCache(padding) for _ in model.layers]
    batch = [model(mx.array(padded), caches), model(mx.array([[1], [2], [3]]), caches)]
    for index, row in enumerate(rows):
        alone = model(mx.array([[*row.tolist(), index + 1]]))
        together = mx.concatenate(batch, axis=1)[index : index + 1, padding[index] :]
        assert_close(together, alone)


def test_a_rotating_cache_forgets() -> None:
    config = tiny()
    model, weights = randomized(config)
    theirs = mlx_lm_model(config, weights)
    caches = [[mlx_lm_cache.RotatingKVCache(max_size=4) for _ in model.layers] for _ in range(2)]
    for seed in range(9):
        tokens = mx.array(random_tokens(config, 1, 1 + seed % 3, seed))
        assert_close(model(tokens, caches[0]), theirs(tokens, caches[1]), 1e-6)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_caches_give_what_mlx_lm_gives(bits: int) -> None:
    config = tiny(head_dim=64)
    model, weights = randomized(config)
    theirs = mlx_lm_model(config, weights)
    caches = [
        [mlx_lm_cache.QuantizedKVCache(group_size=64, bits=bits) for _ in model.layers]
        for _ in range(2)
    ]
    for seed, length in enumerate((6, 1, 3)):
        tokens = mx.array(random_tokens(config, 2, length, seed))
        assert_close(model(tokens, caches[0]), theirs(tokens, caches[1]), 1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (4, 5, 7), (1, 5, 7), (2, 1, 5, 7), (2, 4, 5, 7)])
def test_masks_of_every_rank_over_a_quantized_cache(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(len(shape))
    queries = mx.array(draw.normal(size=(2, 4, 5, 32)).astype(np.float32))
    keys, values = (
        mx.quantize(mx.array(draw.normal(size=(2, 2, 7, 32)).astype(np.float32)), 32, 8)
        for _ in range(2)
    )
    mask = draw.random(shape) < 0.5
    mask[..., 0] = True  # Something must be looked at.
    how = {"scale": 32**-0.5, "mask": mx.array(mask)}
    plain = [mx.dequantize(*packed, 32, 8) for packed in (keys, values)]
    expected = mx.fast.scaled_dot_product_attention(queries, *plain, **how)
    found = quantized_attention(queries, keys, values, group_size=32, bits=8, **how)
    assert_close(found, expected, 1e-5)


def test_mlx_lm_generates_the_greedy_continuation() -> None:
    generate = importlib.import_module("mlx_lm.generate")
    config = tiny()
    model, _ = randomized(config)
    prompt = random_tokens(config, 1, 5)[0].tolist()
    steps = generate.generate_step(mx.array(prompt), model, max_tokens=6)
    generated = [int(token) for token, _ in steps]
    for token in generated:
        assert token == int(mx.argmax(model(mx.array([prompt]))[0, -1]).item())
        prompt.append(token)
    assert len(generated) == 6


@few
@given(configs(), st.booleans())
def test_names_shapes_and_count_are_the_geometrys(config: Config, gated: bool) -> None:
    config = config.model_copy(update={"ffn_with_glu": gated})
    built = dict(tree_flatten(build(config).parameters()))
    assert {name: tensor.shape for name, tensor in built.items()} == (
        geometry(config).tensor_shapes()
    )
    assert sum(tensor.size for tensor in built.values()) == cost(config).parameters.total


def test_layers_are_the_blocks() -> None:
    model = build(tiny())
    assert model.layers is model.transformer.layers
    assert len(model.layers) == 3


def test_a_cache_for_each_layer_is_required() -> None:
    model = build(tiny())
    with pytest.raises(ValueError, match="zip"):
        model(mx.array([[1, 2]]), make_cache(model)[:2])
