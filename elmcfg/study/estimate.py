"""How long a study may take: FLOPs over a speed, and what is known of small jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elmcfg.costs import cost
from elmcfg.hardware import MACHINES
from elmcfg.proof.options import DEFAULT_SEQ_LEN
from elmcfg.study.jobs import Job
from elmcfg.study.measure import prompt_tokens

if TYPE_CHECKING:
    from elmcfg.study.journal import Record
    from elmcfg.study.plan import Engine

SHARES = {"cpu": (0.15, 0.45), "gpu": (0.05, 0.4)}
"""What a training reaches of one large matrix product's speed, at least and at most, as a rule.

43 % on two CPU cores (benchmarks/train.py), less for smaller models; 7 % of 20M parameters on an
H100 (docs/studies), and 46 % of the chips' nominal speed where no effort was spared (PaLM 540B,
arXiv 2204.02311, table 3).
"""

_START_SECONDS = 1.0
_PROOF_PASSES = 40


@dataclass(frozen=True, slots=True)
class Estimate:
    """A guess, and how it was made.

    Attributes:
        flops: Of all jobs.
        least: Seconds of all jobs, one after another, divided by how many run at once, if all goes
            well; None where nothing is known of the speed.
        most: The same if it does not.
        how: How it was made, or why it could not be.
    """

    flops: float
    least: float | None
    most: float | None
    how: str


def flops(job: Job) -> float:
    """Floating-point operations of a job.

    By :mod:`elmcfg.costs`; a proof is some 40 passes over its sequence.
    """
    config, settings = job.variant.config, job.settings
    if job.kind == "costs":
        return 0.0
    if job.kind == "speed":
        length = prompt_tokens(config, settings)
        spent = cost(config, context_length=length).flops_per_token
        each = spent.prefill * length + spent.decode * settings["decode_tokens"]
        return float((settings["runs"] + 1) * each)
    length = settings.get("seq_len") or DEFAULT_SEQ_LEN
    spent = cost(config, context_length=length).flops_per_token
    if job.kind == "training":
        return float(spent.training * settings["steps"] * settings["batch_size"] * length)
    return 0.0 if settings["shapes_only"] else float(_PROOF_PASSES * length * spent.prefill)


def estimate(
    todo: Sequence[Job], finished: Sequence[tuple[Job, Record]], engine: Engine, places: int
) -> Estimate:
    """How long these jobs may take.

    A job of a kind of which some are finished takes what they took for its FLOPs. Others go by the
    speed that the plan gives, by a share of the machine's that it names, or by a share of a matrix
    product measured here, if it is here that they run.

    Args:
        todo: The jobs.
        finished: Jobs that are done, with their records.
        engine: Where they run.
        places: How many run at once.

    Raises:
        ValueError: If the speed has to be measured here and cannot be.
    """
    left = [job for job in todo if job.kind != "costs"]
    needed = sum(flops(job) for job in left)
    if not left:
        return Estimate(0.0, 0.0, 0.0, "costs alone take next to no time")
    took = _taken(finished)
    seconds = sum(took[job.kind](job) for job in left if job.kind in took)
    least = most = seconds
    told = ["as the jobs that are done"] if took else []
    new = [job for job in left if job.kind not in took]
    if new:
        known = _speeds(engine)
        if known is None:
            return Estimate(
                needed, None, None,
                f"{needed:.3g} FLOPs, and the speed of the workers at {engine.scheduler} is not "
                f"known here: give --speed, such as 1TFLOPS, or a machine ({', '.join(MACHINES)})",
            )  # fmt: skip
        slow, fast, how = known
        work, starts = sum(flops(job) for job in new), len(new) * _START_SECONDS
        least, most = seconds + work / fast + starts, seconds + work / slow + starts
        told.append(how)
    at_once = (
        "one worker; divide by how many there are"
        if engine.kind == "dask"
        else (f"{places} at once")
    )
    return Estimate(
        needed, least / places, most / places, f"{needed:.3g} FLOPs {', '.join(told)}; {at_once}"
    )


def _taken(finished: Sequence[tuple[Job, Record]]) -> dict[str, Callable[[Job], float]]:
    """For each kind of finished jobs, the seconds that another may take."""
    of_kind: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job, record in finished:
        if job.kind != "costs" and record["status"] == "done":
            of_kind[job.kind].append((flops(job), float(record.get("seconds", 0.0))))

    def rate(measured: list[tuple[float, float]]) -> Callable[[Job], float]:
        work, seconds = (sum(column) for column in zip(*measured, strict=True))
        if not work:
            return lambda _: seconds / len(measured)
        return lambda job: flops(job) * seconds / work

    return {kind: rate(measured) for kind, measured in of_kind.items()}


def _speeds(engine: Engine) -> tuple[float, float, str] | None:
    """FLOP/s at least and at most, and where that is from; None where nothing is known."""
    given = engine.speed
    if isinstance(given, float):
        return given, given, f"at the {given:.3g} FLOP/s given"
    if given is not None:
        low, high = SHARES["gpu"]
        peak, whose = MACHINES[given].flops, f"that {given} has"
    elif engine.kind == "dask":
        return None
    else:
        peak, device = _product_speed()
        low, high = SHARES["cpu" if device.startswith("cpu") else "gpu"]
        whose = (
            f"of a matrix product measured on this machine, {device}; "
            "give --speed where the jobs run elsewhere"
        )
    return low * peak, high * peak, f"at {low:.0%} to {high:.0%} of the {peak:.3g} FLOP/s {whose}"


def _product_speed() -> tuple[float, str]:
    """FLOP/s of one large matrix product and the device of it, in a process of its own."""
    from elmcfg.study.worker import Worker

    worker = Worker()
    try:
        job: dict[str, Any] = {"key": "", "kind": "product", "variant": "", "seed": None}
        record = worker.record({**job, "settings": {}}, timeout=120)
    finally:
        worker.close()
    if record["result"] is None:
        raise ValueError(
            f"the speed cannot be measured here ({record['error']['message']}); give --speed"
        )
    return float(record["result"]["flops_per_second"]), record["device"] or "an unknown device"
