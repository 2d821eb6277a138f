"""MLX quantizes every matrix that it can, and the rest is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elmcfg.proof.subject import CheckFailedError, Subject, some
from elmcfg.proof.tolerance import TOLERANCES, share_of_difference

if TYPE_CHECKING:
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

    Raises:
        CheckFailedError: Naming a matrix that should have been quantized and was not, or a layer
            whose error is beyond :data:`ERRORS`.
    """
    skipped = {group: _left_out(subject, group) for group in GROUPS}
    worst = dict.fromkeys(ERRORS, 0.0)
    last = len(subject.shape.layers) - 1
    for index in sorted({0, last // 2, last}):
        for bits, most in ERRORS.items():
            subject.note(f"layer {index} with {bits} bits")
            layer = subject.evaluated_model.layers[index]
            error = _error(subject, layer, bits)
            allowed = most + TOLERANCES[subject.dtype]
            if not error <= allowed:
                found = (
                    f"layer {index} with {bits} bits is off by {error:.1%}, {allowed:.0%} allowed"
                )
                rounded = _error(subject, layer, bits, dequantized=True)
                if rounded <= allowed:
                    found += (
                        f"; the same weights dequantized are off by {rounded:.1%}, so MLX's "
                        "quantized product is wrong for these shapes on this device"
                    )
                raise CheckFailedError(found)
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


def _error(
    subject: Subject, layer: TransformerBlock, bits: int, *, dequantized: bool = False
) -> float:
    """Error of a layer's change to the residual stream, as a share of the largest.

    With the quantized products of MLX, or with plain ones of the ``dequantized`` weights.
    """
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_map

    # Small, as embeddings are, so that the layer's change is not lost in rounding beside it.
    x = 0.02 * mx.random.normal(
        (1, _TOKENS, subject.config.model_dim), key=mx.random.key(subject.seed)
    )
    x = x.astype(getattr(mx, subject.dtype))
    expected = layer(x, "causal") - x
    mx.eval(expected)
    own = layer.leaf_modules()
    _quantize(layer, _GROUP, bits)
    if dequantized:
        layer.update_modules(
            tree_map(_dequantized, layer.leaf_modules(), is_leaf=nn.Module.is_module)
        )
    try:
        return share_of_difference(layer(x, "causal") - x, expected)
    finally:
        layer.update_modules(own)


def _quantize(module: Any, group: int, bits: int) -> None:
    """Quantize what can be, as mlx-lm does, in place."""
    import mlx.nn as nn

    def fits(_: str, part: Any) -> bool:
        return hasattr(part, "to_quantized") and part.weight.shape[-1] % group == 0

    nn.quantize(module, group_size=group, bits=bits, class_predicate=fits)


def _dequantized(module: Any) -> Any:
    """A plain linear layer in place of a quantized one; any other module as it is."""
    import mlx.core as mx
    import mlx.nn as nn

    if not isinstance(module, nn.QuantizedLinear):
        return module
    plain: Any = nn.Linear(1, 1, bias=False)
    plain.weight = mx.dequantize(
        module.weight, module.scales, module.biases, module.group_size, module.bits
    )
    return plain
