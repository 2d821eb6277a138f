"""The documentation does what it says: every example of the README and of docs/ is run.

A page is run from top to bottom in an empty folder, as a reader would follow it:

- ``console`` blocks hold commands after ``$`` and what they print; ``...`` stands for anything;
- ``sh`` blocks are commands that must succeed;
- ``python`` blocks share one namespace; ``# text`` after a ``print`` is what it prints;
- a block with ``title="NAME"`` is the file of that name.

What is not run says so, and why, in a comment on the line above: ``<!-- not run: why -->``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import elmcfg

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "docs" / "reference"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
RUNNABLE = {"console", "sh", "python"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    place: str
    language: str
    title: str | None
    text: str
    why_not: str | None


def blocks(path: Path) -> list[Block]:
    page = path.read_text()
    return [
        Block(
            f"{path.relative_to(ROOT)}:{page[: found.start('language')].count(chr(10)) + 1}",
            found["language"],
            found["title"],
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            found["why"],
        )
        for found in BLOCK.finditer(page)
    ]


def has_examples(path: Path) -> bool:
    return any(block.language in RUNNABLE for block in blocks(path))


def matches(wanted: str, got: str) -> bool:
    """Line by line; ``...`` stands for any text in a line, and alone for any lines, or none."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in wanted.strip().splitlines()
    )
    return (
        re.fullmatch(pattern, "".join(f"{line}\n" for line in got.strip().splitlines())) is not None
    )


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``elmcfg`` is the package under test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "elmcfg"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m elmcfg "$@"\n')
    program.chmod(0o755)
    home = str(Path(elmcfg.__file__).parent.parent)
    kept = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH")))),
        "COLUMNS": "100",
    }


def in_bash(script: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run_console(block: Block, folder: Path, environment: dict[str, str]) -> None:
    first, *pairs = re.split(r"^\$ ((?:.*\\\n)*.*)\n", block.text, flags=re.MULTILINE)
    assert not first, f"{block.place}: begins without a command"
    for command, wanted in zip(pairs[::2], pairs[1::2], strict=True):
        _, got = in_bash(command, folder, environment)
        assert "Traceback" not in got
        assert matches(wanted, got), f"{block.place}: $ {command}\n{got}"


def check_printed(block: Block, printed: str) -> None:
    """Each promised line is printed, in the order of the promises."""
    lines = iter(printed.splitlines())
    for wanted in re.findall(r"^ *print\(.*\)  # (.*)$", block.text, re.MULTILINE):
        assert any(matches(wanted, line) for line in lines), f"{block.place}: {wanted}\n{printed}"


@pytest.mark.parametrize(
    "path", [*filter(has_examples, PAGES)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_examples(
    path: Path,
    shell: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    if path.name == "README.md":  # its reader stands in a clone
        shutil.copytree(ROOT / "variants", folder / "variants")
        shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks(path):
        if block.why_not:
            continue
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "console":
            run_console(block, folder, shell)
        elif block.language == "sh":
            code, output = in_bash(f"set -e\n{block.text}", folder, shell)
            assert code == 0, f"{block.place}:\n{output}"
        elif block.language == "python":
            capsys.readouterr()
            exec(compile(block.text, block.place, "exec"), names)
            check_printed(block, capsys.readouterr().out)


def test_every_fence_is_understood() -> None:
    """A fence that the runner does not see would be an example that nobody runs."""
    for path in PAGES:
        fences = len(re.findall(r"^ *```", path.read_text(), re.MULTILINE))
        assert fences == 2 * len(blocks(path)), path


def reference() -> dict[str, str]:
    """The pages that docs/reference.py would write now."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: make() for name, make in module.PAGES.items()}


def test_the_reference_is_in_step() -> None:
    committed = {path.name: path.read_text() for path in GENERATED.glob("*.md")}
    assert committed == reference(), "run 'make generated' to write it again"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    text = BLOCK.sub("", path.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    for target in targets:
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_every_page_is_in_the_navigation() -> None:
    site = (ROOT / "zensical.toml").read_text()
    for path in PAGES[1:]:
        assert f'"{path.relative_to(ROOT / "docs").as_posix()}"' in site, path
