"""A study whose scheduler goes away and comes back, in every bad moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from dask_processes import Processes

pytest.importorskip("distributed")

from distributed import Client
from distributed.batched import BatchedSend
from distributed.comm.core import CommClosedError

from elmcfg.linter import load
from elmcfg.study import cluster, connection
from elmcfg.study.cluster import Cluster, ClusterError
from elmcfg.study.connection import Connection, Status
from elmcfg.study.jobs import Job
from elmcfg.study.variants import Named

PATIENCE = 120.0
"""Seconds after which a test gives up; nothing waits for as long where all is well."""


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def job() -> dict[str, Any]:
    named = Named("tiny", "tiny", load("tiny"))
    return Job("proof", named, settings={"shapes_only": True}).values()


@pytest.mark.parametrize("fault", ["silently", "Stream is closed"])
def test_a_job_that_gets_lost_on_its_way_to_the_scheduler_is_given_again(
    dask: Processes, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """As happens to what is submitted while the client connects again."""
    _, address = dask.scheduler()
    dask.worker(address)
    send = BatchedSend.send
    lost: list[Any] = []

    def lossy(stream: BatchedSend, *messages: Any) -> None:
        for message in messages:
            if message.get("op") == "update-graph" and not lost:
                lost.append(message)
                if fault != "silently":
                    raise CommClosedError(fault)
            else:
                send(stream, message)

    monkeypatch.setattr(BatchedSend, "send", lossy)
    monkeypatch.setattr(cluster, "UNKNOWN_SECONDS", 1.0)
    engine = Cluster(address)
    try:
        record = engine.submit(job(), 1).result(PATIENCE)
    finally:
        engine.close()
    assert lost
    assert (record["status"], record["variant"]) == ("done", "tiny")


def test_a_result_that_the_client_never_hears_of_is_asked_for_again(
    dask: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = dask.scheduler()
    dask.worker(address)
    lost: list[Client] = []
    hear: Callable[..., None] = Client._handle_key_in_memory

    def deaf(client: Client, *arguments: Any, **more: Any) -> None:
        if lost and client not in lost:
            hear(client, *arguments, **more)
        else:
            lost.append(client)

    monkeypatch.setattr(Client, "_handle_key_in_memory", deaf)
    monkeypatch.setattr(cluster, "LOST_SECONDS", 2.0)
    engine = Cluster(address)
    try:
        record = engine.submit(job(), 1).result(PATIENCE)
    finally:
        engine.close()
    assert len(lost) == 1
    assert record["status"] == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_does_not_notice_another_scheduler(
    dask: Processes, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """It is known by its id; its address is the same."""
    listen: Callable[[Client], Awaitable[None]] = Client._handle_report
    deaf: list[Client] = []

    async def never(client: Client) -> None:
        if deaf:
            await listen(client)
        else:
            deaf.append(client)

    monkeypatch.setattr(Client, "_handle_report", never)
    reports: list[str] = []
    scheduler, address = dask.scheduler()
    engine = Cluster(address, report=reports.append)
    try:
        answer = engine.submit(job(), 1)
        scheduler.send_signal(number)
        scheduler.wait()
        dask.scheduler(address.rpartition(":")[2])
        dask.worker(address)
        assert answer.result(PATIENCE)["status"] == "done"
    finally:
        engine.close()
    assert any("another scheduler answers" in report for report in reports)
    assert any(report.endswith("1 job is given again") for report in reports)


def test_a_job_that_is_done_twice_is_answered_once(
    dask: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = dask.scheduler()
    dask.worker(address)
    keys: list[str] = []
    status = Connection.status

    def forgetful(connection: Connection, asked: Sequence[str] = ()) -> Status:
        keys.extend(key for key in asked if key not in keys)
        true = status(connection, asked)
        return Status(true.workers, {k: s for k, s in true.states.items() if k != keys[0]})

    monkeypatch.setattr(Connection, "status", forgetful)
    monkeypatch.setattr(cluster, "UNKNOWN_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    engine = Cluster(address)
    answer: Future[Any] = engine.submit(job(), 1)
    times: list[int] = []
    answer.add_done_callback(lambda _: times.append(1))
    try:
        assert answer.result(PATIENCE)["attempt"] == 1
        assert engine.submit(job(), 2).result(PATIENCE)["attempt"] == 2
    finally:
        engine.close()
    assert len(keys) >= 2
    assert times == [1]


def test_workers_may_come_late(dask: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of an adaptive cluster do, or of a queue; the wait has a message."""
    monkeypatch.setattr(cluster, "_MESSAGE_SECONDS", 0.5)
    reports: list[str] = []
    warned, heard_all = threading.Event(), threading.Event()

    def report(text: str) -> None:
        reports.append(text)
        (heard_all if warned.is_set() else warned).set()

    _, address = dask.scheduler()
    engine = Cluster(address, report=report)
    try:
        answer = engine.submit(job(), 1)
        assert warned.wait(PATIENCE)
        assert not answer.done()
        dask.worker(address)
        assert answer.result(PATIENCE)["status"] == "done"
        # A quick job may be done before the scheduler is next asked how many workers it has.
        assert heard_all.wait(PATIENCE)
    finally:
        engine.close()
    assert reports == [
        "no worker is there; waiting for one, at most 24 h (engine: wait_for_workers)",
        "workers are there again: 1",
    ]


def test_a_job_that_nobody_runs_fails_and_the_next_ends_the_study(dask: Processes) -> None:
    _, address = dask.scheduler()
    engine = Cluster(address, wait_for_workers=1.0)
    try:
        record = engine.submit(job(), 3).result(PATIENCE)
        assert (record["status"], record["attempt"]) == ("failed", 3)
        assert record["error"]["message"] == "nobody ran it: no worker for 1 s"
        with pytest.raises(ClusterError, match=r"no worker has been there for 1 s; .*--resume"):
            engine.submit(job(), 1).result(PATIENCE)
        with pytest.raises(ClusterError, match="--resume"):
            engine.submit(job(), 1).result(PATIENCE)
    finally:
        engine.close()


def test_a_scheduler_that_stays_away_ends_the_study(
    dask: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is there and says nothing."""
    monkeypatch.setattr(cluster, "LOST_SECONDS", 2.0)
    scheduler, address = dask.scheduler()
    engine = Cluster(address)
    monkeypatch.setattr(connection, "_ANSWER_SECONDS", 0.5)
    try:
        answer = engine.submit(job(), 1)
        scheduler.send_signal(signal.SIGSTOP)
        with pytest.raises(ClusterError, match=r"the scheduler has been away for 2 s; .*--resume"):
            answer.result(PATIENCE)
    finally:
        engine.close()
