"""The README's figures are computed, and its picture is of what is printed; test_docs runs it."""

import re
from pathlib import Path

import pytest
from conftest import Run

from elmcfg.costs import cost
from elmcfg.linter import load
from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
README = (ROOT / "README.md").read_text()


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


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="'make bench' writes docs/benchmarks.md")
def test_what_is_measured_is_in_the_benchmarks() -> None:
    rows = re.findall(
        r"^\| (.*) \| (.*) \| (.*) \| ([\d.,]+x) \| `(benchmarks/\w+\.py)` \|$",
        README,
        re.MULTILINE,
    )
    assert len(rows) == README.count("| `benchmarks/")
    assert rows
    _, *sections = re.split(r"^`(benchmarks/\w+\.py)`$", BENCHMARKS.read_text(), flags=re.MULTILINE)
    tables = dict(zip(sections[::2], sections[1::2], strict=True))
    for *cells, script in rows:
        assert f"\n| {' | '.join(cells)} | " in tables[script], "copy the row again"


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
