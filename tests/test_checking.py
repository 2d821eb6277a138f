"""Many files: the same findings on several cores as on one, in the same order."""

import sys
from pathlib import Path

import pytest

from elmcfg import checking
from elmcfg.checking import Task, check
from elmcfg.sources import Input, find, shipped

TEXTS = [path.read_text() for path in shipped().values()]


@pytest.fixture
def inputs(tmp_path: Path) -> list[Input]:
    for number in range(60):
        text = TEXTS[number % len(TEXTS)]
        broken = text.replace("head_dim: ", "head_dim: 1" if number % 3 else "head_dim: ")
        (tmp_path / f"{number:03}.yaml").write_text(broken)
    return list(find(str(tmp_path)))


def test_a_second_process_changes_nothing(
    inputs: list[Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(check(inputs, Task()))
    monkeypatch.setattr(checking, "_MANY", 10)
    monkeypatch.setattr(checking, "_CHUNK", 7)
    monkeypatch.setattr(checking, "cores", lambda: 2)
    before = "concurrent.futures.process" in sys.modules
    together = list(check(inputs, Task()))
    assert before or "concurrent.futures.process" in sys.modules
    assert together == alone
    assert sum(bool(c.diagnostics) for c in alone) >= 30


def test_nothing_is_kept_of_a_clean_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(shipped()["openelm-270m"].read_text())
    (checked,) = check(list(find(str(tmp_path / "a.yaml"))), Task())
    assert checked.text == ""


def test_files_are_read_one_at_a_time(inputs: list[Input], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Input.read

    def noted(item: Input):  # type: ignore[no-untyped-def]
        read.append(item.shown)
        return original(item)

    monkeypatch.setattr(Input, "read", noted)
    results = check(inputs, Task())
    next(results)
    assert len(read) == 1
