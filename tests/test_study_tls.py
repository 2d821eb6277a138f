"""Studies on a scheduler with TLS, as the page about clusters has it, with new certificates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dask_processes import Processes, certificates, waited

pytest.importorskip("distributed")
if shutil.which("openssl") is None:
    pytest.skip("no openssl here", allow_module_level=True)

PLAN = "variants: [tiny]\nmeasure: [proof]\nproof: {shapes_only: true}\n"
# Dask reads its settings from ~/.config/dask too.
WITHOUT = {"HOME": "/nonexistent", "DASK_CONFIG": "/nonexistent"}


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def run(dask: Processes, address: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a study; its exit code and what it said on standard error."""
    (folder.parent / "plan.yaml").write_text(PLAN)
    plan = str(folder.parent / "plan.yaml")
    process = dask.elmcfg(
        "study", plan, "-o", str(folder), "--resume", "--scheduler", address, **environment
    )
    _, err = process.communicate(timeout=180)
    assert [line for line in err.splitlines() if not line.startswith("elmcfg: ")] == []
    return process.returncode, err


def settings(path: Path, **changes: object) -> dict[str, str]:
    """A configuration of dask with other settings of TLS; the environment that names it."""
    values = yaml.safe_load(path.read_text())
    values["distributed"]["comm"]["tls"] |= changes
    other = path.with_name(f"{'-'.join(changes) or 'same'}.yaml")
    other.write_text(json.dumps(values))
    return {"DASK_CONFIG": str(other)}


def test_only_who_has_the_certificate_reaches_a_scheduler_with_tls(
    dask: Processes, tmp_path: Path
) -> None:
    path, other = certificates(tmp_path / "tls"), certificates(tmp_path / "other")
    ours = settings(path)
    log = dask.start(
        *("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"),
        *("--protocol", "tls"),
        **ours,
    )[1]
    address = waited(log, r"Scheduler at:\s+(tls://\S+)")
    dask.worker(address, 1, "127.0.0.1", (), **ours)
    out = tmp_path / "out"
    code, err = run(dask, address, out, **WITHOUT)
    assert (code, "needs certificates, and dask's configuration does not say" in err) == (1, True)
    code, err = run(dask, address.replace("tls:", "tcp:"), out, **WITHOUT)
    assert (code, "no scheduler answers at tcp://" in err) == (1, True)
    code, err = run(dask, address.replace("tls:", "tcp:"), out, **ours)
    assert (code, "dask's configuration requires encryption" in err) == (1, True)
    # Another's certificate, and a scheduler that another has signed.
    client = {"cert": str(other.parent / "cert.pem"), "key": str(other.parent / "key.pem")}
    code, err = run(dask, address, out, **settings(path, client=client))
    assert (code, "no scheduler answers at tls://" in err) == (1, True)
    code, err = run(dask, address, out, **settings(path, **{"ca-file": client["cert"]}))
    assert (code, "certificate verify failed" in err) == (1, True)
    # Files that are not there, and that are something else.
    missing = {"cert": str(path.parent / "cert.pem"), "key": str(tmp_path / "no.pem")}
    code, err = run(dask, address, out, **settings(path, client=missing))
    assert (code, f"{tmp_path / 'no.pem'}: cannot be read" in err) == (1, True)
    assert "distributed.comm.tls.client.key" in err
    wrong = {"cert": str(tmp_path / "plan.yaml"), "key": str(path.parent / "key.pem")}
    code, err = run(dask, address, out, **settings(path, client=wrong))
    assert (code, "no certificates and keys of TLS" in err) == (1, True)
    assert not (out / "journal.jsonl").exists()
    code, err = run(dask, address, out, **ours)
    assert code == 0, err
    (record,) = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert record["status"] == "done"
