"""The parent's side of a process that does jobs, and may crash, hang or overeat.

The child leads a process group of its own, which is killed as a whole whenever the parent stops
listening, also on Ctrl-C; and it ends by itself when the parent does
(:mod:`elmcfg.children.channel`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from elmcfg.children.channel import SCRATCH
from elmcfg.units import binary

_POLL_SECONDS = 0.1

# A proof or a training allocates and frees large buffers all the time. By default glibc gives each
# one back to the system, which must then zero its pages again: on a CPU that is half of the time.
_TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    f"glibc.malloc.trim_threshold={2**40}:glibc.malloc.top_pad={2**26}"
)
DEFAULTS = {"GLIBC_TUNABLES": _TUNABLES}
"""Environment of a child, where the user's says nothing else."""

Message = dict[str, Any]


def command_of(module: str) -> tuple[str, ...]:
    """Return the command of a child that runs a module of elmcfg, and no file of the user's."""
    return (sys.executable, "-P", str(Path(__file__).with_name("start.py")), module)


Result = TypeVar("Result")


class Ended(Exception):  # noqa: N818  # It is an outcome, which the rooms put into words.
    """A job will not be finished: its process came to an end, or broke a limit and was killed.

    Attributes:
        signal: Name of the signal that ended the process; None where it was another end.
        limit: The limit that was broken, ``timeout`` or ``memory``; None where none was.
    """

    def __init__(self, why: str, *, signal: str | None = None, limit: str | None = None) -> None:
        super().__init__(why)
        self.signal, self.limit = signal, limit


@dataclass
class Limits:
    """What a job may take, and what it has taken.

    Attributes:
        timeout: Most seconds; None for no limit.
        max_memory: Most bytes, of the process as a whole or of what MLX holds; None for no limit.
        most_bytes: Most that were seen.
        began: When the job began, by the monotonic clock.
    """

    timeout: float | None = None
    max_memory: int | None = None
    most_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    def check(self, resident: int) -> None:
        """Take in how much the process occupies now.

        Raises:
            Ended: If a limit has been broken.
        """
        self.most_bytes = max(self.most_bytes, resident)
        if self.timeout is not None and time.monotonic() - self.began > self.timeout:
            raise Ended(f"did not finish within {self.timeout:g} s", limit="timeout")
        if self.max_memory is not None and self.most_bytes > self.max_memory:
            used, limit = binary(self.most_bytes), binary(self.max_memory)
            raise Ended(f"used {used}, the limit is {limit}", limit="memory")


class Process:
    """A process that does jobs one after another; warm after the first, new after a death.

    Args:
        command: What to run.
        environment: Variables to set for it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._environment = dict(environment or {})
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._stopped = False
        self._starting = threading.Lock()

    def stop(self) -> None:
        """Kill the process and start no other; safe while another thread listens."""
        with self._starting:
            self._stopped = True
        self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and whatever it has started, now."""
        if self._process is None:
            return
        self._kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()
        self._scratch.cleanup()
        self._process, self._pending = None, b""

    def start(self) -> None:
        """Start the process, where none is running: it gets ready while the caller does too.

        Raises:
            Ended: If it was stopped.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        with self._starting:
            if self._stopped:
                raise Ended("it was stopped")
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # Lives as long as the process.
            # What it has written when it is killed goes with it.
            self._scratch = tempfile.TemporaryDirectory(
                prefix="elmcfg-", ignore_cleanup_errors=True
            )
            scratch = {SCRATCH: self._scratch.name}
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**DEFAULTS, **os.environ, **self._environment, **scratch},
                start_new_session=True,
            )

    def do(self, job: Message, hear: Callable[[Message], Result | None], limits: Limits) -> Result:
        """Have a job done.

        Args:
            job: What to do.
            hear: Called with each message but beats; what it returns, if anything, ends the job.
            limits: What the job may take.

        Returns:
            What ``hear`` returned.

        Raises:
            Ended: If there will be no result; the process has been ended then.
            Exception: What ``hear`` raised.
        """
        try:
            self.start()
            self._send(job)
            return self._follow(hear, limits)
        except BaseException:
            self.close()
            raise

    def _send(self, job: Message) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise AssertionError("a started process has a standard input")
        with contextlib.suppress(BrokenPipeError):  # It has ended already; following will tell.
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()

    def _follow(self, hear: Callable[[Message], Result | None], limits: Limits) -> Result:
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
                        raise self._end(process)
                *lines, self._pending = (self._pending + arrived).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if message["kind"] == "beat":
                        limits.check(message["bytes"])
                    result = hear(message)
                    if result is not None:
                        return result
                limits.check(_resident_bytes(process.pid))

    def _end(self, process: subprocess.Popen[bytes]) -> Ended:
        """How a process has ended by itself, with the last line that it said."""
        code = process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        how, name = _how_it_ended(code)
        return Ended(f"{how}: {said[-1].strip()}" if said else how, signal=name)


def _how_it_ended(code: int) -> tuple[str, str | None]:
    if code >= 0:
        return f"the process ended with exit code {code}", None
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = signal.strsignal(-code) or "unknown"
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"the process was killed by {name} ({meaning.lower()}){hint}", name


def _resident_bytes(pid: int) -> int:
    """Bytes of memory that a process occupies, where the system says so in a file; else 0."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
