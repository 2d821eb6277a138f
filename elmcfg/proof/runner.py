"""Runs the checks: arguments first, then memory, then one check after another."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from elmcfg.backend import import_mlx
from elmcfg.costs import DTYPE_BYTES, cost
from elmcfg.proof.device import choose_device, describe
from elmcfg.proof.free_memory import free_on_device
from elmcfg.proof.memory import estimate_peak_bytes, refuse_if_too_large
from elmcfg.proof.registry import CHECKS, Check
from elmcfg.proof.report import CheckResult, Report
from elmcfg.proof.subject import CheckFailedError, Subject

if TYPE_CHECKING:
    from elmcfg.config import Config

DEFAULT_SEQ_LEN = 128
"""Tokens of a proof's sequence, where the model's context is not shorter."""

Progress = Callable[[str], None]


def prove(
    config: Config,
    *,
    shapes_only: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    seq_len: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
    check: Sequence[str] | str | None = None,
    skip: Sequence[str] | str = (),
    max_memory: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Build a config's model and prove that it is what the config says, and that it runs.

    A check that fails, or breaks, is reported and the others still run. What kills the process
    (a fault in native code, the system's out-of-memory killer) kills this one: prove untrusted
    shapes in a child process.

    Args:
        config: A valid config.
        shapes_only: Run only the checks that evaluate nothing.
        device: "auto" (MLX's default), "cpu" or "gpu".
        dtype: Name of the weights' dtype.
        seq_len: Tokens per sequence; where not given, :data:`DEFAULT_SEQ_LEN`, or the config's
            ``max_context_length`` if that is shorter.
        batch_size: Sequences.
        seed: Of weights and tokens, 0 to 2**64 - 1.
        check: Names of the checks to run; all where not given.
        skip: Names of checks not to run.
        max_memory: Most bytes that the proof may need, by estimate.
        progress: Called with a few words before each step.

    Returns:
        The report, with one result per registered check.

    Raises:
        ValueError: If an argument is out of range or names nothing, or no check is left to run.
        DeviceError: If there is no such device (a ValueError too).
        NotEnoughMemoryError: If it would not fit, before anything is allocated.
        MissingBackendError: If MLX or its backend is not installed.
        OpenBlasError: If ``ELMCFG_OPENBLAS`` names a library that cannot be loaded.
    """
    began = time.perf_counter()
    subject = _subject(config, dtype, seq_len, batch_size, seed)
    skipped = _skipped(shapes_only, check, skip)
    mx = import_mlx()
    chosen = choose_device(device)
    names = [item.name for item in CHECKS if item.needs_weights and item.name not in skipped]
    if names:
        needed = estimate_peak_bytes(
            subject.shape,
            dtype=dtype,
            seq_len=subject.seq_len,
            batch_size=batch_size,
            checks=names,
        )
        refuse_if_too_large(needed, free_on_device(chosen), max_memory)
    tell = progress or (lambda _: None)
    held = mx.get_active_memory()
    mx.reset_peak_memory()
    with mx.stream(chosen):
        results = tuple(_run(item, subject, skipped.get(item.name), tell) for item in CHECKS)
    return Report(
        passed=not any(result.status == "failed" for result in results),
        device=describe(chosen),
        dtype=dtype,
        predicted=cost(config).parameters.total,
        counted=_counted(subject),
        checks=results,
        peak_memory_bytes=max(0, mx.get_peak_memory() - held),
        seconds=time.perf_counter() - began,
    )


def _run(item: Check, subject: Subject, reason: str | None, tell: Progress) -> CheckResult:
    if reason is not None:
        return CheckResult(item.name, "skipped", reason, 0.0)
    tell(f"{item.name}: {item.description}")
    began = time.perf_counter()
    try:
        detail, status = item.run(subject), "passed"
    except CheckFailedError as error:
        detail, status = str(error), "failed"
    except Exception as error:  # A broken check is a failed one; the others still run.
        detail, status = f"{type(error).__name__}: {' '.join(str(error).split())}", "failed"
    seconds = time.perf_counter() - began
    return CheckResult(item.name, "passed" if status == "passed" else "failed", detail, seconds)


def _counted(subject: Subject) -> int | None:
    try:
        return subject.counted
    except Exception:  # The checks have already said why it cannot be built.
        return None


def _subject(
    config: Config, dtype: str, seq_len: int | None, batch_size: int, seed: int
) -> Subject:
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPE_BYTES)}")
    longest = config.max_context_length
    length = min(DEFAULT_SEQ_LEN, longest) if seq_len is None else seq_len
    if not 1 <= length <= longest:
        raise ValueError(f"seq_len must be 1 to max_context_length ({longest}), got {length}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive, got {batch_size}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be 0 to 2**64 - 1, got {seed}")
    return Subject(config, dtype, length, batch_size, seed)


def _skipped(
    shapes_only: bool, check: Sequence[str] | str | None, skip: Sequence[str] | str
) -> dict[str, str]:
    """The checks that will not run, and why."""
    wanted, unwanted = _known(check), _known(skip)
    reasons: dict[str, str] = {}
    for item in CHECKS:
        if item.name in unwanted:
            reasons[item.name] = "skipped on request"
        elif wanted and item.name not in wanted:
            reasons[item.name] = "not asked for"
        elif shapes_only and item.needs_weights:
            reasons[item.name] = "needs evaluated weights"
    if len(reasons) == len(CHECKS):
        raise ValueError("no check is left to run")
    return reasons


def _known(names: Sequence[str] | str | None) -> tuple[str, ...]:
    """The names as a tuple, each one a registered check's."""
    given = (names,) if isinstance(names, str) else tuple(names or ())
    known = [item.name for item in CHECKS]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
            raise ValueError(f"unknown check {name!r}; {hint}")
    return given
