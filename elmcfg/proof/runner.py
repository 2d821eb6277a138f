"""Runs the checks in this process: device first, then memory, then one check after another."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from elmcfg.backend import import_mlx
from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.proof.device import choose_device, describe, is_cuda
from elmcfg.proof.free_memory import free_on_device
from elmcfg.proof.memory import kept_to
from elmcfg.proof.options import Options, names
from elmcfg.proof.plan import choose
from elmcfg.proof.registry import CHECKS, Check
from elmcfg.proof.report import CheckResult, CheckStarted, Progress, Report, Step
from elmcfg.proof.subject import CheckFailedError, CheckSkippedError, Subject

if TYPE_CHECKING:
    from elmcfg.config import Config


def prove(
    config: Config,
    *,
    shapes_only: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    seq_len: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
    check: Sequence[str] | str | None = None,
    skip: Sequence[str] | str = (),
    max_memory: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Build a config's model and prove that it is what the config says, and that it runs.

    A check that fails, or breaks, is reported and the others still run. A check that does not fit
    into memory is left out, with the reason. What kills the process (a fault in native code, the
    system's out-of-memory killer) kills this one: the command line proves in a child process, and
    so does :class:`elmcfg.proof.Child`.

    Args:
        config: A valid config.
        shapes_only: Run only the checks that evaluate nothing.
        device: "auto" (MLX's default), "cpu" or "gpu".
        dtype: Name of the weights' dtype; "auto" is float32, or bfloat16 where more checks fit
            into memory in it.
        seq_len: Tokens per sequence; where not given, 128, or the config's
            ``max_context_length`` if that is shorter.
        batch_size: Sequences.
        seed: Of weights and tokens, 0 to 2**64 - 1.
        check: Names of the checks to run; all where not given.
        skip: Names of checks not to run.
        max_memory: Most bytes that the proof may need, by estimate.
        progress: Called with each event of the proof as it happens.

    Returns:
        The report, with one result per registered check.

    Raises:
        ValueError: If an argument is out of range or names nothing, or no check is left to run.
        DeviceError: If there is no such device (a ValueError too).
        NotEnoughMemoryError: If it would not fit, before anything is allocated.
        MissingBackendError: If MLX or its backend is not installed.
        OpenBlasError: If ``ELMCFG_OPENBLAS`` names a library that cannot be loaded.
    """
    options = Options(
        shapes_only=shapes_only,
        device=device,
        dtype=dtype,
        seq_len=seq_len,
        batch_size=batch_size,
        seed=seed,
        check=names(check),
        skip=names(skip),
        max_memory=max_memory,
    )
    return run(config, options, progress or (lambda _: None))


def run(config: Config, options: Options, tell: Progress) -> Report:
    """Do what :func:`prove` says, with its arguments in one value."""
    began = time.perf_counter()
    length, skipped = options.length(config), options.skipped()
    mx = import_mlx()
    chosen = choose_device(options.device)
    wanted = [item.name for item in CHECKS if item.name not in skipped]
    free, cuda = free_on_device(chosen), is_cuda(chosen)
    plan = choose(geometry(config), options, length, wanted, free, cuda=cuda)
    skipped |= plan.left_out
    tell(plan)
    subject = Subject(
        config,
        plan.dtype,
        length,
        options.batch_size,
        options.seed,
        note=lambda text: tell(Step(text)),
    )
    held = mx.get_active_memory()
    mx.reset_peak_memory()
    kept = kept_to(plan.peak_bytes) if cuda else contextlib.nullcontext()
    with mx.stream(chosen), _random_state_kept(mx.random), kept:
        results = tuple(_run(item, subject, skipped.get(item.name), tell) for item in CHECKS)
    statuses = {result.status for result in results}
    return Report(
        passed="passed" in statuses and "failed" not in statuses,
        device=describe(chosen),
        plan=plan,
        predicted=cost(config).parameters.total,
        counted=_counted(subject),
        checks=results,
        peak_memory_bytes=max(0, mx.get_peak_memory() - held),
        seconds=time.perf_counter() - began,
    )


@contextlib.contextmanager
def _random_state_kept(random: Any) -> Iterator[None]:
    """Leave the caller's random numbers alone: some of MLX's layers draw weights when made."""
    high, low = random.state[0].tolist()
    try:
        yield
    finally:
        random.seed(high << 32 | low)  # The key of a seed is its two halves.


def _run(item: Check, subject: Subject, reason: str | None, tell: Progress) -> CheckResult:
    began = time.perf_counter()
    if reason is not None:
        result = CheckResult(item.name, "skipped", reason, 0.0)
    else:
        tell(CheckStarted(item.name, item.description))
        try:
            result = CheckResult(item.name, "passed", item.run(subject), 0.0)
        except CheckSkippedError as error:
            result = CheckResult(item.name, "skipped", str(error), 0.0)
        except CheckFailedError as error:
            result = CheckResult(item.name, "failed", str(error), 0.0)
        except Exception as error:  # A broken check is a failed one; the others still run.
            detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
            result = CheckResult(item.name, "failed", detail, 0.0)
        result = dataclasses.replace(result, seconds=time.perf_counter() - began)
    tell(result)
    return result


def _counted(subject: Subject) -> int | None:
    try:
        return subject.counted
    except Exception:  # The checks have already said why it cannot be built.
        return None
