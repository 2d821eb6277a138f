"""The child's side: messages to the parent, jobs from it, and an end when it has gone.

What anybody else writes to standard output goes to standard error instead. When standard input
ends, the parent has gone or has no more jobs, and the process ends at once, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, TextIO

BEAT_SECONDS = 0.5

SCRATCH = "ELMCFG_SCRATCH"
"""Environment variable that names the folder for temporary files, which a child whose parent has
gone removes at its end."""


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


def open_channel() -> Channel:
    """Return the channel of this process; from here on, standard output is standard error.

    Temporary files go to the folder that :data:`SCRATCH` names. ``TMPDIR`` stays as it is: there
    MLX keeps the kernels that it has compiled, for every process.
    """
    tempfile.tempdir = os.environ.get(SCRATCH) or tempfile.tempdir
    channel = Channel(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    return channel


def jobs(channel: Channel) -> Iterator[dict[str, Any]]:
    """Every job as it comes, without end.

    From now on the message ``beat`` says twice a second how many "bytes" MLX holds, so that
    silence means trouble, and the process ends when its parent does.
    """
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(arrived,), daemon=True).start()
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    return map(json.loads, iter(arrived.get, None))


def _listen(arrived: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        arrived.put(line)
    if scratch := os.environ.get(SCRATCH):
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _beat(channel: Channel) -> None:
    done = threading.Event()
    while not done.wait(BEAT_SECONDS):
        # Imported by the job, never here: what must be in the process first is not this thread's.
        mx: Any = sys.modules.get("mlx.core")
        held = getattr(mx, "get_active_memory", lambda: 0)()
        channel.send("beat", bytes=held)
