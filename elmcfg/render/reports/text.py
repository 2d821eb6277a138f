"""``--format text``: findings in frames of source lines, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from elmcfg.document.lines import Lines
from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The frames of each file, as it comes."""
    for checked in results:
        if not checked.diagnostics:
            continue
        found, omitted = frames.first_of_each_code(checked.diagnostics)
        notes = {
            d: fix.title + ("" if fix.safe else " (with --unsafe-fixes)")
            for d, fix in checked.fixes.items()
        }
        lines = Lines(checked.text, checked.format)
        yield frames.diagnostics(found, lines, view.style, view.width, notes)
        path = frames.printable(checked.input.shown)
        for code, count in omitted.items():
            yield f"{path}: and {count:,} more of {code}; --format concise shows them all\n"
