"""The parent's side of a proof in a process of its own, which nothing that happens there can end.

A fault in native code, a hang, or more memory than allowed becomes a failed check with the name of
the check, of the signal and of the last step. The child leads a process group of its own, which is
killed as a whole whenever the parent stops listening, also on Ctrl-C; and it ends by itself when
the parent does (:mod:`elmcfg.proof.worker`).

This process never imports MLX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from elmcfg import backend
from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.proof.device import DeviceError
from elmcfg.proof.memory import PROCESS_BYTES, NotEnoughMemoryError, plan
from elmcfg.proof.options import Options
from elmcfg.proof.registry import CHECKS
from elmcfg.proof.report import CheckResult, CheckStarted, Progress, Report, Step
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.config import Config

WORKER = (sys.executable, "-m", "elmcfg.proof.worker")
"""Command of a child."""

_POLL_SECONDS = 0.1

# A proof allocates and frees large buffers all the time. By default glibc gives each one back to
# the system, which must then zero its pages again: on a CPU that is half of the time of a proof.
_TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    f"glibc.malloc.trim_threshold={2**40}:glibc.malloc.top_pad={2**26}"
)
DEFAULTS = {"GLIBC_TUNABLES": _TUNABLES}
"""Environment of the child, where the user's says nothing else."""

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


class Child:
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
        self._environment = dict(environment or {})
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kill(self) -> None:
        """Kill the process, and whatever it has started; safe while another thread listens."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and whatever it has started, now."""
        if self._process is None:
            return
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()
        self._process, self._pending = None, b""

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
        plan(geometry(config), options, options.length(config), wanted, free=None)
        watch = _Watch(config, options, timeout, progress or (lambda _: None))
        return self._do(watch, save=None)

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
        watch = _Watch(config, options, timeout, lambda _: None)
        report = self._do(watch, save=[str(path.absolute()) for path in (folder, *tokenizer)])
        if not watch.saved:
            detail = next(check.detail for check in report.checks if check.status == "failed")
            raise OSError(detail)

    def _do(self, watch: _Watch, *, save: list[str] | None) -> Report:
        config = watch.config.model_dump(mode="json", exclude_unset=True)
        job = {"config": config, "options": dataclasses.asdict(watch.options), "save": save}
        try:
            self.start()
            self._send(job)
            return self._follow(watch)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the process, where none is running: it gets ready while the caller does too."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        package = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # Lives as long as the process.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**DEFAULTS, **os.environ, **self._environment, "PYTHONPATH": path},
            start_new_session=True,
        )

    def _send(self, job: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise AssertionError("a started process has a standard input")
        with contextlib.suppress(BrokenPipeError):  # It has ended already; following will tell.
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()

    def _follow(self, watch: _Watch) -> Report:
        process = self._process
        if process is None or process.stdout is None:
            raise AssertionError("a started process has a standard output")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                arrived = b""
                if selector.select(_POLL_SECONDS):
                    arrived = os.read(process.stdout.fileno(), 2**16)
                    if not arrived:
                        return self._ended(watch)
                *lines, self._pending = (self._pending + arrived).split(b"\n")
                for line in lines:
                    report = watch.hear(json.loads(line))
                    if report is not None:
                        return report
                broken = watch.broken_limit(_resident_bytes(process.pid))
                if broken is not None:
                    self.close()
                    return watch.cut_short(broken)

    def _ended(self, watch: _Watch) -> Report:
        """The report of a job whose process has ended by itself."""
        process = self._process
        if process is None:
            raise AssertionError("only a started process ends")
        code = process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        how = _how_it_ended(code)
        return watch.cut_short(f"{how}: {said[-1].strip()}" if said else how)


class _Watch:
    """What has been heard of one job, and whether it keeps within its limits."""

    def __init__(
        self, config: Config, options: Options, timeout: float | None, tell: Progress
    ) -> None:
        self.config, self.options, self.tell = config, options, tell
        self.timeout, self.began = timeout, time.monotonic()
        self.results: dict[str, CheckResult] = {}
        self.running, self.step, self.most_bytes = "", "starting the process", 0
        self.saved = False

    def hear(self, message: dict[str, Any]) -> Report | None:
        """Take in one message of the worker; its report where it is the last one."""
        kind = message.pop("kind")
        if kind == "started":
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
            self.most_bytes = max(self.most_bytes, message["bytes"])
            if self.running:
                self.tell(Step(self.step))
        elif kind == "saved":
            self.saved = True
            return self.cut_short("")
        elif kind == "refused":
            raise _ERRORS.get(message["error"], RuntimeError)(message["message"])
        elif kind == "report":
            checks = tuple(CheckResult(**check) for check in message.pop("checks"))
            return Report(checks=checks, **message)
        return None

    def broken_limit(self, resident: int) -> str | None:
        """Which limit has been broken, in words."""
        self.most_bytes = max(self.most_bytes, resident)
        if self.timeout is not None and time.monotonic() - self.began > self.timeout:
            return f"did not finish within {self.timeout:g} s"
        limit = self.options.max_memory
        if limit is not None and self.most_bytes > limit:
            return f"used {binary(self.most_bytes)}, the limit is {binary(limit)}"
        return None

    def cut_short(self, why: str) -> Report:
        """The report of a job that will not be finished."""
        seconds = time.monotonic() - self.began
        skipped = self.options.skipped()
        left = [c.name for c in CHECKS if c.name not in skipped and c.name not in self.results]
        running = self.running or (left[0] if left else "")
        last = f" (last step: {self.step})" if self.step else ""
        for item in CHECKS:
            if item.name in self.results:
                continue
            status, detail = "skipped", skipped.get(item.name, f"not reached: {running} failed")
            if item.name == running:
                status, detail = "failed", f"{why}{last}"
            spent = seconds - sum(result.seconds for result in self.results.values())
            result = CheckResult(
                item.name,
                "failed" if status == "failed" else "skipped",
                detail,
                max(0.0, spent) if status == "failed" else 0.0,
            )
            self.results[item.name] = result
            self.tell(result)
        return Report(
            passed=False,
            device=f"{self.options.device} (the process came to an end)",
            dtype=self.options.dtype,
            predicted=cost(self.config).parameters.total,
            counted=None,
            checks=tuple(self.results[item.name] for item in CHECKS),
            peak_memory_bytes=self.most_bytes,
            estimated_memory_bytes=0,
            seconds=seconds,
        )


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = signal.strsignal(-code) or "unknown"
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"the process was killed by {name} ({meaning.lower()}){hint}"


def _resident_bytes(pid: int) -> int:
    """Bytes of memory that a process occupies, where the system says so in a file; else 0."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
