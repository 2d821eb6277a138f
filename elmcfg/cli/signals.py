"""SIGTERM and SIGHUP end a command as Ctrl-C does, and so nothing half-written is left.

All three arrive as a KeyboardInterrupt, which runs every ``finally`` on its way: temporary files
go, and the processes of a command end. The exit code is 128 and the number of the signal, as shells
have it: 130, 143, 129.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Those that this system has. One that is ignored, as SIGHUP under nohup, stays so.
_NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_received: list[int] = []


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Turn the signals that ask a process to end into a KeyboardInterrupt."""
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # where no signal arrives
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code() -> int:
    """Return the exit code of a command that was interrupted."""
    return 128 + (_received or [signal.SIGINT])[0]


def _interrupt(number: int, _: FrameType | None) -> None:
    _received.append(number)
    for each in _NUMBERS:  # a second one shall not interrupt the cleaning up
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
