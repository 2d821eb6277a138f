"""Shell completion: what the line of docs/how-to/shell-completion.md brings."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "shell-completion.md"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("bui", ["plain,build-and-run"]),
        ("validate openelm-4", ["plain,openelm-450m"]),
        ("show configs/", ["file,configs/"]),
        ("convert tin", ["plain,tiny"]),
        ("diff tiny uni", ["plain,uniform-270m"]),
        ("build-and-run --dtype bf", ["plain,bfloat16"]),
        ("validate --format sa", ["plain,sarif"]),
    ],
)
def test_what_is_offered(words: str, wanted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ELMCFG_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"elmcfg {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    done = subprocess.run(
        [sys.executable, "-m", "elmcfg"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == wanted


def test_bash_takes_the_documented_line(tmp_path: Path) -> None:
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no bash")
    line = re.findall(r"`(eval .*bash_source.*?)`", PAGE.read_text())
    (tmp_path / "elmcfg").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m elmcfg "$@"\n')
    (tmp_path / "elmcfg").chmod(0o755)
    done = subprocess.run(
        [shell, "-c", f'PATH="{tmp_path}:$PATH"; {line[0]}; complete -p elmcfg'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "-F _elmcfg_completion elmcfg" in done.stdout, done.stderr
