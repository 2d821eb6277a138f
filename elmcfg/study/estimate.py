"""How long a study may take: FLOPs over a speed, and what is known of small jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elmcfg.costs import cost
from elmcfg.study.jobs import Job

SHARE_OF_PRODUCT = 0.3
"""What a training reaches of the speed of one large matrix product, as a rule of thumb."""

_START_SECONDS = 1.0
_PROOF_PASSES = 40
_PROOF_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Estimate:
    """A guess, and how it was made.

    Attributes:
        flops: Of all jobs.
        seconds: Of all jobs, one after another, divided by how many run at once.
        how: How it was made, in a sentence.
    """

    flops: float
    seconds: float
    how: str


def flops(job: Job) -> float:
    """Floating-point operations of a job.

    A training is three forward passes per token (:mod:`elmcfg.search.budgets`), a proof some 40
    passes over 128 tokens.
    """
    if job.kind == "costs":
        return 0.0
    settings = job.settings
    length = settings.get("seq_len") or _PROOF_TOKENS
    per_token = cost(job.variant.config, context_length=length).flops_per_token
    if job.kind == "training":
        tokens = settings["steps"] * settings["batch_size"] * length
        return float(3 * per_token.prefill * tokens)
    if job.kind == "speed":
        runs = settings["runs"] + 1
        return float(
            runs * (per_token.prefill * length + per_token.decode * settings["decode_tokens"])
        )
    return 0.0 if settings["shapes_only"] else float(_PROOF_PASSES * length * per_token.prefill)


def estimate(todo: Sequence[Job], places: int, given: float | None) -> Estimate:
    """How long these jobs may take.

    Args:
        todo: The jobs.
        places: How many run at once.
        given: Sustained FLOP/s of one job; None to measure a matrix product here.
    """
    needed = sum(flops(job) for job in todo)
    children = sum(job.kind != "costs" for job in todo)
    if not children:
        return Estimate(0.0, 0.0, "costs alone take next to no time")
    if given is not None:
        speed, how = given, f"at the {given:.3g} FLOP/s given"
    else:
        speed = SHARE_OF_PRODUCT * _product_speed()
        how = (
            f"at {speed:.3g} FLOP/s, {SHARE_OF_PRODUCT:.0%} of one matrix product measured here; "
            "give --speed where the jobs run elsewhere"
        )
    seconds = (needed / speed + children * _START_SECONDS) / places
    return Estimate(needed, seconds, f"{needed:.3g} FLOPs {how}; {places} at once")


def _product_speed() -> float:
    """FLOP/s of one product of two 1024 x 1024 matrices, in a process of its own."""
    from elmcfg.study.worker import Worker

    worker = Worker()
    try:
        job: dict[str, Any] = {
            "key": "",
            "kind": "product",
            "variant": "",
            "seed": None,
            "settings": {},
        }
        record = worker.record({**job, "config": {}, "corpus": None, "folder": None}, timeout=120)
    finally:
        worker.close()
    if record["result"] is None:
        raise ValueError(
            f"the speed cannot be measured here ({record['error']['message']}); give --speed"
        )
    return float(record["result"]["flops_per_second"])
