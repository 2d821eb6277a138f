"""Which proof fits into memory: the dtype and the checks, chosen before anything is allocated.

Of the plans that fit, the one that makes most checks, and of those the one in the more exact
dtype. bfloat16 halves the weights; but gradients cannot be checked in it, so that float32 without
``gradient`` proves as much, to tighter tolerances, and is taken before it. float16 is never chosen:
the activations of large models are beyond it (OpenELM is trained and released in bfloat16, arXiv
2404.14619).

What was asked for by name stays: a dtype, the checks of ``--check``. So does ``forward``: a model
that has not run is not proven. Where that does not fit, the proof is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from elmcfg.proof import memory
from elmcfg.proof.report import Plan
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.geometry import Geometry
    from elmcfg.proof.memory import Needs
    from elmcfg.proof.options import Options


class NotEnoughMemoryError(MemoryError):
    """A proof would need more memory than there is; nothing was allocated."""


def choose(
    shape: Geometry,
    options: Options,
    seq_len: int,
    wanted: Sequence[str],
    free: int | None,
    *,
    cuda: bool = False,
) -> Plan:
    """The plan that proves most of what is wanted within the memory there is.

    Args:
        shape: The model's geometry.
        options: The proof's options.
        seq_len: Tokens per sequence.
        wanted: Names of the checks that would run.
        free: Bytes there are; None where unknown, which refuses nothing.
        cuda: Whether the proof will run on a CUDA device.

    Raises:
        NotEnoughMemoryError: Naming what the least plan needs, what there is, and the ways out.
    """
    batch = options.batch_size
    every = {
        dtype: memory.needs(shape, dtype=dtype, seq_len=seq_len, batch_size=batch, cuda=cuda)
        for dtype in options.dtypes()
    }
    (exact, most), *_ = every.items()
    kept = frozenset(wanted if options.check else {"forward"} & set(wanted)) & most.beside.keys()
    possible = [
        (options.overhead + need.peak(checks), dtype, checks)
        for dtype, need in every.items()
        for checks in _sets(need, wanted, kept)
        if checks or not most.beside.keys() & set(wanted)
    ]
    known = [limit for limit in (free, options.max_memory) if limit is not None]
    available = min(known, default=None)
    fitting = [plan for plan in possible if available is None or plan[0] <= available]
    if not fitting:
        raise NotEnoughMemoryError(_refusal(*min(plan[:2] for plan in possible), free, options))
    # The first of the largest: the dtypes come in order.
    peak, dtype, checks = max(fitting, key=lambda plan: len(plan[2]))
    there = "" if available is None else f", there are {binary(available)}"

    def needed(need: Needs, checks: frozenset[str]) -> str:
        return f"about {binary(options.overhead + need.peak(checks))}{there}"

    return Plan(
        asked=options.dtype,
        dtype=dtype,
        reason="" if dtype == exact else f"in {exact} these checks need {needed(most, checks)}",
        left_out={
            name: f"needs {needed(every[dtype], checks | {name})}"
            for name in wanted
            if name in every[dtype].beside and name not in checks
        },
        peak_bytes=peak - options.overhead,
        available_bytes=available,
    )


def _sets(need: Needs, wanted: Sequence[str], kept: frozenset[str]) -> list[frozenset[str]]:
    """Sets of checks of which one is the best that fits, whatever there is; all hold ``kept``.

    What a set needs is decided by its hungriest check, and by whether any of it holds the logits.
    """
    running = frozenset(name for name in wanted if name in need.beside)
    if not kept <= running:
        return []
    sets = [running]
    for some in (running, running - memory.KEEP_LOGITS):
        for hungriest in some:
            most = need.beside[hungriest]
            sets.append(frozenset(name for name in some if need.beside[name] <= most) | kept)
    return sets


def _refusal(needed: int, dtype: str, free: int | None, options: Options) -> str:
    limit, what = min(
        (limit, what)
        for limit, what in ((options.max_memory, "the limit is"), (free, "free are"))
        if limit is not None
    )
    smaller = "--dtype auto, " if options.dtype == "float32" else ""
    return (
        f"running this model needs about {binary(needed)} in {dtype}, {what} {binary(limit)}; "
        f"use {smaller}--shapes-only or a shorter --seq-len"
    )
