"""Jobs on a dask cluster: the same child processes, started by dask's workers.

dask gives a job to another worker where one dies, and a scheduler that was started again knows
nothing of what it had been given. So a job can be done twice; its key says so, and the journal
counts one. At most as many jobs are out as there are workers, and a worker does one at a time
however many threads it has.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import threading
import time
from concurrent.futures import CancelledError, Executor, Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.study.journal import Record
from elmcfg.study.worker import Worker, make_record

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
LOST_SECONDS = 60.0
"""How long a scheduler may be away before the study gives up."""

_ONE_AT_A_TIME = threading.Lock()
_WORKER = Worker()


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says why and what to do."""


def do(job: dict[str, Any], attempt: int, timeout: float | None, max_memory: int | None) -> Record:
    """The function that dask's workers run; a child process does the job.

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
    """The version of elmcfg in this process."""
    return __version__


def require_dask() -> Any:
    """The package ``distributed`` of dask.

    Raises:
        ClusterError: If it is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise ClusterError(
            "dask is not installed here; install the extra: pip install 'elmcfg[dask]'"
        ) from None
    return distributed


class Cluster:
    """Runs jobs on the workers of a scheduler.

    Args:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``.
        timeout: Most seconds of each job.
        max_memory: Most bytes of each.

    Raises:
        ClusterError: If dask is not installed, no scheduler answers, or a worker has another
            version of elmcfg, or none.
    """

    def __init__(
        self, address: str, timeout: float | None = None, max_memory: int | None = None
    ) -> None:
        distributed = require_dask()
        self._limits = (timeout, max_memory)
        self._executor: Executor | None = None
        _quiet()
        try:
            self._client: Client = distributed.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"no scheduler answers at {address} ({error}); start one with 'dask scheduler' "
                "and name the address that it prints"
            ) from None
        try:
            self._check_versions()
            self._executor = self._client.get_executor(pure=False, retries=0)
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> int:
        """Jobs that may be out: one for each worker, and one to wait where there is none yet."""
        return max(1, len(self._workers()))

    def submit(self, job: dict[str, Any], attempt: int) -> Future[Record]:
        """Give a job to the scheduler."""
        answer: Future[Record] = Future()
        thread = threading.Thread(target=self._answer, args=(job, attempt, answer), daemon=True)
        thread.start()
        return answer

    def _answer(self, job: dict[str, Any], attempt: int, answer: Future[Record]) -> None:
        try:
            answer.set_result(self._see_through(job, attempt))
        except Exception as error:  # Or whoever waits for it would wait for ever.
            answer.set_exception(error)

    def _see_through(self, job: dict[str, Any], attempt: int) -> Record:
        """Wait for a job, and give it again where the scheduler has lost it.

        Raises:
            ClusterError: If no more jobs can be given to this cluster.
        """
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        began = datetime.now(UTC)

        def failed(kind: str, message: str) -> Record:
            error = {"type": kind, "message": message, "signal": None, "step": None}
            seconds = (datetime.now(UTC) - began).total_seconds()
            return make_record(job, None, error, began, seconds, None, attempt)

        while True:
            try:
                if self._executor is None:
                    raise ClusterError("the study was stopped")
                return self._executor.submit(do, job, attempt, *self._limits).result()
            except (CancelledError, CommClosedError, TimeoutError):
                if not self._is_back():
                    raise ClusterError(
                        f"the scheduler has been away for {LOST_SECONDS:g} s; what is done is "
                        "recorded: go on with --resume"
                    ) from None
            except (ClusterError, ImportError) as error:
                # Such a worker answers at once, and would spoil one job after another.
                raise ClusterError(
                    f"{error}; what is done is recorded: go on with --resume"
                ) from None
            except KilledWorker as error:
                return failed("KilledWorker", f"workers died of it: {error}")
            except Exception as error:
                return failed(type(error).__name__, " ".join(str(error).split()))

    def _is_back(self) -> bool:
        """Whether the scheduler answers again, after some waiting."""
        until = time.monotonic() + LOST_SECONDS
        while time.monotonic() < until and self._executor is not None:
            if self._client.status == "running" and self._workers():
                return True
            time.sleep(0.5)
        return False

    def _workers(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # Away: whoever waits for a job finds out how long.
            return {}
        return found

    def _check_versions(self) -> None:
        try:
            found: dict[str, Any] = self._client.run(version, on_error="return")
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"the workers do not answer: {error}") from None
        wrong = {
            worker: answer if isinstance(answer, str) else f"none ({answer})"
            for worker, answer in found.items()
            if answer != __version__
        }
        if wrong:
            raise ClusterError(_mismatch(__version__, wrong))

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it was."""
        self._executor = None
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)  # type: ignore[no-untyped-call]


def _mismatch(needed: str, found: dict[str, str]) -> str:
    told = ", ".join(f"{worker} has {answer}" for worker, answer in found.items())
    return f"elmcfg {needed} is needed on every worker, but {told}; install the same version"


def _quiet() -> None:
    """Dask's own log of lost connections, which the study tells in its own words."""
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
