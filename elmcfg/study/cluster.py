"""Jobs on a dask cluster: the same child processes, started by dask's workers.

dask gives a job to another worker where one dies, and a scheduler that was started again knows
nothing of what it had been given. So a job can be done twice; its key says so, and the journal
counts one. At most as many jobs are out as there are workers, and a worker does one at a time
however many threads it has.

One thread does everything: it gives jobs, takes results, and asks the scheduler once a second what
it knows of them. None of its calls waits without a limit, so no job can be forgotten.
"""

from __future__ import annotations

import contextlib
import platform
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elmcfg import __version__
from elmcfg.study.connection import (
    ClusterError,
    Connection,
    ConnectionLostError,
    Status,
    require_dask,
)
from elmcfg.study.dask_log import DaskLog
from elmcfg.study.journal import Record
from elmcfg.study.worker import Worker, make_record

__all__ = ["Cluster", "ClusterError", "require_dask"]

LOST_SECONDS = 60.0
"""How long a scheduler may be away before the study ends."""

UNKNOWN_SECONDS = 3.0
"""How long a scheduler may not know a job before it is given again: it may be on its way."""

WORKER_SECONDS = 24 * 3600.0
"""How long a study waits while no worker is there, unless its plan says otherwise."""

_VERSION_SECONDS = 30.0
_MESSAGE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_ALIVE = ("waiting", "queued", "no-worker", "processing")
_ENDED = ("memory", "erred")

_ONE_AT_A_TIME = threading.Lock()
_WORKER = Worker()

_RESUME = "what is done is recorded: go on with --resume"


def do(job: dict[str, Any], attempt: int, timeout: float | None, max_memory: int | None) -> Record:
    """Do a job in a child process; this is the function that dask's workers run.

    Raises:
        ClusterError: If this worker has another version of elmcfg.
    """
    if job["elmcfg"] != __version__:
        raise ClusterError(
            _mismatch(job["elmcfg"], {f"a worker on {platform.node()}": __version__})
        )
    with _ONE_AT_A_TIME:
        return _WORKER.record(job, attempt=attempt, timeout=timeout, max_memory=max_memory)


def version() -> str:
    """Return the version of elmcfg in this process."""
    return __version__


@dataclass(eq=False)
class _Task:
    """A job that has not been answered yet.

    Attributes:
        key: The key under which the scheduler was given it last.
        result: Its result to come; None while it is to be given.
        known: When the scheduler last knew it, or was given it.
        waiting: Since when no worker is there for it; None while one is.
        lost: How often in a row the scheduler did not know it.
    """

    job: dict[str, Any]
    attempt: int
    answer: Future[Record]
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    key: str = ""
    result: Future[Record] | None = None
    known: float = 0.0
    waiting: float | None = None
    lost: int = 0

    def fail(self, kind: str, message: str) -> None:
        """Answer with the record of a failure."""
        error = {"type": kind, "message": message, "signal": None, "step": None}
        seconds = (datetime.now(UTC) - self.began).total_seconds()
        self.answer.set_result(
            make_record(self.job, None, error, self.began, seconds, None, self.attempt)
        )


