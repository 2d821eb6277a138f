"""Models broken on purpose: each check catches its own kind, and only what must fail does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from elmcfg.backend import import_mlx
from elmcfg.config import Config

mx: Any = import_mlx()
nn: Any = importlib.import_module("mlx.nn")

from elmcfg.model import (  # noqa: E402
    MLP,
    Attention,
    KVCache,
    Model,
    TransformerBlock,
    transformer,
)
from elmcfg.proof import Report, prove  # noqa: E402

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


def config() -> Config:
    """Layers of different shapes, three queries per KV head, and a head of its own."""
    return Config(
        num_transformer_layers=3,
        model_dim=64,
        head_dim=16,
        vocab_size=257,
        num_query_heads=(3, 6, 6),
        num_kv_heads=(1, 2, 2),
        ffn_multipliers=(0.5, 1.0, 2.0),
        ffn_dim_divisor=32,
        max_context_length=64,
        share_input_output_layers=False,
        initializer_range=0.1,
    )


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.status == "failed"}


def after(patch: Patch, target: type, change: Callable[[Any, Any], Any]) -> None:
    """Let ``change(module, output)`` replace what modules of a class return."""
    right: Callable[..., Any] = target.__call__

    def wrong(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(self, right(self, *args, **kwargs))

    patch.setattr(target, "__call__", wrong)


def wrong_ffn_rounding(patch: Patch) -> None:
    right = MLP.__init__

    def rounded_down(self: Any, model_dim: int, ffn_dim: int, *, gated: bool) -> None:
        right(self, model_dim, ffn_dim - 32 if ffn_dim > 32 else ffn_dim, gated=gated)

    patch.setattr(MLP, "__init__", rounded_down)


def layer_that_narrows(patch: Patch) -> None:
    after(patch, MLP, lambda m, x: x[..., :-1])


def final_norm_too_loud(patch: Patch) -> None:
    class Louder(nn.RMSNorm):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            return 3.0 * super().__call__(x)

    right = transformer.OpenELMModel.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        right(self, *args, **kwargs)
        self.norm = Louder(64)

    patch.setattr(transformer.OpenELMModel, "__init__", init)


def no_causal_mask(patch: Patch) -> None:
    patch.setattr(transformer, "attention_mask", lambda length, cache: None)


def rope_off_without_cache(patch: Patch) -> None:
    right = Attention.__call__

    def call(self: Any, x: Any, mask: Any = None, cache: Any = None) -> Any:
        if cache is not None:
            return right(self, x, mask, cache)
        rope, self.rope = self.rope, lambda x, offset=0: x
        try:
            return right(self, x, mask, cache)
        finally:
            self.rope = rope

    patch.setattr(Attention, "__call__", call)


def rope_off(patch: Patch) -> None:
    right = Attention.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        right(self, *args, **kwargs)
        self.rope = lambda x, offset=0: x

    patch.setattr(Attention, "__init__", init)


def kv_heads_in_the_wrong_order(patch: Patch) -> None:
    """Query head j served by KV head j % K, as tiling instead of repeating gives."""

    def attend(self: Any, queries: Any, keys: Any, values: Any, mask: Any, cache: Any) -> Any:
        times = queries.shape[1] // keys.shape[1]
        tiled = [mx.concatenate([part] * times, axis=1) for part in (keys, values)]
        return mx.fast.scaled_dot_product_attention(
            queries, *tiled, scale=self.head_dim**-0.5, mask=mask
        )

    patch.setattr(Attention, "_attend", attend)


def gate_and_up_swapped(patch: Patch) -> None:
    def call(self: Any, x: Any) -> Any:
        up, gate = mx.split(self.proj_1(x), 2, axis=-1)
        return self.proj_2(nn.silu(gate) * up)

    patch.setattr(MLP, "__call__", call)


def norm_missing(patch: Patch) -> None:
    def finish(self: Any, x: Any, attention: Any) -> Any:
        hidden = x + attention
        return hidden + self.ffn(hidden)

    patch.setattr(TransformerBlock, "finish", finish)


def cache_off_by_one(patch: Patch) -> None:
    """Continues one position too far; a first pass is right."""
    right = Attention.project

    def project(self: Any, x: Any, offset: Any) -> Any:
        return right(self, x, mx.array(offset) + (mx.array(offset) > 0))

    patch.setattr(Attention, "project", project)


def cache_that_hoards(patch: Patch) -> None:
    """Twice the bytes, the right numbers."""
    right: Any = vars(KVCache)["nbytes"].fget
    patch.setattr(KVCache, "nbytes", property(lambda self: 2 * right(self)))


def padding_in_sight(patch: Patch) -> None:
    def mask(length: int, cache: Any) -> Any:
        return "causal" if length > 1 else None

    patch.setattr(transformer, "attention_mask", mask)


def growth_that_forgets(patch: Patch) -> None:
    right = KVCache._grown

    def grown(self: Any, buffer: Any, new: Any, needed: int) -> Any:
        larger = right(self, buffer, new, needed)
        return larger if buffer is None or larger is buffer else mx.zeros_like(larger)

    patch.setattr(KVCache, "_grown", grown)


def float32_constant(patch: Patch) -> None:
    after(patch, TransformerBlock, lambda m, x: x * mx.array(1.0))


def linear_that_cannot_be_quantized(patch: Patch) -> None:
    right = MLP.__init__

    class Plain(nn.Module):  # type: ignore[misc]
        def __init__(self, weight: Any) -> None:
            super().__init__()
            self.weight = weight

        def __call__(self, x: Any) -> Any:
            return x @ self.weight.T

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        right(self, *args, **kwargs)
        self.proj_2 = Plain(self.proj_2.weight)

    patch.setattr(MLP, "__init__", init)


def disk_that_rounds(patch: Patch) -> None:
    right = mx.save_safetensors

    def save(file: str, arrays: Any, **kwargs: Any) -> None:
        rounded = {n: a.astype(mx.bfloat16).astype(a.dtype) for n, a in arrays.items()}
        right(file, rounded, **kwargs)

    patch.setattr(mx, "save_safetensors", save)


def frozen_layer(patch: Patch) -> None:
    right = Attention.output

    def output(self: Any, heads: Any) -> Any:
        out = right(self, heads)
        return mx.stop_gradient(out) if self.num_query_heads == 3 else out

    patch.setattr(Attention, "output", output)


def backwards(patch: Patch) -> None:
    """A gradient of the wrong sign in one part."""

    @mx.custom_function  # type: ignore[untyped-decorator]
    def flip(x: Any) -> Any:
        return x + 0

    @flip.vjp  # type: ignore[untyped-decorator]
    def flip_vjp(primals: Any, cotangent: Any, output: Any) -> Any:
        return -cotangent

    after(patch, Model, lambda m, x: flip(x))


def neighbours_mixed(patch: Patch) -> None:
    after(patch, Model, lambda m, x: x + 0.1 * (x.mean(axis=0, keepdims=True) - x))


MUTANTS: list[tuple[Mutant, set[str]]] = [
    # mlx-lm is built by the released rule, so it refuses the tensors of another width.
    (wrong_ffn_rounding, {"parameters", "reference", "quantization", "save-load"}),
    (final_norm_too_loud, {"forward", "save-load"}),
    (kv_heads_in_the_wrong_order, {"reference", "save-load"}),
    (gate_and_up_swapped, {"reference", "save-load"}),
    # Its weights have no effect, so they have no gradient either.
    (norm_missing, {"reference", "save-load", "gradient"}),
    # A prefill in pieces sees less of the future than one in a single pass.
    (no_causal_mask, {"causality", "cache", "batch", "generation", "save-load"}),
    (rope_off, {"reference", "position", "save-load"}),
    (
        rope_off_without_cache,
        {"reference", "position", "cache", "batch", "generation", "save-load"},
    ),
    (cache_off_by_one, {"cache", "generation"}),
    (cache_that_hoards, {"cache"}),
    (padding_in_sight, {"batch"}),
    (neighbours_mixed, {"batch"}),
    (growth_that_forgets, {"generation"}),
    (float32_constant, {"dtypes"}),
    (linear_that_cannot_be_quantized, {"quantization"}),
    (disk_that_rounds, {"save-load"}),
    (frozen_layer, {"gradient"}),
    (backwards, {"gradient"}),
]


def test_the_model_itself_passes() -> None:
    report = prove(config(), device="cpu")
    assert failed(report) == set()
    assert {check.status for check in report.checks} == {"passed"}


@pytest.mark.parametrize(("mutant", "checks"), MUTANTS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_mutant_fails_exactly_these_checks(
    monkeypatch: Patch, mutant: Mutant, checks: set[str]
) -> None:
    mutant(monkeypatch)
    assert failed(prove(config(), device="cpu")) == checks


def test_a_mutant_of_shapes(monkeypatch: Patch) -> None:
    layer_that_narrows(monkeypatch)
    assert failed(prove(config(), shapes_only=True)) == {"shapes"}


def test_every_check_has_a_mutant() -> None:
    from elmcfg.proof import CHECKS

    caught = set().union(*(checks for _, checks in MUTANTS)) | {"shapes"}
    assert caught == {check.name for check in CHECKS}


@pytest.mark.parametrize(("wrong", "blamed"), [("quantized_matmul", True), ("quantize", False)])
def test_a_wrong_quantized_product_is_called_mlxs(
    monkeypatch: Patch, wrong: str, blamed: bool
) -> None:
    right = getattr(mx, wrong)

    def product(*args: Any, **kwargs: Any) -> Any:
        return 30 * right(*args, **kwargs)

    def quantize(weight: Any, *args: Any, **kwargs: Any) -> Any:
        return right(30 * weight, *args, **kwargs)

    monkeypatch.setattr(mx, wrong, product if blamed else quantize)
    report = prove(config(), device="cpu", check="quantization")
    assert failed(report) == {"quantization"}
    (detail,) = (check.detail for check in report.checks if check.status == "failed")
    said = "MLX's quantized product is wrong on this device for attn.qkv_proj ("
    assert (said in detail) == blamed, detail
