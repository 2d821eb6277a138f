"""``elmcfg doctor``: plain words about this machine, also where MLX is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

DOCTOR = """
import sys
{before}
sys.argv = ['elmcfg', 'doctor', *{flags!r}]
from elmcfg.cli import main
main()
"""
WITHOUT_MLX = """
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "mlx":
            raise ModuleNotFoundError("No module named 'mlx'", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run(*flags: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: which BLAS is loaded is decided once."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", DOCTOR.format(before=before, flags=flags)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_there_is() -> None:
    done = run("--format", "json")
    assert done.returncode == 0, done.stderr
    health = json.loads(done.stdout)
    assert health["usable"] is True
    assert health["mlx"].count(".") == 2
    assert health["matmul_flops"] > 1e9
    assert health["copy_bytes"] > 1e8
    assert health["free_bytes"] > 2**20
    assert health["advice"] == []


def test_in_words() -> None:
    done = run(NO_COLOR="1")
    assert done.returncode == 0
    for word in ("MLX", "backend", "device", "free memory", "matmul", "models can be built"):
        assert word in done.stdout
    assert "to do" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="OpenBLAS is for Linux")
def test_a_slow_blas_is_noticed() -> None:
    done = run(ELMCFG_OPENBLAS="off")
    assert done.returncode == 0
    assert "MLX own (ELMCFG_OPENBLAS=off)" in done.stdout
    assert "to do: matrix products are slow" in done.stdout
    assert "pip install 'elmcfg[cpu]'" in done.stdout


def test_without_mlx() -> None:
    done = run(before=WITHOUT_MLX)
    assert done.returncode == 1
    assert "models cannot be built here" in done.stdout
    assert "MLX is not installed" in done.stdout
    assert done.stderr == ""


def test_a_blas_that_is_not_there() -> None:
    done = run(ELMCFG_OPENBLAS="/nowhere.so")
    assert done.returncode == 1
    assert "to do: ELMCFG_OPENBLAS=/nowhere.so: no such file" in done.stdout
