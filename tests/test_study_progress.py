"""What a study tells while it runs: a table in a terminal, a line for each job elsewhere."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from test_study import PLAN, job

from elmcfg.cli.study_progress import Lines, between, readable

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def in_a_terminal(columns: int, *arguments: str) -> str:
    """What a command writes to a terminal of that width that is its standard error."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "elmcfg", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer is gone.
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0, said.decode()
    return said.decode()


def test_a_terminal_shows_a_table_that_is_drawn_anew(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    plan, columns = tmp_path / "plan.yaml", 72
    plan.write_text(PLAN.replace("proof: {shapes_only: true}", "proof: {skip: [reference]}"))
    raw = in_a_terminal(columns, "study", str(plan), "-o", str(tmp_path / "out"), "--jobs", "1")
    shown = CONTROL.sub("", raw).replace("\r", "\n").splitlines()
    heads = [line for line in shown if line.split() == ["running", "for", "step"]]
    assert len(heads) > 1
    assert len(set(heads)) == 1  # Every column stays where it is.
    assert all(len(line) <= columns for line in shown)
    assert any(line.strip().startswith("uniform: proof") for line in shown)
    assert any(re.search(r"[45] of 6, some .* left", line) for line in shown)
    # What is recorded stays above the table; the table goes, and the cursor comes back.
    assert sum("proven in" in line for line in shown) == 3
    assert "\x1b[?25h" in raw[raw.rindex("proven in") :]


def ended(seconds: float, status: str = "done") -> dict[str, Any]:
    result = {"passed": True} if status == "done" else None
    error = None if result else {"message": "no", "step": None}
    return {
        "kind": "proof", "status": status, "seconds": seconds, "result": result, "error": error,
    }  # fmt: skip


def test_shapes_alone_are_not_called_proven(capsys: pytest.CaptureFixture[str]) -> None:
    todo = [job(seq_len=1)]
    lines = Lines(todo)
    lines.started(todo[0])
    record = ended(1.0)
    lines.recorded(todo[0], {**record, "result": {"passed": True, "shapes_only": True}})
    assert "shapes hold in" in capsys.readouterr().err


def test_what_a_resumed_study_knows_counts(capsys: pytest.CaptureFixture[str]) -> None:
    todo = [job(seq_len=n) for n in range(1, 5)]
    told = Lines(todo)
    told.known(todo[0], ended(60.0))
    assert told.progress() == "1 of 4, some 3 min left"
    told.started(todo[1])
    told.recorded(todo[1], ended(180.0))
    # The mean of one minute and three, twice.
    assert "tiny: proof: proven in 3 min (2 of 4, some 4 min left)" in capsys.readouterr().err
    told.started(todo[2])
    told.recorded(todo[2], ended(1.0, "failed"))
    assert "FAILED: no (3 of 4, some 2 min left)" in capsys.readouterr().err


def test_durations_for_people() -> None:
    assert [readable(s) for s in (1.26, 45.2, 600, 3.4 * 3600)] == [
        "1.3 s",
        "45 s",
        "10 min",
        "3.4 h",
    ]
    assert between(600, 3600) == "10 min to 60 min"
    assert between(600, 601) == "10 min"
    assert between(None, None) == "unknown"
