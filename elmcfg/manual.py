"""The manual of all rules, generated from their pages.

``docs/rules.md`` is this module's output, committed so that it can be read on the web;
``python -m elmcfg.manual`` writes it again.
"""

from __future__ import annotations

from pathlib import Path

from elmcfg.codes import CODES, FAMILIES
from elmcfg.document import write_atomically
from elmcfg.rules.page import Page, tidy

PATH = Path(__file__).parent.parent / "docs" / "rules.md"
"""Where the manual stands in a checkout."""

_HEAD = """\
# Rules

<!-- Written by `python -m elmcfg.manual` from the pages in elmcfg/rules/. Change those. -->

Every finding of `elmcfg validate` has a code. `elmcfg explain ELM203` prints the page below in the
terminal. A code, once released, keeps its meaning. An **error** makes a config invalid; a
**warning** is very likely not what was meant; an **info** is worth knowing. None of the released
OpenELM configs gets any of them.
"""


def text() -> str:
    """The manual as Markdown."""
    parts = [_HEAD, _contents()]
    for digit, title in FAMILIES.items():
        parts.append(f"## {title} (ELM{digit}xx)\n")
        parts += [_section(page) for code, page in CODES.items() if code[3] == digit]
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> str:
    rows = [
        f"| [{page.code}](#{page.code.lower()}-{page.name}) | {page.name} | {page.severity.value} |"
        for page in CODES.values()
    ]
    return "\n".join(["| code | name | severity |", "| --- | --- | --- |", *rows, ""])


def _section(page: Page) -> str:
    parts = [
        f"### {page.code} {page.name}",
        f"*{page.severity.value.capitalize()}.* {tidy(page.what)}",
    ]
    parts.append(tidy(page.why))
    for label, example in (("Bad", page.bad), ("Good", page.good)):
        if example:
            parts.append(f"{label}:\n\n```yaml\n{tidy(example)}\n```")
    if page.source:
        parts.append(f"Source: {tidy(page.source)}.")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    write_atomically(PATH, text(), overwrite=True)
