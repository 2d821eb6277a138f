"""``--format text``: findings in frames of source lines, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from elmcfg.document.lines import Lines
from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked

# Of a list with a thousand bad entries, nobody reads a thousand frames.
_MOST_ALIKE = 20


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The frames of each file, as it comes."""
    for checked in results:
        if not checked.diagnostics:
            continue
        seen = Counter(d.code for d in checked.diagnostics)
        shown: Counter[str] = Counter()
        found = []
        for d in checked.diagnostics:
            shown[d.code] += 1
            if shown[d.code] <= _MOST_ALIKE:
                found.append(d)
        notes = {
            d: fix.title + ("" if fix.safe else " (with --unsafe-fixes)")
            for d, fix in checked.fixes.items()
        }
        lines = Lines(checked.text, checked.format)
        yield frames.diagnostics(found, lines, view.style, view.width, notes)
        for code, count in seen.items():
            if count > _MOST_ALIKE:
                path = frames.printable(checked.input.shown)
                yield (
                    f"{path}: and {count - _MOST_ALIKE:,} more of {code}; "
                    "--format concise shows them all\n"
                )
