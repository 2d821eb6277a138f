"""Studies on a real scheduler and real workers, each a process, on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from test_study import PLAN

pytest.importorskip("distributed")

from elmcfg.study import cluster

PROFILES = ("uniform", "vanilla", "reverse", "framed", "bowtie", "crown", "tapered", "step")


class Processes:
    """dask's processes of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, kind: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"{kind}-{len(self._all)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *arguments],
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                start_new_session=True,
            )
        self._all.append(process)
        return process, log

    def scheduler(self, port: str = "0") -> tuple[subprocess.Popen[bytes], str]:
        process, log = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"
        )
        return process, waited(log, r"Scheduler at:\s+(tcp://\S+)")

    def worker(self, address: str, threads: int = 1) -> subprocess.Popen[bytes]:
        process, log = self.start(
            "worker", address, "--host", "127.0.0.1", "--nthreads", str(threads), "--no-nanny",
            "--no-dashboard", "--memory-limit", "0",
        )  # fmt: skip
        waited(log, r"(Registered to)")
        return process

    def end(self) -> None:
        for process in self._all:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def waited(log: Path, pattern: str) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


def study(tmp_path: Path, address: str) -> subprocess.Popen[str]:
    entries = "".join(f"  - profile: {name}\n" for name in PROFILES)
    text = PLAN.replace("  - profile: uniform\n  - profile: vanilla\n  - tiny\n", entries)
    (tmp_path / "plan.yaml").write_text(text)
    return subprocess.Popen(
        [
            sys.executable, "-m", "elmcfg", "study", str(tmp_path / "plan.yaml"),
            "-o", str(tmp_path / "out"), "--scheduler", address,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def proofs(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "out/journal.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [record for record in records if record["kind"] == "proof"]


def wait_for_a_proof(tmp_path: Path) -> None:
    until = time.monotonic() + 60
    while not proofs(tmp_path) and time.monotonic() < until:
        time.sleep(0.02)


def every_job_is_recorded_once(process: subprocess.Popen[str], tmp_path: Path) -> None:
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "16 of 16 jobs done" in out
    keys = [record["key"] for record in proofs(tmp_path)]
    assert len(keys) == len(set(keys)) == len(PROFILES)


def test_a_worker_that_dies_costs_nothing(dask: Processes, tmp_path: Path) -> None:
    _, address = dask.scheduler()
    doomed, _ = dask.worker(address, threads=4), dask.worker(address)
    process = study(tmp_path, address)
    wait_for_a_proof(tmp_path)
    os.killpg(doomed.pid, signal.SIGKILL)
    every_job_is_recorded_once(process, tmp_path)


def test_a_scheduler_that_is_killed_and_started_again_costs_nothing(
    dask: Processes, tmp_path: Path
) -> None:
    scheduler, address = dask.scheduler()
    workers = [dask.worker(address), dask.worker(address)]
    process = study(tmp_path, address)
    wait_for_a_proof(tmp_path)
    os.killpg(scheduler.pid, signal.SIGKILL)
    scheduler.wait()
    for worker in workers:  # Without a nanny a worker ends with its scheduler.
        worker.wait(timeout=60)
    dask.scheduler(address.rpartition(":")[2])
    dask.worker(address)
    every_job_is_recorded_once(process, tmp_path)


def test_no_scheduler_and_another_version_are_told(
    run: Run, dask: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    flags = ("study", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out"), "--resume")
    done = run(*flags, "--scheduler", "tcp://127.0.0.1:9")
    assert done.code == 1
    assert "no scheduler answers at tcp://127.0.0.1:9" in done.err
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 10.0)
    _, address = dask.scheduler()
    dask.worker(address)
    monkeypatch.setattr(cluster, "__version__", "9.9.9")
    done = run(*flags, "--scheduler", address)
    assert done.code == 1
    assert "elmcfg 9.9.9 is needed on every worker, but tcp://127.0.0.1:" in done.err
    assert "has 0.1.0" in done.err
