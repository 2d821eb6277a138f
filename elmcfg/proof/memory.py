"""How many bytes a proof needs, in closed form; :mod:`elmcfg.proof.plan` chooses by them.

With N parameters of b bytes (4 or 2), B sequences of L tokens, D model channels, H channels per
head, and in layer i Q query heads, K KV heads and F feed-forward channels, the peak is the larger
of two:

*While weights are made*, from a pool of P numbers (the lesser of N and 2**22 - 3), which are drawn
in float32 and then cast, where that is another dtype:

    max(b * (N + P), 6 * P for 2-byte dtypes)

*While the model runs*, per check, beside the weights, b * N, and the logits that are kept,
b * T * V with T = B * L tokens (S is the lesser of L and 16; M the parameters of the largest layer;
E = V * D, and twice that where the head is not tied):

    "forward"        max(layer, 5 * T * V, 8 * L * V)      all logits looked at; their loss
    "reference", "position"   4 * M for 2-byte dtypes      the weights in float32
    "cache"          max(layer, 0.7 * layer + 8.5 * T * V + cache(B, L))    a piece, its difference
    "batch"          8 * b * S * V + cache(2, S)           five short passes
    "generation"     max(layer, 5 * b * S * V)
    "dtypes"         4 * M, 6 * M for 2-byte dtypes        a layer in the other dtypes
    "quantization"   1.75 * M                              a layer in 8 and 4 bits, with its scales
    "save-load"      (b + 1) * max(M, E)                   what was read, and its comparison
    "gradient"       b * max(1.3 * M, M + V * D)           gradients of a layer and the table;
                                                           2.1 * V * D at least where it is tied

    layer        = b * T * max over layers of (4D          norms and the residual stream
                                + 3(Q + 2K)H + QH + QL     heads; one row of scores each
                                + 6F, or 3F without gate)
    cache(B, L)  = b * B * 2 * sum(K) * H * (L rounded up to 256)

A layer counts with all of its intermediate results: MLX allocates some ten operations ahead of the
one that it computes. So measured peaks differ a little from run to run; they were within 15 % of
this, and for OpenELM-270M within 5 %.

*On CUDA* operations go to the device in batches, a hundred at once on an H100 (get_graph_limits in
mlx/backend/cuda/device.cpp), and what a batch reads or writes stays, and is not written over, until
all of it has run. In float32, whose attention is several operations there, that is

    6 * layer            in place of layer, or fewer where there are fewer
    V * D + 4 * M        for "gradient", b times, at least: the table's, and those of some layers
    192 MiB              for "generation" at least, in every dtype: the copy that bandwidth is
                         measured by, where the weights are not smaller than what is copied

More batches may wait, depending on how fast Python writes them down: without a limit the same
gradients took twice the memory once their kernels had been compiled. Hence :func:`kept_to`. Peaks
on an H100, MLX 0.32.4, were within 12 % of this.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES, layer_cost
from elmcfg.proof.subject import SHORT
from elmcfg.proof.weights import PERIOD
from elmcfg.speed import COPY_BYTES

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry, LayerShape

KEEP_LOGITS = frozenset({"forward", "cache", "generation", "save-load"})
"""Checks that hold the logits of all tokens, or have those before them hold them."""

_CACHE_STEP = 256

_LAYERS_IN_A_BATCH = 6

PROCESS_BYTES = 200 * 2**20
"""What a process needs before it has made any model: interpreter, libraries, their buffers."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model's proof needs in one dtype, in bytes.

    Attributes:
        making: Peak while the weights are made.
        weights: The weights.
        logits: The logits that are kept, by the checks that keep them.
        beside: What each check needs beside those, by its name. Checks that evaluate nothing are
            not in it, and none that cannot be made in this dtype.
    """

    making: int
    weights: int
    logits: int
    beside: dict[str, int]

    def peak(self, checks: Collection[str]) -> int:
        """Peak bytes that MLX will have allocated with these checks."""
        running = [self.beside[name] for name in checks if name in self.beside]
        if not running:
            return 0
        kept = self.logits if KEEP_LOGITS & set(checks) else 0
        return max(self.making, self.weights + kept + max(running))


def needs(
    shape: Geometry, *, dtype: str, seq_len: int, batch_size: int = 1, cuda: bool = False
) -> Needs:
    """What a proof needs; the formulas are in the module's docstring.

    Args:
        shape: The model's geometry.
        dtype: Name of the weights' dtype.
        seq_len: Tokens per sequence.
        batch_size: Sequences.
        cuda: Whether that is on a CUDA device.
    """
    width = DTYPE_BYTES[dtype]
    count = sum(math.prod(tensor) for tensor in shape.tensor_shapes().values())
    return Needs(
        making=_making(count, width),
        weights=width * count,
        logits=width * batch_size * seq_len * shape.vocab_size,
        beside=_beside_weights(shape, count, width, seq_len, batch_size, cuda=cuda),
    )


@contextlib.contextmanager
def kept_to(peak: int) -> Iterator[None]:
    """Have MLX wait for what is under way, rather than allocate more than the peak expected.

    What it holds already is left aside. MLX goes beyond the limit where waiting frees nothing. A
    CPU, which is never far behind, only loses time by it.
    """
    import mlx.core as mx

    before = mx.set_memory_limit(mx.get_active_memory() + peak)
    try:
        yield
    finally:
        mx.set_memory_limit(before)


def _making(count: int, width: int) -> int:
    pool = min(PERIOD, count)
    return max(width * (count + pool), (4 + width) * pool if width < 4 else 0)


def _beside_weights(
    shape: Geometry, count: int, width: int, seq_len: int, batch_size: int, *, cuda: bool
) -> dict[str, int]:
    """Bytes that each check needs beside the weights and the logits that are kept."""
    tokens, short = batch_size * seq_len, min(SHORT, seq_len)
    logits, short_logits = tokens * shape.vocab_size, short * shape.vocab_size
    layer = width * tokens * max(_channels(each, shape, seq_len) for each in shape.layers)
    if cuda and width == 4:
        layer *= min(_LAYERS_IN_A_BATCH, len(shape.layers))
    parameters = max(layer_cost(each, shape).parameters for each in shape.layers)
    table = shape.vocab_size * shape.model_dim
    per_token = 2 * width * shape.head_dim * sum(each.num_kv_heads for each in shape.layers)
    scores = short * short * max(each.num_query_heads for each in shape.layers)
    cast = parameters if width == 2 else 0
    tied = shape.share_input_output_layers
    copy = 3 * COPY_BYTES if cuda and width * count >= COPY_BYTES else 0
    beside = {
        "forward": max(layer, 5 * logits, 8 * seq_len * shape.vocab_size),
        "reference": 4 * cast + 8 * scores + 4 * width * short * shape.model_dim,
        "causality": 6 * width * short_logits,
        "position": 4 * cast + 64 * shape.model_dim,
        "cache": max(
            layer, (7 * layer + 85 * logits) // 10 + batch_size * per_token * _in_steps(seq_len)
        ),
        "batch": 8 * width * short_logits + 2 * per_token * _in_steps(short),
        "generation": max(layer, 5 * width * short_logits, copy),
        "dtypes": parameters * (6 if width == 2 else 4),
        "quantization": parameters * 7 // 4,
        "save-load": (width + 1) * max(parameters, table if tied else 2 * table),
    }
    if width == 4 and seq_len > 2:  # What gradients need besides: elmcfg.proof.checks.gradient.
        most = max(13 * parameters, 10 * (parameters + table), 21 * table * tied)
        beside["gradient"] = width * max(most // 10, (table + 4 * parameters) * cuda)
    return beside


def _in_steps(tokens: int) -> int:
    """Tokens that a cache has room for."""
    return -(-tokens // _CACHE_STEP) * _CACHE_STEP


def _channels(layer: LayerShape, shape: Geometry, seq_len: int) -> int:
    """Channels per token of all intermediate results of a layer."""
    d, h = shape.model_dim, shape.head_dim
    q, k, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
    heads = 3 * (q + 2 * k) * h + q * h + q * seq_len
    return 4 * d + heads + (6 if shape.ffn_with_glu else 3) * f
