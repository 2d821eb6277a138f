"""The parent's side of a proof in a process of its own, which nothing that happens there can end.

A fault in native code, a hang, or more memory than allowed becomes a failed check with the name of
the check, of the signal and of the last step (:mod:`elmcfg.children`).

This process never imports MLX.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from elmcfg import backend
from elmcfg.children import Ended, Limits, Process, command_of
from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.proof.device import DeviceError
from elmcfg.proof.memory import PROCESS_BYTES
from elmcfg.proof.options import Options
from elmcfg.proof.plan import NotEnoughMemoryError, choose
from elmcfg.proof.registry import CHECKS
from elmcfg.proof.report import CheckResult, CheckStarted, Plan, Progress, Report, Step

if TYPE_CHECKING:
    from elmcfg.config import Config

WORKER = command_of("elmcfg.proof.worker")
"""Command of a child."""

_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        backend.MissingBackendError,
        backend.OpenBlasError,
        DeviceError,
        NotEnoughMemoryError,
        OSError,
        ValueError,
    )
}


class Child(Process):
    """A process that proves configs one after another; warm after the first, new after a death.

    Args:
        environment: Variables to set for it.
        command: What to run in place of the worker.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = WORKER,
    ) -> None:
        super().__init__(command, environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prove(
        self,
        config: Config,
        options: Options,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Prove one config there; see :func:`elmcfg.proof.prove`.

        Args:
            config: A valid config.
            options: How; the memory limit also holds for the process as a whole, as it runs.
            timeout: Most seconds; None for no limit.
            progress: Called with each event as it happens.

        Returns:
            The report; where the process came to an end before it had one, the check that ran is
            failed, those after it are skipped, and the details say how it ended.

        Raises:
            ValueError: If the sequence is too long for the config, or there is no such device.
            NotEnoughMemoryError: If it would not fit, before anything is allocated.
            BackendError: If MLX cannot be loaded.
        """
        options = dataclasses.replace(options, overhead=PROCESS_BYTES)
        wanted = [item.name for item in CHECKS if item.name not in options.skipped()]
        # Refused here already: no process could keep to such a limit.
        plan = choose(geometry(config), options, options.length(config), wanted, free=None)
        watch = _Watch(config, options, plan, timeout, progress or (lambda _: None))
        try:
            return self.do(_job(config, options), watch.hear, watch.limits)
        except Ended as ended:
            return watch.cut_short(str(ended))

    def save(
        self,
        config: Config,
        options: Options,
        folder: Path,
        tokenizer: Sequence[Path] = (),
        *,
        timeout: float | None = None,
    ) -> None:
        """Have it write a new model; see :func:`elmcfg.proof.saving.write_folder`.

        Raises:
            OSError: If the folder is not written whole, or the process came to an end.
        """
        job = _job(config, options, [str(path.absolute()) for path in (folder, *tokenizer)])
        try:
            self.do(job, _saved, Limits(timeout, options.max_memory))
        except Ended as ended:
            raise OSError(str(ended)) from None


def _job(config: Config, options: Options, save: list[str] | None = None) -> dict[str, Any]:
    """A job as :mod:`elmcfg.proof.worker` takes it."""
    values = config.model_dump(mode="json", exclude_unset=True)
    return {"config": values, "options": dataclasses.asdict(options), "save": save}


def _saved(message: dict[str, Any]) -> bool | None:
    """Take in one message of a job of saving; true where it is the last one."""
    if message["kind"] == "refused":
        raise _refusal(message)
    return True if message["kind"] == "saved" else None


def _refusal(message: dict[str, Any]) -> Exception:
    known = [_ERRORS[name] for name in message["error"] if name in _ERRORS]
    return (known or [RuntimeError])[0](message["message"])


class _Watch:
    """What has been heard of one job, and whether it keeps within its limits."""

    def __init__(
        self,
        config: Config,
        options: Options,
        plan: Plan,
        timeout: float | None,
        tell: Progress,
    ) -> None:
        self.config, self.options, self.plan, self.tell = config, options, plan, tell
        self.limits = Limits(timeout, options.max_memory)
        self.results: dict[str, CheckResult] = {}
        self.running, self.step = "", "starting the process"

    def hear(self, message: dict[str, Any]) -> Report | None:
        """Take in one message of the worker; its report where it is the last one."""
        kind = message.pop("kind")
        if kind == "plan":
            self.plan = Plan(**message)
            self.tell(self.plan)
        elif kind == "started":
            started = CheckStarted(**message)
            self.running, self.step = started.name, ""
            self.tell(started)
        elif kind == "step":
            self.step = message["text"]
            self.tell(Step(self.step))
        elif kind == "result":
            result = CheckResult(**message)
            self.results[result.name] = result
            self.running = ""
            self.tell(result)
        elif kind == "beat":
            if self.running:
                self.tell(Step(self.step))
        elif kind == "refused":
            raise _refusal(message)
        elif kind == "report":
            checks = tuple(CheckResult(**check) for check in message.pop("checks"))
            return Report(checks=checks, plan=Plan(**message.pop("plan")), **message)
        return None

    def cut_short(self, why: str) -> Report:
        """The report of a job that will not be finished."""
        seconds = time.monotonic() - self.limits.began
        spent = max(0.0, seconds - sum(result.seconds for result in self.results.values()))
        skipped = self.options.skipped() | self.plan.left_out
        left = [item.name for item in CHECKS if item.name not in self.results]
        running = self.running or next((name for name in left if name not in skipped), "")
        last = f" (last step: {self.step})" if self.step else ""
        for name in left:
            if name == running:
                result = CheckResult(name, "failed", f"{why}{last}", spent)
            else:
                reason = skipped.get(name, f"not reached: {running} failed")
                result = CheckResult(name, "skipped", reason, 0.0)
            self.results[name] = result
            self.tell(result)
        return Report(
            passed=False,
            device=f"{self.options.device} (the process came to an end)",
            plan=self.plan,
            predicted=cost(self.config).parameters.total,
            counted=None,
            checks=tuple(self.results[item.name] for item in CHECKS),
            peak_memory_bytes=self.limits.most_bytes,
            seconds=seconds,
        )
