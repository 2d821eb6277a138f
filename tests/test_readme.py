"""The README does what it says: its commands are run, its Python too, its figures computed."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Run

from elmcfg.costs import cost
from elmcfg.linter import load
from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)


def matches(wanted: str, got: str) -> bool:
    """Line by line; ``...`` stands for anything, a line of its own for any lines."""
    pattern = re.escape(wanted.strip()).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, got.strip(), re.DOTALL) is not None


def test_there_is_an_example_of_every_command() -> None:
    assert [shlex.split(command)[1] for command, _ in EXAMPLES] == [
        *("validate", "scale", "scale", "show", "diff", "build-and-run")
    ]


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[c for c, _ in EXAMPLES])
def test_examples(run: Run, monkeypatch: pytest.MonkeyPatch, command: str, output: str) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "elmcfg"
    done = run(*arguments)
    assert matches(output, done.out), done.out


def test_python(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"# (271527168|True)$", code, re.MULTILINE)
    assert [printed[0], printed[-1]] == promised


def test_the_table_of_variants() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9_-]+)` \| .* \| ([\d,]+) \| ([\d,]+) \|$", README, re.MULTILINE
    )
    figures = {
        name: (
            f"{cost(load(name)).parameters.total:,}",
            f"{cost(load(name)).kv_cache_bytes_per_token:,}",
        )
        for name in shipped()
    }
    assert {name: tuple(rest) for name, *rest in rows} == figures


def test_the_picture_is_of_what_the_command_prints(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    printed = run("validate", "docs/examples/broken.yaml").out
    for theme in ("light", "dark"):
        picture = (ROOT / "docs" / "images" / f"diagnostic-{theme}.svg").read_text()
        shown = re.sub(r"<[^>]*>|&#160;|\s", "", picture.partition('-matrix">')[2])
        shown = shown.replace("&gt;", ">").replace("&quot;", '"').replace("&#x27;", "'")
        for line in printed.splitlines():
            assert re.sub(r"\s", "", line) in shown, "run 'make generated' to draw it again"
