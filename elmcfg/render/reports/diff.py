"""``--diff``: what ``--fix`` would change, as a unified diff that ``git apply`` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING

from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_NO_END = "\n\\ No newline at end of file"


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """One diff for each file that would change."""
    for checked in results:
        if checked.before is None:
            continue
        path = frames.printable(checked.input.shown)
        for line in unified_diff(_lines(checked.before), _lines(checked.text), path, path):
            colours = [_COLOURS[line[0]]] if line[0] in _COLOURS else []
            body = line.rstrip("\r\n")
            end = line[len(body) :].removesuffix("\n")
            shown = view.style(body, *colours) + end
            yield shown if line.endswith("\n") else shown + _NO_END


def _lines(text: str) -> list[str]:
    """Lines with their ends; a carriage return is part of a line, as it is to ``git``."""
    return [line for line in re.split(r"(?<=\n)", text) if line]
