"""Greedy decoding with a cache chooses the tokens that it would choose without one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES, KV_CACHE_DTYPE_BYTES, cost
from elmcfg.proof.subject import CheckFailedError, CheckSkippedError, Subject
from elmcfg.proof.tolerance import TOLERANCES, largest, number
from elmcfg.speed import COPY_BYTES, copy_bandwidth

if TYPE_CHECKING:
    import mlx.core as mx

NEW_TOKENS = 6
_STEP = 4


def check(subject: Subject) -> str:
    """Decode greedily with a cache, then look at the same tokens in one pass without.

    Where each token is the best one also in that pass, decoding without a cache would have chosen
    the same. The cache grows in steps of 4 tokens here, so that it grows on the way. A token may be
    another one where the two best logits are closer than rounding: see
    :data:`elmcfg.proof.tolerance.TOLERANCES`.

    Speeds are those of this machine at this moment. Decoding reads all weights and the cache once
    per token; the share is of what a large copy reads and writes per second.

    Raises:
        CheckFailedError: Naming the first token that differs.
        CheckSkippedError: If the context has no room for a new token.
    """
    import mlx.core as mx

    from elmcfg.model import make_cache

    model, prompt = subject.evaluated_model, subject.short_tokens
    room = subject.config.max_context_length - prompt.shape[1]
    if room < 1:
        raise CheckSkippedError("the context has no room for a new token")
    count = min(NEW_TOKENS, room)
    caches = make_cache(model)
    for cache in caches:
        cache.step = _STEP
    chosen, logits, seconds = [], model(prompt, caches)[:, -1], []
    for index in range(count):
        token = mx.argmax(logits, axis=-1, keepdims=True)
        mx.eval(token)
        chosen.append(token)
        subject.note(f"token {index}")
        if index + 1 < count:
            began = time.perf_counter()
            logits = model(token, caches)[:, -1]
            mx.eval(logits)
            seconds.append(time.perf_counter() - began)
    plain = model(mx.concatenate([prompt, *chosen[:-1]], axis=1))[0, prompt.shape[1] - 1 :]
    _compare(subject, [int(number(token)) for token in chosen], plain)
    return f"{count} tokens the same with and without cache; {_speeds(subject, seconds)}"


def _compare(subject: Subject, chosen: list[int], plain: mx.array) -> None:
    import mlx.core as mx

    for index, token in enumerate(chosen):
        row = plain[index].astype(mx.float32)
        missing = number(row.max() - row[token])
        if not missing <= TOLERANCES[subject.dtype] * largest(row):
            raise CheckFailedError(
                f"new token {index} is {token} with the cache and {number(mx.argmax(row)):.0f} "
                "without"
            )


def _speeds(subject: Subject, seconds: list[float]) -> str:
    prefill = subject.batch_size * subject.seq_len / subject.prefill_seconds
    said = f"prefill {_rate(prefill)}"
    if not seconds:
        return said
    step, width = sorted(seconds)[len(seconds) // 2], DTYPE_BYTES[subject.dtype]
    said = f"{said}, decode {_rate(1 / step)}"
    spent = cost(subject.config)
    if width * spent.parameters.total < COPY_BYTES:
        return said  # Such a model stays in the processor's caches.
    held = spent.kv_cache_bytes_per_token * subject.short_tokens.shape[1] // KV_CACHE_DTYPE_BYTES
    share = width * (spent.parameters.total + held) / step / copy_bandwidth()
    return f"{said} ({share:.0%} of memory bandwidth)"


def _rate(tokens_per_second: float) -> str:
    digits = 0 if tokens_per_second >= 10 else 1
    return f"{tokens_per_second:,.{digits}f} token/s"
