"""A study, run: every job of the plan that is not done yet, and a record of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from elmcfg.study import folder as files
from elmcfg.study.claims import Claims
from elmcfg.study.jobs import Job
from elmcfg.study.journal import Journal, Record
from elmcfg.study.worker import make_record

_BATCH = 250
_WAIT_SECONDS = 0.2
_OTHERS_SECONDS = 1.0


class Engine(Protocol):
    """What runs jobs."""

    @property
    def places(self) -> int:
        """How many may run at once."""

    def submit(self, job: dict[str, Any], attempt: int) -> Future[Record]:
        """Begin a job when there is room; its record, whatever becomes of it."""

    def close(self) -> None:
        """End everything, now."""


class Progress(Protocol):
    """What is told while a study runs, all from one thread."""

    def known(self, job: Job, record: Record) -> None:
        """A job was done before this run began."""

    def started(self, job: Job) -> None:
        """A job has been given to the engine."""

    def recorded(self, job: Job, record: Record) -> None:
        """A record is on the disk."""

    def tick(self) -> None:
        """Some time has passed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a study stands.

    Attributes:
        done: Jobs with a result.
        diverged: Trainings whose loss left all bounds.
        failed: Jobs that failed.
    """

    done: int
    diverged: int
    failed: int


def run(
    folder: Path, todo: Sequence[Job], make_engine: Callable[[], Engine], progress: Progress
) -> Outcome:
    """Do the jobs that the folder's journal lacks.

    Several runs may share a folder: each job is done by one of them.

    Args:
        folder: A study's folder, prepared.
        todo: Every job of the study.
        make_engine: Called if there is any job for it.
        progress: What to tell.

    Raises:
        OSError: If the journal cannot be read or written.
        elmcfg.study.cluster.ClusterError: If the cluster is lost.
    """
    journal, claims = Journal(folder / files.JOURNAL), Claims(folder / files.CLAIMS)
    try:
        missing = []
        for job in _distinct(todo):
            if (record := journal.final(job.key)) is None:
                missing.append(job)
            else:
                progress.known(job, record)
        _do_costs([job for job in missing if job.kind == "costs"], journal, progress)
        rest = [job for job in missing if job.kind != "costs"]
        if rest:
            _do(rest, folder, journal, claims, make_engine(), progress)
    finally:
        claims.close()
    statuses = [journal.status(job.key) or "failed" for job in todo]
    return Outcome(*(statuses.count(status) for status in ("done", "diverged", "failed")))


def _distinct(todo: Sequence[Job]) -> Iterator[Job]:
    """Each job once: two variants may be one model."""
    seen: set[str] = set()
    for job in todo:
        if job.key not in seen:
            seen.add(job.key)
            yield job


def _do_costs(todo: Sequence[Job], journal: Journal, progress: Progress) -> None:
    """Costs take no process, and no time of their own: the plan's variants know theirs."""
    for begin in range(0, len(todo), _BATCH):
        batch = todo[begin : begin + _BATCH]
        records = []
        for job in batch:
            attempt, result = journal.attempts(job.key) + 1, job.variant.cost.values()
            now = datetime.now(UTC)
            records.append(make_record(job.values(), result, None, now, 0.0, None, attempt))
        journal.append(records)
        for job, record in zip(batch, records, strict=True):
            progress.recorded(job, record)


def _do(
    todo: Sequence[Job],
    folder: Path,
    journal: Journal,
    claims: Claims,
    engine: Engine,
    progress: Progress,
) -> None:
    waiting, out = list(todo), dict[Future[Record], Job]()
    try:
        while waiting or out:
            waiting = _give(waiting, out, folder, journal, claims, engine, progress)
            # Waiting with a timeout lets Ctrl-C through.
            patience = _WAIT_SECONDS if out else _OTHERS_SECONDS
            ended = wait(out, patience, FIRST_COMPLETED).done if out else set()
            if not out and waiting:
                time.sleep(patience)  # What is left is in the hands of another run.
            # What ended well is recorded before an engine that cannot go on ends the study.
            for future in sorted(ended, key=lambda future: future.exception() is not None):
                job = out.pop(future)
                record = future.result()
                journal.append([record])
                claims.give_up(job.key)
                if record["status"] != "failed":
                    files.forget(folder, job.key)
                progress.recorded(job, record)
            progress.tick()
    finally:
        engine.close()


def _give(
    waiting: list[Job],
    out: dict[Future[Record], Job],
    folder: Path,
    journal: Journal,
    claims: Claims,
    engine: Engine,
    progress: Progress,
) -> list[Job]:
    """Give the engine as many jobs as it has room for; those that are left."""
    room = engine.places - len(out)
    if room <= 0:
        return waiting
    left = []
    journal.refresh()
    for job in waiting:
        if (record := journal.final(job.key)) is not None:  # Another run has done it.
            progress.recorded(job, record)
        elif room <= 0 or not claims.take(job.key):
            left.append(job)
        else:
            room -= 1
            journal.refresh()
            if (record := journal.final(job.key)) is not None:  # Between the look and the claim.
                claims.give_up(job.key)
                progress.recorded(job, record)
                continue
            place = files.checkpoints(folder, job.key) if job.kind == "training" else None
            out[engine.submit(job.values(place), journal.attempts(job.key) + 1)] = job
            progress.started(job)
    return left
