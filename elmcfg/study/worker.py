"""Jobs in child processes: ``python -m elmcfg.study.worker``, and the parent's side of it.

A job is what :meth:`elmcfg.study.jobs.Job.values` gives. The child's messages are ``ready`` with
the device, ``note`` with a few words, ``done`` with a result, and ``refused`` with an error; one of
the last two ends a job. Whatever becomes of the child, :meth:`Worker.record` gives one record.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.backend import BackendError, import_mlx, version_of
from elmcfg.children import Channel, Ended, Limits, Process, command_of, jobs, open_channel
from elmcfg.study.journal import Record

if TYPE_CHECKING:
    from elmcfg.study.measure import Note

COMMAND = command_of("elmcfg.study.worker")
"""Command of a child."""

# What comes before a proof or a measurement of speed leaves no trace on it, but a training's peak
# of memory and its speed are to be those of a new process.
_WARM = ("proof", "speed")


class Worker(Process):
    """A child that does jobs, one after another, and is made anew where one has ended it.

    Args:
        environment: Variables to set for it.
        command: What to run in place of this module.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        super().__init__(command, environment)
        self._device = ""

    def record(
        self,
        job: dict[str, Any],
        *,
        attempt: int = 1,
        timeout: float | None = None,
        max_memory: int | None = None,
        note: Note = lambda _: None,
    ) -> Record:
        """Have a job done, or fail: either way there is a record of it.

        Args:
            job: What to do.
            attempt: Which try this is, from 1.
            timeout: Most seconds; None for no limit.
            max_memory: Most bytes of the process as a whole; None for no limit.
            note: Called with what begins, in a few words.
        """
        began, clock = datetime.now(UTC), time.monotonic()
        step: str | None = None

        def hear(message: dict[str, Any]) -> dict[str, Any] | None:
            nonlocal step
            if message["kind"] == "ready":
                self._device = message["device"]
            elif message["kind"] == "note":
                step = message["text"]
                note(message["text"])
            elif message["kind"] in ("done", "refused"):
                return message
            return None

        result, error = None, None
        try:
            said = self.do(job, hear, Limits(timeout, max_memory))
            result, error = said.get("result"), said.get("error")
            if error is not None:
                error = {**error, "signal": None, "step": step}
        except Ended as ended:
            kind = {"timeout": "TimeoutError", "memory": "MemoryError"}.get(
                ended.limit or "", "ProcessEnded"
            )
            error = {"type": kind, "message": str(ended), "signal": ended.signal, "step": step}
        if job["kind"] not in _WARM:
            self.close()
        seconds = time.monotonic() - clock
        return make_record(job, result, error, began, seconds, self._device or None, attempt)


def make_record(
    job: dict[str, Any],
    result: dict[str, Any] | None,
    error: dict[str, Any] | None,
    began: datetime,
    seconds: float,
    device: str | None,
    attempt: int,
) -> Record:
    """A line of the journal."""
    status = "failed" if error is not None else "done"
    if result is not None and result.get("diverged_at") is not None:
        status = "diverged"
    if result is not None:
        device = result.get("device", device)
    return {
        "key": job["key"],
        "status": status,
        "kind": job["kind"],
        "variant": job["variant"],
        "seed": job["seed"],
        "learning_rate": job["settings"].get("learning_rate"),
        "error": error,
        "result": result,
        "started": began.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(seconds, 4),
        "host": platform.node(),
        "device": device,
        "versions": versions(),
        "attempt": attempt,
    }


@functools.cache
def versions() -> dict[str, str | None]:
    """What did it."""
    python = platform.python_version()
    return {"elmcfg": __version__, "mlx": version_of("mlx"), "python": python}


def main() -> None:
    """Serve jobs until standard input ends."""
    channel = open_channel()
    coming = jobs(channel)
    with contextlib.suppress(BackendError):
        import_mlx()
        from elmcfg.study.measure import device

        channel.send("ready", device=device())
    for job in coming:
        _serve(job, channel)


def _serve(job: dict[str, Any], channel: Channel) -> None:
    from elmcfg.study.measure import measure

    try:
        result = measure(job, lambda text: channel.send("note", text=text))
    except Exception as error:
        said = {"type": type(error).__name__, "message": " ".join(str(error).split())}
        channel.send("refused", error=said)
    else:
        channel.send("done", result=result)


if __name__ == "__main__":
    main()
