"""The compiled pieces of a decoding step give what the layers themselves give, whatever changes.

They are compiled for a GPU only; here they are made to be compiled for the CPU too.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from elmcfg.backend import import_mlx, on_gpu
from elmcfg.config import Config

mx: Any = import_mlx()
nn: Any = importlib.import_module("mlx.nn")
tree_map: Any = importlib.import_module("mlx.utils").tree_map

from elmcfg.model import Model, build, decode, make_cache, transformer  # noqa: E402

mlx_lm_cache = importlib.import_module("mlx_lm.models.cache")
Patch = pytest.MonkeyPatch


def model(**update: Any) -> Model:
    given = {
        "num_transformer_layers": 3,
        "model_dim": 64,
        "head_dim": 32,
        "vocab_size": 29,
        "num_query_heads": (2, 4, 3),
        "num_kv_heads": (1, 2, 3),
        "ffn_multipliers": (0.5, 2.0, 1.0),
        "ffn_dim_divisor": 32,
        "initializer_range": 0.2,
    }
    return build(Config.model_validate({**given, **update}))


def decoded(model: Model, patch: Patch, compiled: bool, new_cache: Any = make_cache) -> Any:
    """Logits of four tokens decoded after a prefill of three, two rows at once."""
    used: list[Any] = []

    def watched(layers: Any) -> Any:
        used.append(layers)
        return pieces(layers)

    pieces = decode._pieces
    patch.setattr(transformer, "on_gpu", lambda: compiled)
    patch.setattr(decode, "_pieces", watched)
    tokens = mx.array([[3, 1, 4, 1, 5, 9, 2], [2, 7, 1, 8, 2, 8, 1]])
    caches = new_cache(model)
    model(tokens[:, :3], caches)
    out = mx.concatenate([model(tokens[:, i : i + 1], caches) for i in range(3, 7)], axis=1)
    patch.setattr(decode, "_pieces", pieces)
    assert len(used) <= compiled, "compiled once, and only where it pays"
    return out


def expect_same(model: Model, patch: Patch, new_cache: Any = make_cache) -> Any:
    plain = decoded(model, patch, False, new_cache)
    assert mx.allclose(decoded(model, patch, True, new_cache), plain, rtol=1e-4, atol=1e-4)
    return plain


@pytest.mark.parametrize("norm", [True, False])
def test_compiled_pieces_give_what_layers_give(monkeypatch: Patch, norm: bool) -> None:
    expect_same(model(normalize_qk_projections=norm), monkeypatch)


def halved(m: Any) -> Model:
    m.update(tree_map(lambda w: w * 0.5, m.parameters()))
    halved_model: Model = m
    return halved_model


def cast(m: Model) -> Model:
    m.set_dtype(mx.float16)
    m.set_dtype(mx.float32)
    return m


def quantized(bits: int) -> Callable[[Model], Model]:
    def change(m: Model) -> Model:
        nn.quantize(m, group_size=32, bits=bits)
        return m

    return change


def pruned(m: Model) -> Model:
    m.transformer.layers = m.transformer.layers[::2]
    return m


def copied(m: Model) -> Model:
    return halved(copy.deepcopy(m))


def pickled(m: Model) -> Model:
    return halved(pickle.loads(pickle.dumps(m)))


def another_layer(m: Model) -> Model:
    m.layers[1] = model(initializer_range=0.5).layers[1]
    return m


CHANGES = [halved, cast, quantized(8), quantized(4), pruned, copied, pickled, another_layer]


def test_weights_may_change_after_compiling(monkeypatch: Patch) -> None:
    for change in CHANGES:
        first = model()
        before = expect_same(first, monkeypatch)
        after = expect_same(change(first), monkeypatch)
        assert not mx.array_equal(after, before), change.__name__
        if change in (copied, pickled):  # The original keeps its own.
            assert mx.array_equal(expect_same(first, monkeypatch), before)


@pytest.mark.parametrize("make", ["KVCache", "QuantizedKVCache", "BatchKVCache"])
def test_caches_of_mlx_lm(monkeypatch: Patch, make: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "QuantizedKVCache": {"group_size": 32},
        "BatchKVCache": {"left_padding": [0, 2]},
    }
    kind = getattr(mlx_lm_cache, make)
    expect_same(model(), monkeypatch, lambda m: [kind(**options.get(make, {})) for _ in m.layers])


def test_on_the_cpu_nothing_is_compiled() -> None:
    with mx.stream(mx.cpu):
        assert not on_gpu()
