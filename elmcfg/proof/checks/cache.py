"""Passes in pieces with a KV cache give what one pass over all tokens gives."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES, KV_CACHE_DTYPE_BYTES, cost
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import expect_close, largest, share_of_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elmcfg.model import KVCache

DECODE_STEPS = 2


def check(subject: Subject) -> str:
    """Compare passes over pieces, the last tokens one by one, with one pass over all of them.

    The first piece fills an empty cache, the second, of several tokens, continues it, and the
    rest are decoded. The cache must then stand at the last token in every layer, and hold as many
    bytes per token as the closed form says.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`, of the largest logit.

    Raises:
        CheckFailedError: If the logits differ by more, or a layer's cache holds something else.
    """
    import mlx.core as mx

    from elmcfg.model import make_cache

    model, tokens, plain = subject.evaluated_model, subject.tokens, subject.logits
    caches, shares, scale = make_cache(model), [], largest(plain)
    pieces = piece_lengths(subject.seq_len)
    ends = [0, *itertools.accumulate(pieces)]
    for start, end in itertools.pairwise(ends):
        subject.note(f"tokens {start} to {end - 1}")
        cached = model(tokens[:, start:end], caches)
        share = share_of_difference(cached, plain[:, start:end]) * largest(plain[:, start:end])
        shares.append(share / scale if scale else share)
        mx.eval([cache.state for cache in caches])
    # A plain max() passes over NaN, which compares as false.
    worst = max(shares, key=lambda value: (math.isnan(value), value))
    _check_contents(subject, caches)
    expect_close("logits with the cache are not those without", worst, subject.dtype)
    per_token = cost(subject.config).kv_cache_bytes_per_token
    return f"pieces of {shown(pieces)} tokens within {worst:.1g}, {per_token:,} B/token in 2 bytes"


def piece_lengths(length: int) -> list[int]:
    """How ``length`` tokens are cut: two pieces of several tokens where there are, then ones."""
    steps = min(DECODE_STEPS, max(1, length - 1))
    rest = length - steps
    second = min(rest // 3, max(2, rest // 9))
    return [piece for piece in (rest - second, second) if piece] + [1] * steps


def shown(pieces: Sequence[int]) -> str:
    """``[82, 42, 1, 1, 1, 1]`` as "82, 42 and 4 times 1"."""
    long = [str(piece) for piece in pieces if piece > 1]
    ones = sum(piece == 1 for piece in pieces)
    return " and ".join([*([", ".join(long)] if long else []), f"{ones} times 1"])


def _check_contents(subject: Subject, caches: Sequence[KVCache]) -> None:
    config, width = subject.config, DTYPE_BYTES[subject.dtype]
    for index, (layer, cache) in enumerate(zip(cost(config).layers, caches, strict=True)):
        if cache.offset != subject.seq_len:
            raise CheckFailedError(
                f"layer {index}: the cache holds {cache.offset} tokens, not {subject.seq_len}"
            )
        if cache.keys is None:
            raise CheckFailedError(f"layer {index}: the cache is empty")
        held = cache.nbytes // (subject.batch_size * cache.keys.shape[2])
        expected = layer.kv_cache_bytes_per_token * width // KV_CACHE_DTYPE_BYTES
        if held != expected:
            raise CheckFailedError(
                f"layer {index}: the cache holds {held} bytes per token, "
                f"the closed form says {expected}"
            )
