"""Jobs on this machine: threads, each with a child process of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from elmcfg.cores import cores
from elmcfg.study.worker import Record, Worker

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
        self._limits = {"timeout": timeout, "max_memory": max_memory}
        self._note = note
        self._own = threading.local()
        self._workers: list[Worker] = []
        self._stopped = False
        self._pool = ThreadPoolExecutor(self.places)
        # Several processes that each use every core only get into each other's way.
        threads = str(max(1, cores() // self.places))
        self._environment = (
            {"OPENBLAS_NUM_THREADS": threads}
            if self.places > 1 and "OPENBLAS_NUM_THREADS" not in os.environ
            else {}
        )

    def submit(self, job: dict[str, Any], attempt: int) -> Future[Record]:
        """Begin a job when there is room."""
        return self._pool.submit(self._do, job, attempt)

    def _do(self, job: dict[str, Any], attempt: int) -> Record:
        if self._stopped:
            raise RuntimeError("stopped")
        if not hasattr(self._own, "worker"):
            self._own.worker = Worker(self._environment)
            self._workers.append(self._own.worker)
        worker: Worker = self._own.worker
        return worker.record(
            job,
            attempt=attempt,
            note=lambda text: self._note(job["key"], text),
            **self._limits,  # type: ignore[arg-type]
        )

    def close(self) -> None:
        """End everything, now: to their threads, the children die."""
        self._stopped = True
        for worker in self._workers:
            worker.kill()
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()


def places() -> int:
    """How many jobs run at once where nobody says: one per two cores, and one on a GPU."""
    return 1 if has_gpu() else max(1, cores() // 2)


def has_gpu() -> bool:
    """Whether MLX here has a backend for a GPU; told without loading it."""
    import platform
    from importlib.util import find_spec

    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    from importlib import metadata

    names = ("mlx-cuda-12", "mlx-cuda-13", "mlx-cuda")
    installed = {(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    return find_spec("mlx") is not None and any(name in installed for name in names)
