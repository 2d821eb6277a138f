"""Processes of tests, which end with the test that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any


def end(process: subprocess.Popen[Any], *, leads: bool) -> None:
    """Kill a process and close its pipes.

    Args:
        process: It may have ended already.
        leads: Whether it was started as the leader of a group, which may outlive it.
    """
    with contextlib.suppress(ProcessLookupError):
        if leads:
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # Of what was still to be written.
                pipe.close()


@contextlib.contextmanager
def ended() -> Iterator[None]:
    """End whatever processes are started within the block, however the block is left."""
    started: list[tuple[subprocess.Popen[Any], bool]] = []
    begin = subprocess.Popen.__init__

    def begin_and_note(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        begin(process, *arguments, **options)
        started.append((process, options.get("start_new_session", False)))

    subprocess.Popen.__init__ = begin_and_note  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
        for process, leads in started:
            end(process, leads=leads)
