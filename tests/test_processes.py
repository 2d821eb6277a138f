"""Tests end what they start, whatever becomes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
# As a test that waits in vain does: it fails with a process running and its pipes open.
LEAKY = """
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLEEP = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"


def start(**options):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    process.stdout.readline()
    return process


def test_that_times_out():
    process, leader = start(), start(start_new_session=True)
    Path("pids").write_text(f"{process.pid} {leader.pid}")
    process.communicate(timeout=0.1)


def test_of_something_else():
    gc.collect()
    for pid in Path("pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
"""


def test_a_test_that_times_out_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from conftest_of_elmcfg import end_processes\n"
    )
    (tmp_path / "conftest_of_elmcfg.py").write_text((TESTS / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--tb=line", "."], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert "TimeoutExpired" in done.stdout
    assert "1 failed, 1 passed" in done.stdout, done.stdout
