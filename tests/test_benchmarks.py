"""What benchmarks hand to the table: ratios of paired runs."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import measuring
import run


def test_runs_are_compared_in_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows"
    monkeypatch.setenv(measuring.VARIABLE, str(file))
    measuring.compared("a", "b", [1.0, 4.0, 3.0], [2.0, 2.0, 2.0])
    measuring.compared("c", "d", 300.0, [1.0, 2.0, 3.0], "files per second")
    first, second = measuring.rows(file)
    assert first.cells == ("a", "b", "time, ours / theirs", "1.5x", "0.5x", "2x", "3")
    assert second.cells == ("c", "d", "files per second", "150x", "100x", "300x", "3")
    assert run.table([first]).splitlines()[-1] == (
        "| a | b | time, ours / theirs | 1.5x | 0.5x | 2x | 3 |"
    )


def test_a_script_by_itself_notes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(measuring.VARIABLE, raising=False)
    measuring.compared("a", "b", 1.0, 2.0)


def test_the_scripts_are_found() -> None:
    assert {"convert", "forward", "proof", "search", "shapes", "validate"} <= set(run.scripts())
    assert "gpu" not in run.scripts()
