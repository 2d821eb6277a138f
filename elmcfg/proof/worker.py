"""The child's side of a proof in a process of its own: ``python -m elmcfg.proof.worker``.

It reads jobs from standard input, one JSON object per line, ``{"config": {...}, "options": {...},
"save": null}``. Instead of null, "save" may name a folder to write the model to, and the files of
its tokenizer: nothing is proven then. It answers on standard output, one JSON object per line, each
with a ``kind``:

    started, step, result    the events of :mod:`elmcfg.proof.report`, as they happen
    beat                     "bytes" that MLX holds; twice a second, so that silence means trouble
    report, saved            the end of a job
    refused                  the end of a job that could not be run: "error" and "message"

What anybody else writes to standard output goes to standard error instead. When standard input
ends, the parent has gone or has no more jobs, and the process ends at once, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from elmcfg.backend import BackendError, import_mlx
from elmcfg.proof.options import Options
from elmcfg.proof.report import CheckResult, CheckStarted, Event
from elmcfg.proof.runner import run

BEAT_SECONDS = 0.5


class Channel:
    """Writes messages to the parent, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, kind: str, **values: Any) -> None:
        """Send one message."""
        with self._lock:
            self._stream.write(json.dumps({"kind": kind, **values}) + "\n")
            self._stream.flush()

    def tell(self, event: Event) -> None:
        """Send an event of a proof."""
        kinds: dict[type, str] = {CheckStarted: "started", CheckResult: "result"}
        self.send(kinds.get(type(event), "step"), **dataclasses.asdict(event))


def main() -> None:
    """Serve jobs until standard input ends."""
    channel = Channel(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    _get_ready()
    while True:
        serve(json.loads(jobs.get()), channel)


def _get_ready() -> None:
    """Import what every job needs; what is missing is said by the job that misses it."""
    with contextlib.suppress(BackendError):
        import_mlx()
        importlib.import_module("elmcfg.model")
        importlib.import_module("elmcfg.config")


def serve(job: dict[str, Any], channel: Channel) -> None:
    """Run one job, and send its events and its end."""
    try:
        from elmcfg.config import Config

        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in job["options"].items()
        }
        config, options = Config.model_validate(job["config"]), Options(**values)
        if job["save"] is not None:
            from elmcfg.proof.saving import write_folder

            folder, *tokenizer = map(Path, job["save"])
            write_folder(config, options, folder, tokenizer)
            channel.send("saved")
            return
        report = run(config, options, channel.tell)
    except Exception as error:
        message = " ".join(str(error).split())
        channel.send("refused", error=type(error).__name__, message=message)
    else:
        channel.send("report", **dataclasses.asdict(report))


def _listen(jobs: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _beat(channel: Channel) -> None:
    done = threading.Event()
    while not done.wait(BEAT_SECONDS):
        # Imported by the job, never here: what must be in the process first is not this thread's.
        mx: Any = sys.modules.get("mlx.core")
        held = getattr(mx, "get_active_memory", lambda: 0)()
        channel.send("beat", bytes=held)


if __name__ == "__main__":
    main()
