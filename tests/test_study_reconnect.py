"""A study whose scheduler goes away and comes back, in every bad moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import Processes

pytest.importorskip("distributed")

from distributed.batched import BatchedSend
from distributed.comm.core import CommClosedError

from elmcfg.linter import load
from elmcfg.study.cluster import Cluster
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
    engine = Cluster(address)
    try:
        record = engine.submit(job(), 1).result(PATIENCE)
    finally:
        engine.close()
    assert lost
    assert (record["status"], record["variant"]) == ("done", "tiny")
