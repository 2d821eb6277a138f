"""The journal: nothing lost by any end of its writers, and each result counted once."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from elmcfg.study.claims import Claims
from elmcfg.study.journal import Journal, JournalError

# Says a number on standard output once append() has returned for it.
WRITER = """
import sys
from pathlib import Path
from elmcfg.study.journal import Journal
journal, who = Journal(Path(sys.argv[1])), sys.argv[2]
for n in range(10**6):
    journal.append([{"key": f"{who}-{n}", "status": "done", "result": "x" * (n % 9000)}])
    print(n, flush=True)
"""


def record(key: str, status: str = "done", **more: Any) -> dict[str, Any]:
    return {"key": key, "status": status, **more}


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.records() == {}
    journal.append([record("a", result=1), record("b", "failed")])
    assert Journal(tmp_path / "j").records() == journal.records()
    assert journal.final("a") == record("a", result=1)
    assert journal.final("b") is None
    lines = (tmp_path / "j").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b"]


def test_a_result_counts_once_and_the_first_final_one_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for status, value in [("failed", 1), ("done", 2), ("done", 3), ("failed", 4)]:
        journal.append([record("a", status, result=value)])
    assert journal.records() == {"a": record("a", "done", result=2)}
    assert journal.attempts("a") == 4


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_no_record_and_spoils_none(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    Journal(path).append([record("a"), record("b")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    journal = Journal(path)
    kept = {"a"} if cut <= len(whole) // 2 else set()
    assert set(journal.records()) == kept
    journal.append([record("c")])
    assert set(Journal(path).records()) == {*kept, "c"}
    assert Journal(path).damaged == 0


def test_a_line_that_is_no_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "j"
    good = json.dumps(record("a")).encode() + b"\n"
    path.write_bytes(b'\xff\x00\n[1], {"key": "x"\n{"key": 3}\n' + good + b"1, 2\n")
    journal = Journal(path)
    assert set(journal.records()) == {"a"}
    assert journal.damaged == 4


def test_a_record_counts_however_its_line_is_written(tmp_path: Path) -> None:
    lines = ['{"status": "done", "key": "a"}', '{ "key" : "b\\u0061", "status" : "failed" }']
    (tmp_path / "j").write_text("\n".join(lines) + "\n")
    journal = Journal(tmp_path / "j")
    assert journal.records() == {"a": record("a"), "ba": record("ba", "failed")}


def test_a_record_spoiled_in_its_middle_is_to_be_done_again(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"key":"a","status":"done","result":{"parame}\n')
    journal = Journal(tmp_path / "j")
    assert journal.final("a") is None
    assert journal.damaged == 1
    journal.append([record("a", result=2)])
    assert journal.records() == {"a": record("a", result=2)}


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([record("a")])
    before, write = (tmp_path / "j").read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, text: write(handle, text[: len(text) // 2]))
    with pytest.raises(JournalError, match="make room and go on"):
        journal.append([record("b")])
    assert (tmp_path / "j").read_bytes() == before


def test_what_is_wrong_with_the_disk_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(JournalError, match="Input/output error; see to that and go on with"):
        Journal(tmp_path / "j").append([record("a")])


def start(path: Path, who: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), who], stdout=subprocess.PIPE)


def test_two_writers_killed_at_many_moments_lose_nothing(tmp_path: Path) -> None:
    path, chance, promised = tmp_path / "j", random.Random(1), set[str]()
    for turn in range(10):
        writers = {f"{turn}{who}": start(path, f"{turn}{who}") for who in "xy"}
        for process in writers.values():
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(chance.random() / 20)
        for who, process in writers.items():
            os.kill(process.pid, signal.SIGKILL)
            said = process.communicate()[0].splitlines()
            # The first word was read above; the last may be torn, as the pipe is.
            promised |= {f"{who}-0"} | {f"{who}-{int(word)}" for word in said[:-1]}
    journal = Journal(path)
    assert len(promised) > 20
    assert promised <= set(journal.records())
    assert journal.damaged == 0


def test_a_claim_is_of_one_run_and_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from elmcfg.study.claims import Claims\n"
        "print(Claims(Path(sys.argv[1])).take('ab' * 16), flush=True); sys.stdin.read()"
    )
    path = tmp_path / "claims"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"True\n"
    mine = Claims(path)
    assert not mine.take("ab" * 16)
    assert mine.take("cd" * 16)
    other.kill()
    other.communicate()
    assert mine.take("ab" * 16)
    mine.close()


def test_a_disk_without_locks_is_said_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    claims = Claims(tmp_path / "claims")
    with pytest.raises(OSError, match="claims: cannot be locked: No locks available; keep"):
        claims.take("ab" * 16)
    claims.close()
