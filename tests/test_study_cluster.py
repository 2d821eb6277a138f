"""Studies on a real scheduler and real workers, each a process, on loopback."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from dask_processes import PAGE, Processes, certificates, waited
from processes import end
from test_study import PLAN

pytest.importorskip("distributed")

from elmcfg.study import cluster, connection

PROFILES = ("uniform", "vanilla", "reverse", "framed", "bowtie", "crown", "tapered", "step")


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def study(
    dask: Processes, tmp_path: Path, address: str, inside: Sequence[str] = (), **environment: str
) -> subprocess.Popen[str]:
    entries = "".join(f"  - profile: {name}\n" for name in PROFILES)
    text = PLAN.replace("  - profile: uniform\n  - profile: vanilla\n  - tiny\n", entries)
    (tmp_path / "plan.yaml").write_text(text)
    flags = ("-o", str(tmp_path / "out"), "--scheduler", address)
    return dask.elmcfg("study", str(tmp_path / "plan.yaml"), *flags, inside=inside, **environment)


def proofs(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "out/journal.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [record for record in records if record["kind"] == "proof"]


def wait_for_a_proof(tmp_path: Path) -> None:
    until = time.monotonic() + 60
    while not proofs(tmp_path):
        assert time.monotonic() < until, "no proof within a minute"
        time.sleep(0.02)


def every_job_is_recorded_once(process: subprocess.Popen[str], tmp_path: Path) -> str:
    """Wait for a study's end; what it said on standard error."""
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "16 of 16 jobs done" in out
    keys = [record["key"] for record in proofs(tmp_path)]
    assert len(keys) == len(set(keys)) == len(PROFILES)
    return err


def test_a_worker_that_dies_costs_nothing(dask: Processes, tmp_path: Path) -> None:
    _, address = dask.scheduler()
    doomed, _ = dask.worker(address, threads=4), dask.worker(address)
    process = study(dask, tmp_path, address)
    wait_for_a_proof(tmp_path)
    os.killpg(doomed.pid, signal.SIGKILL)
    every_job_is_recorded_once(process, tmp_path)


def test_a_scheduler_that_is_killed_and_started_again_costs_nothing(
    dask: Processes, tmp_path: Path
) -> None:
    scheduler, address = dask.scheduler()
    workers = [dask.worker(address), dask.worker(address)]
    process = study(dask, tmp_path, address)
    wait_for_a_proof(tmp_path)
    os.killpg(scheduler.pid, signal.SIGKILL)
    scheduler.wait()
    for worker in workers:  # Without a nanny a worker ends with its scheduler.
        worker.wait(timeout=60)
    dask.scheduler(address.rpartition(":")[2])
    dask.worker(address)
    err = every_job_is_recorded_once(process, tmp_path)
    # dask's own words are kept, but not on the terminal.
    assert [line for line in err.splitlines() if not line.startswith("elmcfg: ")] == []
    assert f"elmcfg: the scheduler at {address} is lost (" in err
    assert f"elmcfg: the scheduler at {address} answers" in err
    assert "Reconnecting" in (tmp_path / "out/dask.log").read_text()


