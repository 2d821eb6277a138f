"""What is told while a study runs: a live table in a terminal, a line for each job elsewhere."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from elmcfg.cli.common import note
from elmcfg.cli.terminal import Output
from elmcfg.escaping import printable

if TYPE_CHECKING:
    from elmcfg.study.jobs import Job
    from elmcfg.study.journal import Record


class Silent:
    """Tells nothing."""

    def __init__(self, todo: Sequence[Job]) -> None:
        self._began = time.monotonic()
        self._left = {job.key: job.kind for job in todo}
        self._of_all = len(self._left)
        self._running: dict[str, tuple[Job, float]] = {}
        self._steps: dict[str, str] = {}
        self._spent: dict[str, list[float]] = defaultdict(list)
        self._most = 1

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to tell."""

    def step(self, key: str, text: str) -> None:
        """What begins in a job; from any thread."""
        self._steps[key] = text

    def report(self, text: str) -> None:
        """Tell what the cluster does; from any thread."""

    def known(self, job: Job, record: Record) -> None:
        """A job was done before this run began: what it took says what others will."""
        self._left.pop(job.key, None)
        self._spent[job.kind].append(record.get("seconds", 0.0))

    def started(self, job: Job) -> None:
        """A job has been given to the engine."""
        self._running[job.key] = (job, time.monotonic())
        self._most = max(self._most, len(self._running))

    def recorded(self, job: Job, record: Record) -> None:
        """A record is on the disk."""
        self._running.pop(job.key, None)
        self._steps.pop(job.key, None)
        if self._left.pop(job.key, None) and record["status"] != "failed":
            self._spent[job.kind].append(record["seconds"])

    def tick(self) -> None:
        """Some time has passed."""

    def time_left(self) -> str:
        """From what jobs of each kind have taken; nothing where one has not been seen yet."""
        kinds = list(self._left.values())
        if not kinds or any(not self._spent[kind] for kind in kinds if kind != "costs"):
            return ""
        seconds = sum(
            sum(self._spent[kind]) / len(self._spent[kind]) for kind in kinds if kind != "costs"
        )
        seconds -= sum(time.monotonic() - began for _, began in self._running.values())
        return f"some {readable(max(1.0, seconds / self._most))} left"

    def progress(self) -> str:
        """How far it is."""
        done = self._of_all - len(self._left)
        left = self.time_left()
        return f"{done:,} of {self._of_all:,}" + (f", {left}" if left else "")


class Lines(Silent):
    """A line for each job that is recorded; costs, which are many and quick, together."""

    def __init__(self, todo: Sequence[Job]) -> None:
        super().__init__(todo)
        self._costs = 0

    def report(self, text: str) -> None:
        """Tell what the cluster does; from any thread."""
        note(f"elmcfg: {text}")

    def recorded(self, job: Job, record: Record) -> None:
        """A record is on the disk."""
        super().recorded(job, record)
        if job.kind == "costs":
            self._costs += 1
            if "costs" not in self._left.values():
                note(f"elmcfg: costs of {self._costs:,} variant{'s' * (self._costs > 1)}")
            return
        note(printable(f"elmcfg: {job.title}: {told(record)} ({self.progress()})"))


class Live(Silent):
    """A table of what is running, and below it how far the study is, drawn anew in place."""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.live import Live as Drawing

        # It writes codes of its own, past the escaping: what it shows of others is printable.
        stream = sys.stderr.stream if isinstance(sys.stderr, Output) else sys.stderr
        self._drawing: Any = Drawing(
            console=Console(file=stream), refresh_per_second=4, transient=True
        )
        self._drawing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.stop()

    def report(self, text: str) -> None:
        """Tell what the cluster does; from any thread."""
        self._drawing.console.print(text, markup=False, highlight=False)

    def recorded(self, job: Job, record: Record) -> None:
        """A record is on the disk."""
        super().recorded(job, record)
        if job.kind != "costs":
            self._drawing.console.print(
                printable(f"{job.title}: {told(record)}"), markup=False, highlight=False
            )

    def tick(self) -> None:
        """Some time has passed."""
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE, expand=True, caption=self.progress())
        # Of fixed widths, or they jump with every step.
        table.add_column("running", ratio=1, no_wrap=True)
        table.add_column("for", width=7, justify="right")
        table.add_column("step", ratio=1, no_wrap=True)
        for job, began in list(self._running.values()):
            spent = readable(time.monotonic() - began)
            title, step = printable(job.title), printable(self._steps.get(job.key, ""))
            table.add_row(Text(title), spent, Text(step))
        self._drawing.update(table)


def progress(todo: Sequence[Job], *, quiet: bool) -> Silent:
    """What fits the standard error at hand."""
    if quiet:
        return Silent(todo)
    if sys.stderr.isatty():
        from importlib.util import find_spec

        if find_spec("rich") is not None:
            return Live(todo)
    return Lines(todo)


def told(record: Record) -> str:
    """What became of a job, in a few words."""
    if record["status"] == "failed":
        error = record["error"]
        step = f" (last step: {error['step']})" if error["step"] else ""
        return f"FAILED: {error['message']}{step}"
    result, spent = record["result"], readable(record["seconds"])
    if record["status"] == "diverged":
        return f"diverged at step {result['diverged_at']:,}"
    if record["kind"] == "training":
        return f"{result['bits_per_byte']:.4f} bits per byte in {spent}"
    if record["kind"] == "proof":
        success = "shapes hold" if result.get("shapes_only") else "proven"
        return f"{success if result['passed'] else 'NOT proven'} in {spent}"
    if record["kind"] == "speed":
        return f"{result['decode_tokens_per_second']:,.0f} tokens per second"
    return "done"


def readable(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def between(least: float | None, most: float | None) -> str:
    """``12 min to 3.4 h``."""
    if least is None or most is None:
        return "unknown"
    one, other = readable(least), readable(most)
    return one if one == other else f"{one} to {other}"
