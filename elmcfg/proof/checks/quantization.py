"""MLX quantizes every matrix that it can, and the rest is named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from elmcfg.proof.lanes import lanes
from elmcfg.proof.subject import CheckFailedError, Subject, some
from elmcfg.proof.tolerance import TOLERANCES, share_of_difference

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.model import TransformerBlock

GROUPS = (32, 64, 128)
ERRORS = {8: 0.05, 4: 0.5}
"""Largest error of a layer's output allowed, by bits, as a share of its largest number.

A group of uniformly spread weights is cut into 2**bits - 1 steps, so a weight is off by
1 / (2**bits - 1) of its size on average: 0.4 % and 6.7 %. A layer is four products deep; its
largest error is a few times that. What the dtype itself may be off is added.
"""
_GROUP, _TOKENS, _SHOWN = 64, 2, 2


def check(subject: Subject) -> str:
    """Quantize the model with each group size, and run three layers with 4 and with 8 bits.

    MLX quantizes a matrix whose input width is a multiple of the group size; other programs skip
    the rest silently. Here the matrices that stay as they are must be exactly those, and they are
    named. Nothing of this is evaluated; what is, are the first, the middle and the last layer, with
    the usual group size of 64, against their full precision.

    Where a layer is too far off, each of its quantized products is held against the product with
    the same weights dequantized. MLX's own may be wrong: version 0.32.4 on CUDA (an H100) gives
    wrong numbers where a matrix is one group of 64 or 128 columns wide and has several rows to
    multiply, as in ``tiny``.

    Raises:
        CheckFailedError: Naming a matrix that should have been quantized and was not, or a layer
            whose error is beyond :data:`ERRORS`.
    """
    skipped = {group: _left_out(subject, group) for group in GROUPS}
    worst = dict.fromkeys(ERRORS, 0.0)
    last = len(subject.shape.layers) - 1
    for index in sorted({0, last // 2, last}):
        subject.note(f"layer {index} with {' and '.join(map(str, ERRORS))} bits")
        for bits, error in _errors(subject, index).items():
            worst[bits] = max(worst[bits], error)
    errors = ", ".join(f"{bits} bits off by {error:.1%}" for bits, error in worst.items())
    named = [
        f"group {group} leaves out {some(names, _SHOWN, ', ')}"
        for group, names in skipped.items()
        if names
    ]
    return "; ".join([errors, *(named or ["all matrices, groups of 32, 64 and 128"])])


def _left_out(subject: Subject, group: int) -> list[str]:
    """Matrices that stay as they are with this group size; all of them rightly."""
    model: Any = subject.unevaluated_copy()
    _quantize(model, group, 4)
    kept = []
    for name, shape in subject.shape.tensor_shapes().items():
        if len(shape) != 2:
            continue
        module: Any = model
        for part in name.split(".")[:-1]:
            module = module[int(part)] if part.isdigit() else module[part]
        if "scales" in module:
            continue
        if shape[1] % group == 0:
            raise CheckFailedError(f"{name} {shape} is not quantized with groups of {group}")
        kept.append(name.removesuffix(".weight"))
    return kept


def _errors(subject: Subject, index: int) -> dict[int, float]:
    """Error of a layer's change to the residual stream, as a share of the largest, by bits."""
    import mlx.core as mx

    layer = subject.evaluated_model.layers[index]
    # Small, as embeddings are, so that the layer's change is not lost in rounding beside it.
    x = 0.02 * mx.random.normal(
        (1, _TOKENS, subject.config.model_dim), key=mx.random.key(subject.seed)
    )
    x = x.astype(getattr(mx, subject.dtype))
    expected, found = layer(x, "causal") - x, {}
    for bits, lane in zip(ERRORS, lanes(len(ERRORS)), strict=True):
        with mx.stream(lane), _quantized(layer, bits):
            found[bits] = layer(x, "causal") - x
    mx.eval(expected, found)
    errors = {bits: share_of_difference(each, expected) for bits, each in found.items()}
    for bits, error in errors.items():
        allowed = ERRORS[bits] + TOLERANCES[subject.dtype]
        if not error <= allowed:
            said = f"layer {index} with {bits} bits is off by {error:.1%}, {allowed:.0%} allowed"
            wrong = _wrong_products(layer, bits, allowed, x.dtype)
            if wrong:
                said += (
                    f": MLX's quantized product is wrong on this device for "
                    f"{some(wrong, _SHOWN, ', ')}, by the same weights dequantized"
                )
            raise CheckFailedError(said)
    return errors


@contextlib.contextmanager
def _quantized(layer: TransformerBlock, bits: int) -> Iterator[None]:
    """Have a layer quantized within the block."""
    own = layer.leaf_modules()
    _quantize(layer, _GROUP, bits)
    try:
        yield
    finally:
        layer.update_modules(own)


def _wrong_products(
    layer: TransformerBlock, bits: int, allowed: float, dtype: mx.Dtype
) -> list[str]:
    """Matrices by which MLX multiplies otherwise than by their dequantized numbers."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    wrong = []
    with _quantized(layer, bits):
        parts = dict(tree_flatten(layer.leaf_modules(), is_leaf=nn.Module.is_module))
        for name, part in parts.items():
            if not isinstance(part, nn.QuantizedLinear):
                continue
            plain = mx.dequantize(part.weight, part.scales, part.biases, part.group_size, bits)
            rows = mx.random.normal((_TOKENS, plain.shape[1]), key=mx.random.key(0)).astype(dtype)
            if not share_of_difference(part(rows), rows @ plain.T) <= allowed:
                wrong.append(f"{name} {tuple(plain.shape)}")
    return wrong


def _quantize(module: Any, group: int, bits: int) -> None:
    """Quantize what can be, as mlx-lm does, in place."""
    import mlx.nn as nn

    def fits(_: str, part: Any) -> bool:
        return hasattr(part, "to_quantized") and part.weight.shape[-1] % group == 0

    nn.quantize(module, group_size=group, bits=bits, class_predicate=fits)