def test_ctrl_c_ends_a_study_that_waits_for_its_scheduler(dask: Processes, tmp_path: Path) -> None:
    scheduler, address = dask.scheduler()
    dask.worker(address)
    process = study(dask, tmp_path, address)
    wait_for_a_proof(tmp_path)
    end(scheduler, leads=True)
    assert process.stderr is not None
    assert any("is lost" in line for line in process.stderr)
    kept = proofs(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines() == [
        f"elmcfg: interrupted; what is done is kept: go on with -o {tmp_path / 'out'} --resume"
    ]
    assert proofs(tmp_path) == kept


def test_a_study_ends_where_no_worker_comes_and_goes_on_when_one_is_there(
    dask: Processes, tmp_path: Path
) -> None:
    _, address = dask.scheduler()
    entries = f"engine: {{kind: dask, scheduler: {address}, wait_for_workers: 2s}}\n"
    (tmp_path / "plan.yaml").write_text(PLAN + entries)
    flags = ("study", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out"))
    _, err = (process := dask.elmcfg(*flags)).communicate(timeout=120)
    assert process.returncode == 1
    assert "elmcfg: uniform: proof: FAILED: nobody ran it: no worker for 2 s" in err
    assert "elmcfg: no worker has been there for 2 s; what is done is recorded: go on" in err
    assert [record["error"]["type"] for record in proofs(tmp_path)] == ["TimeoutError"]
    dask.worker(address)
    out, err = (process := dask.elmcfg(*flags, "--resume")).communicate(timeout=120)
    assert process.returncode == 0, err
    assert "6 of 6 jobs done" in out


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


HOST = "10.0.0"  # As docs/how-to/cluster.md has it.


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
    process = study(dask, tmp_path, address, inside=here)
    wait_for_a_proof(tmp_path)
    ip("-n", machines[0], "link", "set", "port2", "down")
    every_job_is_recorded_once(process, tmp_path)


# A worker that is killed by one of its jobs, so many times.
DEADLY = """
import os, signal
from pathlib import Path
from elmcfg.study.worker import Worker
record, deaths = Worker.record, Path({path!r})
def deadly(self, job, **limits):
    if job["variant"] == "crown" and deaths.stat().st_size < {times}:
        with deaths.open("a") as stream:
            stream.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return record(self, job, **limits)
Worker.record = deadly
"""


@pytest.mark.parametrize(("times", "status"), [(2, "done"), (9, "failed")])
def test_a_job_that_workers_die_of_is_tried_again_and_recorded_once(
    dask: Processes, tmp_path: Path, times: int, status: str
) -> None:
    deaths = tmp_path / "deaths"
    deaths.touch()
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly/sitecustomize.py").write_text(DEADLY.format(path=str(deaths), times=times))
    path = os.pathsep.join([str(tmp_path / "deadly"), os.environ.get("PYTHONPATH", "")])
    _, address = dask.scheduler()
    for _ in range(4):
        dask.worker(address, PYTHONPATH=path)
    process = study(dask, tmp_path, address)
    out, err = process.communicate(timeout=120)
    assert deaths.read_text() == "x" * min(times, 3)
    assert process.returncode == (0 if status == "done" else 1), err
    assert f"{16 - (status == 'failed')} of 16 jobs done" in out
    records = {record["variant"]: record for record in proofs(tmp_path)}
    assert len(proofs(tmp_path)) == len(records) == len(PROFILES)
    assert records["crown"]["status"] == status
    if status == "failed":
        assert records["crown"]["error"]["type"] == "KilledWorker"
        assert "workers died of it: " in records["crown"]["error"]["message"]


def documented(language: str) -> list[str]:
    """The blocks of the page about clusters."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_commands_for_two_machines_do_what_the_page_says(
    dask: Processes, machines: list[str], tmp_path: Path
) -> None:
    first, second = (["ip", "netns", "exec", name] for name in machines[:2])
    on_first, on_second = documented("sh")[1:3]
    scheduler, worker, command = (shlex.split(line) for line in on_first.splitlines())
    other = shlex.split(on_second)
    assert (scheduler[:2], worker[:2]) == (["dask", "scheduler"], ["dask", "worker"])
    _, log = dask.start("scheduler", *scheduler[2:], inside=first)
    waited(log, r"Scheduler at:\s+(tcp://10\.0\.0\.1:8786)")
    for arguments, inside in ((worker[2:], first), (other[2:], second)):
        _, log = dask.start("worker", *arguments, inside=inside)
        waited(log, r"(Registered to)")
    assert command[:3] == ["elmcfg", "study", "plan.yaml"]
    process = study(dask, tmp_path, command[-1], inside=first)
    every_job_is_recorded_once(process, tmp_path)


SBATCH = """#!/bin/sh
# A Slurm of one node without a queue. The script is copied: it is removed when this returns.
copy=$(mktemp ./job-XXXXXX)
cat "$1" > "$copy"
sh "$copy" > "$copy.log" 2>&1 &
echo "Submitted batch job $!"
"""


def test_the_program_for_slurm_makes_workers(dask: Processes, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/sh\n")):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (program,) = documented("python")
    assert '"port": 8786, "dashboard_address": "127.0.0.1:8787"' in program
    assert "jobs=8" in program
    here = program.replace('"port": 8786', '"host": "127.0.0.1", "port": 0').replace(":8787", ":0")
    here = here.replace("jobs=8", "jobs=2")
    (tmp_path / "workers.py").write_text(
        here.replace("cluster.scale", "print(cluster.job_script())\ncluster.scale")
    )
    log, path = tmp_path / "workers.log", f"{commands}{os.pathsep}{os.environ['PATH']}"
    tls = {"DASK_CONFIG": str(certificates(tmp_path / "tls"))}
    dask.run(log, sys.executable, "workers.py", PATH=path, **tls)
    address = waited(log, r"(?m)^(tls://127\.0\.0\.1:\d+)$")
    script = log.read_text()
    assert "#SBATCH --gres=gpu:1\n" in script
    assert "#SBATCH -t 04:00:00\n" in script
    assert "--nthreads 1 " in script
    every_job_is_recorded_once(study(dask, tmp_path, address, **tls), tmp_path)


def test_a_worker_of_another_version_that_joins_later_ends_the_study(
    dask: Processes, tmp_path: Path
) -> None:
    _, address = dask.scheduler()
    first = dask.worker(address)
    process = study(dask, tmp_path, address)
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
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    flags = ("study", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out"), "--resume")
    done = run(*flags, "--scheduler", "tcp://127.0.0.1:9")
    assert done.code == 1
    assert "no scheduler answers at tcp://127.0.0.1:9" in done.err
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 10.0)
    _, address = dask.scheduler()
    dask.worker(address)
    monkeypatch.setattr(cluster, "__version__", "9.9.9")
    done = run(*flags, "--scheduler", address)
    assert done.code == 1
    assert "elmcfg 9.9.9 is needed on every worker, but tcp://127.0.0.1:" in done.err
    assert "has 0.1.0" in done.err
