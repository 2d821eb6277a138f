"""Jobs on this machine: threads, each with a child process of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from elmcfg.backend import has_gpu
from elmcfg.children import Crew
from elmcfg.cores import cores
from elmcfg.study.journal import Record
from elmcfg.study.worker import Worker

Note = Callable[[str, str], None]
"""Called with a job's key and what begins there."""


class Local:
    """Runs jobs here.

    Args:
        jobs: How many at once; None for one per two cores, and one where there is a GPU.
        timeout: Most seconds of each.
        max_memory: Most bytes of each.
        note: Called from other threads.
    """

    def __init__(
        self,
        jobs: int | None = None,
        timeout: float | None = None,
        max_memory: int | None = None,
        note: Note = lambda _, __: None,
    ) -> None:
        self.places = jobs or places()
        self._timeout, self._max_memory, self._note = timeout, max_memory, note
        self._crew = Crew(self.places, Worker)

    def submit(self, job: dict[str, Any], attempt: int) -> Future[Record]:
        """Begin a job when there is room."""
        return self._crew.submit(
            lambda worker: worker.record(
                job,
                attempt=attempt,
                timeout=self._timeout,
                max_memory=self._max_memory,
                note=lambda text: self._note(job["key"], text),
            )
        )

    def close(self) -> None:
        """End everything, now."""
        self._crew.close()


def places() -> int:
    """How many jobs run at once where nobody says: one per two cores, and one on a GPU."""
    return 1 if has_gpu() else max(1, cores() // 2)
