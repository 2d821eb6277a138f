"""Schedulers killed and started again at random moments under a study. Not part of the test suite.

    python tests/fuzz/restarts.py --restarts 200 --seed 1

Studies of small jobs run one after another, in this process, on a scheduler and two workers that
are killed all the time: with SIGKILL, SIGTERM or SIGINT, all at once or the scheduler alone, whose
workers then end by themselves, and another scheduler is started at the same address. Every study
must end with one record of each of its jobs, and none may stand still for two minutes.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from elmcfg.linter import load
from elmcfg.study import cluster
from elmcfg.study.folder import prepare
from elmcfg.study.jobs import Job
from elmcfg.study.journal import Record
from elmcfg.study.running import run
from elmcfg.study.variants import Named
from elmcfg.study.worker import Worker, make_record

JOBS = 100
STILL_SECONDS = 120.0


def serve(what: str, port: int) -> None:
    """Be a scheduler, or a worker whose jobs take next to no time; until killed."""
    import asyncio
    import logging

    import distributed

    logging.disable()

    def record(_: Worker, job: dict[str, Any], *, attempt: int = 1, **__: Any) -> Record:
        from datetime import UTC, datetime

        time.sleep(random.random() / 10)
        return make_record(job, {"passed": True}, None, datetime.now(UTC), 0.0, None, attempt)

    Worker.record = record  # type: ignore[assignment,method-assign]

    async def be() -> None:
        if what == "scheduler":
            server: Any = distributed.Scheduler(
                host="127.0.0.1", port=port, dashboard_address="127.0.0.1:0"
            )
        else:
            server = distributed.Worker(f"tcp://127.0.0.1:{port}", nthreads=1, memory_limit=0)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: asyncio.ensure_future(server.close()))
        async with server:
            await server.finished()

    asyncio.run(be())


class Restarts:
    """Kills a scheduler and starts it again, until there have been enough of that."""

    def __init__(self, count: int, rng: random.Random) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.done, self._count, self._rng = 0, count, rng
        self.kinds: collections.Counter[str] = collections.Counter()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["distributed", "elmcfg.study.cluster"])
        self._scheduler = self._start("scheduler")
        self._workers = [self._start("worker") for _ in range(2)]

    def _start(self, what: str) -> BaseProcess:
        process = self._context.Process(target=serve, args=(what, self.port), daemon=True)
        process.start()
        return process

    def keep_on(self) -> None:
        """Kill and start again."""
        while self.done < self._count:
            time.sleep(self._rng.choice((0.1, 0.5, 3.0)) * self._rng.random() + 0.2)
            number = self._rng.choice(
                (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
            )
            everything = self._rng.random() < 0.5
            self.kinds[f"{number.name}, {'all' if everything else 'scheduler alone'}"] += 1
            os.kill(self._scheduler.pid or 0, number)
            for worker in self._workers if everything else ():
                worker.kill()
            self._scheduler.join(5)
            self._scheduler.kill()
            self._scheduler.join()
            time.sleep(self._rng.choice((0.0, 1.0)) * self._rng.random())
            self._scheduler = self._start("scheduler")
            self.done += 1
            time.sleep(self._rng.random() / 2)
            old, self._workers = self._workers, [self._start("worker") for _ in range(2)]
            for worker in old:
                worker.join(5)
                worker.kill()
                worker.join()

    def end(self) -> None:
        """End what is left."""
        for process in (self._scheduler, *self._workers):
            process.kill()
            process.join()


class Watch:
    """A study's progress: when the last record came, and the longest time without one."""

    def __init__(self) -> None:
        self.last, self.longest = time.monotonic(), 0.0

    def known(self, job: Job, record: Record) -> None:
        pass

    def started(self, job: Job) -> None:
        pass

    def recorded(self, job: Job, record: Record) -> None:
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now

    def tick(self) -> None:
        if time.monotonic() - self.last > STILL_SECONDS:
            raise SystemExit(f"HANGS: no record for {STILL_SECONDS:g} s")


def study(folder: Path, number: int, port: int) -> tuple[float, int]:
    """Run a study; the longest time without a record, and how many jobs were given again."""
    prepare(folder, resume=False)
    tiny = Named("tiny", "tiny", load("tiny"))
    todo = [Job("proof", tiny, seed=number * JOBS + i) for i in range(JOBS)]
    given, watch = 0, Watch()

    def make() -> cluster.Cluster:
        nonlocal given
        while True:
            try:
                engine = cluster.Cluster(f"tcp://127.0.0.1:{port}", log=folder / "dask.log")
                break
            except cluster.ClusterError as error:  # It is being restarted just now.
                print(f"  begins again: {error}"[:100], flush=True)
        inner = engine._give_or_take

        def count(task: Any, connection: Any) -> None:
            nonlocal given
            given += task.result is None
            inner(task, connection)

        engine._give_or_take = count  # type: ignore[method-assign]
        return engine

    outcome = run(folder, todo, make, watch)
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    keys = [record["key"] for record in records]
    assert (outcome.done, outcome.failed) == (JOBS, 0), outcome
    assert len(keys) == len(set(keys)) == JOBS
    return watch.longest, given - JOBS


def main() -> None:
    """Run studies until there have been enough restarts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    restarts = Restarts(arguments.restarts, random.Random(arguments.seed))
    began, longest, studies, again = time.monotonic(), 0.0, 0, 0
    killing = threading.Thread(target=restarts.keep_on, daemon=True)
    killing.start()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            while killing.is_alive():
                gap, more = study(Path(scratch) / str(studies), studies, restarts.port)
                longest, studies, again = max(longest, gap), studies + 1, again + more
                files = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
                print(
                    f"{restarts.done} restarts, {studies} studies of {JOBS} jobs, {again} jobs "
                    f"given again, at most {longest:.1f} s without a record, "
                    f"{threading.active_count()} threads, {files} open files, "
                    f"{time.monotonic() - began:.0f} s",
                    flush=True,
                )
    finally:
        restarts.end()
    print(f"none hung; {dict(restarts.kinds)}")


if __name__ == "__main__":
    main()
