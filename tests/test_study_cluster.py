"""Studies on a real scheduler and real workers, each a process, on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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

    def start(
        self, kind: str, *arguments: str, inside: Sequence[str], **environment: str
    ) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"{kind}-{len(self._all)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*inside, sys.executable, "-m", "dask", kind, *arguments],
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                env=os.environ | environment,
                start_new_session=True,
            )
        self._all.append(process)
        return process, log

    def scheduler(
        self, port: str = "0", host: str = "127.0.0.1", inside: Sequence[str] = ()
    ) -> tuple[subprocess.Popen[bytes], str]:
        process, log = self.start(
            "scheduler", "--host", host, "--port", port, "--no-dashboard", inside=inside,
            DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP="12s",
        )  # fmt: skip
        return process, waited(log, r"Scheduler at:\s+(tcp://\S+)")

    def worker(
        self, address: str, threads: int = 1, host: str = "127.0.0.1",
        inside: Sequence[str] = (), **environment: str,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        process, log = self.start(
            "worker", address, "--host", host, "--nthreads", str(threads), "--no-nanny",
            "--no-dashboard", "--memory-limit", "0", inside=inside, **environment,
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


def study(tmp_path: Path, address: str, inside: Sequence[str] = ()) -> subprocess.Popen[str]:
    entries = "".join(f"  - profile: {name}\n" for name in PROFILES)
    text = PLAN.replace("  - profile: uniform\n  - profile: vanilla\n  - tiny\n", entries)
    (tmp_path / "plan.yaml").write_text(text)
    return subprocess.Popen(
        [
            *inside, sys.executable, "-m", "elmcfg", "study", str(tmp_path / "plan.yaml"),
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
    while not proofs(tmp_path):
        assert time.monotonic() < until, "no proof within a minute"
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


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


HOST = "10.213.77"


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Three network namespaces, which are three machines to dask, on one switch in the first."""
    names = [f"elmcfg-{os.getpid()}-{i}" for i in range(3)]
    try:
        for i, name in enumerate(names):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            if not i:
                ip("-n", name, "link", "add", "switch", "type", "bridge")
                ip("-n", name, "link", "set", "switch", "up")
            else:
                ip("-n", names[0], "link", "add", f"port{i}", "type", "veth", "peer", "name",
                   "uplink", "netns", name)  # fmt: skip
                ip("-n", names[0], "link", "set", f"port{i}", "master", "switch", "up")
                ip("-n", name, "link", "set", "uplink", "up")
            own = "uplink" if i else "switch"
            ip("-n", name, "address", "add", f"{HOST}.{i + 1}/24", "dev", own)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    yield names
    for name in names:
        ip("netns", "delete", name)


def test_a_machine_that_is_unplugged_costs_nothing(
    dask: Processes, machines: list[str], tmp_path: Path
) -> None:
    here, first, second = (["ip", "netns", "exec", name] for name in machines)
    _, address = dask.scheduler(host=f"{HOST}.1", inside=here)
    dask.worker(address, host=f"{HOST}.2", inside=first)
    dask.worker(address, host=f"{HOST}.3", inside=second)
    process = study(tmp_path, address, inside=here)
    wait_for_a_proof(tmp_path)
    ip("-n", machines[0], "link", "set", "port2", "down")
    every_job_is_recorded_once(process, tmp_path)


def test_a_worker_of_another_version_that_joins_later_ends_the_study(
    dask: Processes, tmp_path: Path
) -> None:
    _, address = dask.scheduler()
    first = dask.worker(address)
    process = study(tmp_path, address)
    wait_for_a_proof(tmp_path)
    os.killpg(first.pid, signal.SIGKILL)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/sitecustomize.py").write_text(
        "import elmcfg\nelmcfg.__version__ = '9.9.9'\n"
    )
    path = os.pathsep.join([str(tmp_path / "other"), os.environ.get("PYTHONPATH", "")])
    dask.worker(address, PYTHONPATH=path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "elmcfg 0.1.0 is needed on every worker, but a worker on " in err
    assert "has 9.9.9" in err
    assert "--resume" in err
    assert "Traceback" not in err
    assert all(record["status"] == "done" for record in proofs(tmp_path))


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
