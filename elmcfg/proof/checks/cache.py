"""Prefill and decoding with a KV cache give what one pass over all tokens gives."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, cast

from elmcfg.proof.subject import CheckFailedError, Subject

if TYPE_CHECKING:
    import mlx.core as mx

DECODE_STEPS = 4

TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""Largest difference allowed, as a share of the largest logit.

Both ways compute the same sums, in another order, so they differ by rounding, which grows with the
depth and the length. OpenELM-270M differs by 1e-6 at 128 tokens of float32 and by 2e-6 at 1024; the
others allow as many of their own rounding units (2**-10 and 2**-7 against 2**-23), or fewer.
"""


def check(subject: Subject) -> str:
    """Compare a pass in pieces, the last tokens one by one, with one pass over all of them.

    Returns:
        The largest difference found.

    Raises:
        CheckFailedError: If the logits differ by more than the tolerance, or a layer's cache does
            not stand at the last token.
    """
    import mlx.core as mx

    from elmcfg.model import make_cache

    model, tokens, plain = subject.evaluated_model, subject.tokens, subject.logits
    caches = make_cache(model)
    length = subject.seq_len
    steps = min(DECODE_STEPS, max(1, length - 1))
    differences = []
    for start, end in itertools.pairwise(sorted({0, *range(length - steps, length + 1)})):
        cached = model(tokens[:, start:end], caches)
        difference = cached.astype(mx.float32) - plain[:, start:end].astype(mx.float32)
        differences.append(_largest(difference))
    # A plain max() passes over NaN, which compares as false.
    largest = max(differences, key=lambda value: (math.isnan(value), value))
    offsets = [cache.offset for cache in caches]
    found = _verdict(subject.dtype, largest, _largest(plain), length, offsets)
    return f"prefill of {length - steps} and {steps} decode steps: {found}"


def _largest(x: mx.array) -> float:
    import mlx.core as mx

    return cast("float", mx.abs(x).max().item())


def _verdict(dtype: str, largest: float, scale: float, length: int, offsets: list[int]) -> str:
    for index, offset in enumerate(offsets):
        if offset != length:
            raise CheckFailedError(f"layer {index}: the cache holds {offset} tokens, not {length}")
    tolerance = TOLERANCES[dtype]
    share = largest / scale if scale else largest
    found = f"largest difference {largest:.2g}, {share:.1g} of the largest logit"
    if not share <= tolerance:
        raise CheckFailedError(
            f"logits with the cache differ from those without: {found}, more than the "
            f"{tolerance:g} that {dtype} allows"
        )
    return found