class Cluster:
    """Runs jobs on the workers of a scheduler.

    Args:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``.
        timeout: Most seconds of each job.
        max_memory: Most bytes of each.
        wait_for_workers: Most seconds without a worker.
        log: A file for what dask logs; None to drop it.
        report: Called, from another thread, with what users should know.

    Raises:
        ClusterError: If dask is not installed, no scheduler answers, or a worker has another
            version of elmcfg, or none.
    """

    def __init__(
        self,
        address: str,
        timeout: float | None = None,
        max_memory: int | None = None,
        wait_for_workers: float | None = None,
        log: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        require_dask()
        self._address, self._limits, self._report = address, (timeout, max_memory), report
        self._patience = WORKER_SECONDS if wait_for_workers is None else wait_for_workers
        self._submitted: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._tasks: list[_Task] = []
        self._stopped = threading.Event()
        self._failure: ClusterError | None = None
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._log = DaskLog(log)
        try:
            self._connection = Connection(address)
            self._check_versions(self._connection)
            self._workers = self._connection.status().workers
        except (ConnectionLostError, OSError) as error:
            self.close()
            raise ClusterError(f"the scheduler at {address} was lost: {error}") from None
        except BaseException:
            self.close()
            raise
        self._heard = self._looked = self._manned = time.monotonic()
        self._warned = self._deserted = False
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def places(self) -> int:
        """Jobs that may be out: one for each worker, and one to wait where there is none yet."""
        return max(1, self._workers)

    def submit(self, job: dict[str, Any], attempt: int) -> Future[Record]:
        """Have a job done."""
        task = _Task(job, attempt, Future())
        with self._lock:
            if self._failure is None:
                self._submitted.put(task)
                return task.answer
        task.answer.set_exception(self._failure)
        return task.answer

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it was."""
        self._stopped.set()
        if self._connection is not None:
            self._connection.close()
        self._log.close()

    def _run(self) -> None:
        failure = ClusterError("the study was stopped")
        try:
            while not self._stopped.wait(_POLL_SECONDS):
                self._step()
        except ClusterError as error:
            failure = error
        except Exception as error:  # Or whoever waits for an answer would wait for ever.
            failure = ClusterError(f"{type(error).__name__}: {error}; {_RESUME}")
        with self._lock:
            self._failure = failure
        self._take_submitted()
        for task in self._tasks:
            if not task.answer.done():
                task.answer.set_exception(failure)

    def _take_submitted(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.append(self._submitted.get_nowait())

    def _step(self) -> None:
        """Do whatever there is to do.

        Raises:
            ClusterError: If no more jobs can be given to this cluster.
        """
        self._take_submitted()
        if self._deserted and self._tasks:  # The next would wait as long, and in vain.
            raise ClusterError(f"no worker has been there for {_time(self._patience)}; {_RESUME}")
        try:
            connection = self._connection or self._connect()
            if connection is None:
                return
            if not connection.alive():
                raise ConnectionLostError("the connection was closed")
            for task in self._tasks:
                self._give_or_take(task, connection)
            self._tasks = [task for task in self._tasks if not task.answer.done()]
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                self._look(connection)
        except ConnectionLostError as error:
            self._disconnect(str(error))

    def _connect(self) -> Connection | None:
        """Connect again.

        Raises:
            ClusterError: If the scheduler has been away for too long.
        """
        try:
            connection = Connection(self._address)
        except ClusterError:
            self._give_up_after(LOST_SECONDS)
            return None
        self._connection, self._heard = connection, time.monotonic()
        if self._stopped.is_set():  # close() has not seen this one.
            connection.close()
            return None
        out = len(self._tasks)
        again = f"; {out} job{'s are' if out > 1 else ' is'} given again" if out else ""
        self._report(f"the scheduler at {self._address} answers{again}")
        return connection

    def _disconnect(self, reason: str) -> None:
        """Leave a connection that was lost; its jobs are to be given again."""
        if self._stopped.is_set():
            return
        self._report(
            f"the scheduler at {self._address} is lost ({reason}); "
            f"waiting for it, at most {LOST_SECONDS:g} s"
        )
        connection, self._connection = self._connection, None
        for task in self._tasks:
            task.result, task.lost = None, 0
        if connection is not None:
            connection.close()

    def _give_up_after(self, seconds: float) -> None:
        if time.monotonic() - self._heard > seconds:
            raise ClusterError(f"the scheduler has been away for {seconds:g} s; {_RESUME}")

    def _give_or_take(self, task: _Task, connection: Connection) -> None:
        """Give a job that is not out, or answer with its result.

        Raises:
            ConnectionLostError: If the connection is lost.
            ClusterError: If no more jobs can be given to this cluster.
        """
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        if task.result is None:
            arguments = (task.job, task.attempt, *self._limits)
            task.key, task.result = connection.submit(do, *arguments)
            task.known = time.monotonic()
        if not task.result.done():
            return
        try:
            task.answer.set_result(task.result.result())
        except (CancelledError, CommClosedError, TimeoutError):
            task.result = None
        except (ClusterError, ImportError) as error:
            # Such a worker answers at once, and would spoil one job after another.
            raise ClusterError(f"{error}; {_RESUME}") from None
        except KilledWorker as error:
            task.fail("KilledWorker", f"workers died of it: {error}")
        except Exception as error:
            task.fail(type(error).__name__, " ".join(str(error).split()))

    def _look(self, connection: Connection) -> None:
        """Ask the scheduler what it knows of the jobs.

        Raises:
            ConnectionLostError: If the connection is lost.
            ClusterError: If the scheduler or the workers have been away for too long.
        """
        self._looked = time.monotonic()
        out = [task for task in self._tasks if task.result is not None]
        try:
            status = connection.status([task.key for task in out])
        except OSError:
            self._give_up_after(LOST_SECONDS)
            return
        self._heard = time.monotonic()
        self._count_workers(status)
        for task in out:
            state = status.states.get(task.key)
            self._see_that_it_is_known(task, state)
            self._see_that_somebody_runs_it(task, state)

    def _count_workers(self, status: Status) -> None:
        self._workers, now = status.workers, time.monotonic()
        if self._workers:
            if self._warned:
                self._report(f"workers are there again: {self._workers}")
            self._manned, self._warned, self._deserted = now, False, False
        elif self._tasks and not self._warned and now - self._manned > _MESSAGE_SECONDS:
            self._warned = True
            self._report(
                f"no worker is there; waiting for one, at most {_time(self._patience)} "
                "(engine: wait_for_workers)"
            )

    def _see_that_it_is_known(self, task: _Task, state: str | None) -> None:
        """Give a job again that the scheduler does not know, as happens to one that got lost.

        Raises:
            ConnectionLostError: If the connection loses what is sent.
        """
        now = time.monotonic()
        if state in _ALIVE:
            task.known, task.lost = now, 0
        elif task.result is not None and task.result.done():
            return
        elif state in _ENDED:  # Fetching the result from a worker takes its time.
            if now - task.known > LOST_SECONDS:
                raise ConnectionLostError("results do not arrive")
        elif now - task.known > UNKNOWN_SECONDS:
            if task.lost:
                raise ConnectionLostError("jobs do not arrive")
            if task.result is not None:
                task.result.cancel()
            task.result, task.lost = None, 1

    def _see_that_somebody_runs_it(self, task: _Task, state: str | None) -> None:
        """Let a job fail for which no worker came."""
        if self._workers or state == "processing":
            task.waiting = None
            return
        now = time.monotonic()
        task.waiting = task.waiting or now
        if now - task.waiting > self._patience:
            if task.result is not None:
                task.result.cancel()
            task.fail("TimeoutError", f"nobody ran it: no worker for {_time(self._patience)}")
            self._deserted = True

    def _check_versions(self, connection: Connection) -> None:
        try:
            answers = connection.run_on_workers(version, _VERSION_SECONDS)
        except TimeoutError:  # Each job asks again.
            return
        except OSError as error:
            raise ClusterError(f"the workers do not answer: {error}") from None
        wrong = {
            worker: answer if isinstance(answer, str) else f"none ({answer})"
            for worker, answer in answers.items()
            if answer != __version__
        }
        if wrong:
            raise ClusterError(_mismatch(__version__, wrong))


def _mismatch(needed: str, answers: dict[str, str]) -> str:
    versions = ", ".join(f"{worker} has {answer}" for worker, answer in answers.items())
    return f"elmcfg {needed} is needed on every worker, but {versions}; install the same version"


def _time(seconds: float) -> str:
    """Write an amount of time as a plan has it: ``90 s``, ``30 min``, ``24 h``."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
