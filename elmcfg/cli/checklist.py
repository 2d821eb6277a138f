"""What ``build-and-run`` shows while a proof runs.

Each check's line goes to standard output as the check ends. What is being done meanwhile goes to
standard error: on a terminal one line that is written over again, elsewhere a line per check.
"""

from __future__ import annotations

import sys
import time

from elmcfg.cli.common import note, out_style, say, width
from elmcfg.escaping import printable
from elmcfg.proof import CHECKS, CheckResult, CheckStarted, Event, Plan, Step
from elmcfg.render import proof
from elmcfg.render.style import ERASE_LINE

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_WIDTH = max(len(check.name) for check in CHECKS)


class Checklist:
    """Shows the events of a proof.

    Args:
        results: Whether to print results.
        running: Whether to tell what is being done.
    """

    def __init__(self, *, results: bool, running: bool) -> None:
        self._results, self._running = results, running
        self._live = running and sys.stderr.isatty()
        self._began, self._check, self._frame = time.monotonic(), "", 0

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, CheckResult):
            self.clear()
            if self._results:
                say(proof.check_line(event, out_style(), _WIDTH))
        elif isinstance(event, Plan):
            if self._running and event.reason:
                note(f"elmcfg: proving in {event.dtype}: {event.reason}")
        elif isinstance(event, CheckStarted):
            self._began, self._check = time.monotonic(), event.name
            if self._live:
                self._draw("")
            elif self._running:
                note(f"elmcfg: {event.name}: {event.description} ...")
        elif self._live and isinstance(event, Step):
            self._draw(event.text)

    def _draw(self, step: str) -> None:
        self._frame = (self._frame + 1) % len(_FRAMES)
        seconds = time.monotonic() - self._began
        text = printable(f"{_FRAMES[self._frame]} {self._check}  {step}")[: width() - 12]
        sys.stderr.write(f"{ERASE_LINE}{text}  {seconds:.1f} s")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave no half line behind."""
        if self._live:
            sys.stderr.write(ERASE_LINE)
            sys.stderr.flush()
