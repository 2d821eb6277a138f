"""How many bytes a proof needs, in closed form, and the refusal to start one that does not fit.

With N parameters of b bytes (4 or 2), B sequences of L tokens, D model channels, H channels per
head, and in layer i Q query heads, K KV heads and F feed-forward channels, the peak is the larger
of two:

*While weights are made*, one tensor after another in the checkpoint's order: those that are
there, and the one in the making, which is drawn in float32 in place (4 bytes each) and then cast,
where that is another dtype:

    max over tensors t of  b * sum(earlier sizes) + (4 if b == 4 else 4 + b) * size(t)

*While the model runs*:

    b * N + max(widest layer, logits)

    layer i  = b * B * L * max( 2D + 3(Q + 2K)H,          norm, projection, split and rotated heads
                                2D + 2QH + 3QL,           attention, with L * L scores per head
                                2D + 4F )                 feed-forward: gate and up, split, product
    logits   = B * L * V * b                              one pass ("forward")
             + B * L * V * (b + 8)                        a second pass and the difference, float32
                                                          ("cache")
             + b * B * 2 * sum(K) * H * L rounded up to 256      the KV cache ("cache")

The score matrices are counted although MLX's fused attention avoids them on a GPU: on the CPU it
does not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry, LayerShape

_CACHE_STEP = 256


class NotEnoughMemoryError(MemoryError):
    """A proof would need more memory than there is; nothing was allocated."""


def estimate_peak_bytes(
    shape: Geometry,
    *,
    dtype: str,
    seq_len: int,
    batch_size: int = 1,
    checks: Collection[str] = ("forward", "cache"),
) -> int:
    """Peak bytes that MLX will have allocated; the formula is in the module's docstring.

    Args:
        shape: The model's geometry.
        dtype: Name of the weights' dtype.
        seq_len: Tokens per sequence.
        batch_size: Sequences.
        checks: Names of the checks that will run the model; with neither "forward" nor "cache"
            nothing is allocated.

    Returns:
        Bytes.
    """
    if not {"forward", "cache"} & set(checks):
        return 0
    width = DTYPE_BYTES[dtype]
    sizes = [_product(tensor) for tensor in shape.tensor_shapes().values()]
    running = width * sum(sizes) + _activations(shape, width, seq_len, batch_size, checks)
    return max(_making(sizes, width), running)


def refuse_if_too_large(needed: int, free: int | None, max_memory: int | None) -> None:
    """Refuse a proof that does not fit.

    Args:
        needed: Bytes it will need at its peak.
        free: Bytes there are; None where unknown, which refuses nothing.
        max_memory: Bytes it may use at most; None for no limit.

    Raises:
        NotEnoughMemoryError: Naming both figures and the ways out.
    """
    for limit, what in ((max_memory, "the limit is"), (free, "free are")):
        if limit is not None and needed > limit:
            raise NotEnoughMemoryError(
                f"running this model needs about {_readable(needed)}, {what} {_readable(limit)}; "
                "use --shapes-only, a smaller --dtype or a shorter --seq-len"
            )


def _making(sizes: list[int], width: int) -> int:
    drawn = 4 if width == 4 else 4 + width
    there, peak = 0, 0
    for size in sizes:
        peak = max(peak, there + drawn * size)
        there += width * size
    return peak


def _activations(
    shape: Geometry, width: int, seq_len: int, batch_size: int, checks: Collection[str]
) -> int:
    tokens = batch_size * seq_len
    widest = max(_layer_channels(layer, shape, seq_len) for layer in shape.layers)
    logits = tokens * shape.vocab_size * width
    if "cache" in checks:
        logits += tokens * shape.vocab_size * (width + 8)
        capacity = -(-seq_len // _CACHE_STEP) * _CACHE_STEP
        heads = sum(layer.num_kv_heads for layer in shape.layers)
        logits += width * batch_size * 2 * heads * shape.head_dim * capacity
    return max(width * tokens * widest, logits)


def _layer_channels(layer: LayerShape, shape: Geometry, seq_len: int) -> int:
    """Channels per token alive at once in a layer."""
    d, h = shape.model_dim, shape.head_dim
    q, k, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
    gated = 4 if shape.ffn_with_glu else 2
    return 2 * d + max(3 * (q + 2 * k) * h, 2 * q * h + 3 * q * seq_len, gated * f)


def _product(tensor: tuple[int, ...]) -> int:
    size = 1
    for extent in tensor:
        size *= extent
    return size


def _readable(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
