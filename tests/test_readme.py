"""The README's figures are computed, and its picture is of what is printed; test_docs runs it."""

import re
from pathlib import Path

import pytest
from conftest import Run

from elmcfg.costs import cost
from elmcfg.linter import load
from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
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
