"""Shell completion: what the line of docs/how-to/shell-completion.md brings."""

import os
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


@pytest.mark.parametrize(
    ("name", "before", "after", "wanted"),
    [
        ("bash", "", "complete -p elmcfg", "-F _elmcfg_completion elmcfg"),
        ("zsh", "autoload -Uz compinit && compinit -D", "print $_comps[elmcfg]", "_elmcfg"),
        ("fish", "", 'complete -C "elmcfg validate openelm-4"', "openelm-450m"),
    ],
)
def test_each_shell_takes_its_documented_line(
    name: str, before: str, after: str, wanted: str, tmp_path: Path
) -> None:
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"no {name}")
    (line,) = re.findall(rf"```{name}\n(.*)\n```", PAGE.read_text())
    (tmp_path / "elmcfg").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m elmcfg "$@"\n')
    (tmp_path / "elmcfg").chmod(0o755)
    done = subprocess.run(
        [shell, "-c", "\n".join([before, line, after])],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert wanted in done.stdout, done.stderr
