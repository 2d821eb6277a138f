"""How many bytes a proof needs, in closed form, and the refusal to start one that does not fit.

With N parameters of b bytes (4 or 2), B sequences of L tokens, D model channels, H channels per
head, and in layer i Q query heads, K KV heads and F feed-forward channels, the peak is the larger
of two:

*While weights are made*, one tensor after another in the checkpoint's order: those that are
there, and the one in the making, which is drawn in float32 in place (4 bytes each) and then cast,
where that is another dtype:

    max over tensors t of  b * sum(earlier sizes) + (4 if b == 4 else 4 + b) * size(t)

*While the model runs*, per check:

    "forward"   b * N + max(layer, B * L * V * (2b + 1))            logits, and looking at them all
    "cache"     b * N + layer + 16 * B * L * V + cache              logits twice, their difference

    layer  = b * B * L * max over layers of (4D                     norms and the residual stream
                                 + 3(Q + 2K)H + QH + QL             heads; one row of scores each
                                 + 6F, or 3F without a gate)
    cache  = b * B * 2 * sum(K) * H * (L rounded up to 256)

A layer counts with all of its intermediate results: MLX allocates some ten operations ahead of the
one that it computes. So measured peaks differ a little from run to run; they were within 15 % of
this, and for OpenELM-270M within 5 %.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry, LayerShape
    from elmcfg.proof.options import Options

LARGE_CHECKS = ("gradient",)
"""Checks that need much more than the model itself, the largest first."""

_CACHE_STEP = 256


PROCESS_BYTES = 200 * 2**20
"""What a process needs before it has made any model: interpreter, libraries, their buffers."""


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


@dataclass(frozen=True, slots=True)
class Plan:
    """Which checks fit.

    Attributes:
        peak_bytes: What those that fit will need.
        dropped: Names of the checks that do not, and why.
    """

    peak_bytes: int
    dropped: dict[str, str]


def plan(
    shape: Geometry, options: Options, seq_len: int, wanted: Sequence[str], free: int | None
) -> Plan:
    """Leave out what does not fit and was not asked for by name; refuse what was.

    Args:
        shape: The model's geometry.
        options: The proof's options.
        seq_len: Tokens per sequence.
        wanted: Names of the checks that would run.
        free: Bytes there are; None where unknown, which refuses nothing.

    Raises:
        NotEnoughMemoryError: Naming both figures and the ways out.
    """

    def needed(checks: Collection[str]) -> int:
        return estimate_peak_bytes(
            shape,
            dtype=options.dtype,
            seq_len=seq_len,
            batch_size=options.batch_size,
            checks=checks,
        )

    limits = [limit for limit in (free, options.max_memory) if limit is not None]
    dropped: dict[str, str] = {}
    left = list(wanted)
    for name in LARGE_CHECKS:
        if name in left and name not in options.check and needed(left) > min(limits, default=2**63):
            size = readable(needed(left))
            dropped[name] = f"needs about {size}, there are {readable(min(limits))}"
            left.remove(name)
    peak = needed(left)
    refuse_if_too_large(peak, free, options.max_memory)
    return Plan(peak, dropped)


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
                f"running this model needs about {readable(needed)}, {what} {readable(limit)}; "
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
    logits = tokens * shape.vocab_size
    layer = width * tokens * max(_channels(each, shape, seq_len) for each in shape.layers)
    peak = max(layer, logits * (2 * width + 1))
    if "cache" in checks:
        capacity = -(-seq_len // _CACHE_STEP) * _CACHE_STEP
        heads = sum(each.num_kv_heads for each in shape.layers)
        cache = width * batch_size * 2 * heads * shape.head_dim * capacity
        peak = max(peak, layer + logits * 16 + cache)
    return peak


def _channels(layer: LayerShape, shape: Geometry, seq_len: int) -> int:
    """Channels per token of all intermediate results of a layer."""
    d, h = shape.model_dim, shape.head_dim
    q, k, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
    heads = 3 * (q + 2 * k) * h + q * h + q * seq_len
    return 4 * d + heads + (6 if shape.ffn_with_glu else 3) * f


def _product(tensor: tuple[int, ...]) -> int:
    size = 1
    for extent in tensor:
        size *= extent
    return size


def readable(count: int) -> str:
    """Bytes with a binary prefix, for people."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
