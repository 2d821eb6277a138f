"""``--format concise``: one line for each finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """``path:line:column: severity[code] message``."""
    for checked in results:
        for d in checked.diagnostics:
            kind = view.style(f"{d.severity.value}[{d.code}]", "bold", frames.COLOURS[d.severity])
            mark = " [fixable]" if d in checked.fixes and checked.fixes[d].safe else ""
            yield f"{frames.place(d)}: {kind} {frames.printable(d.message)}{mark}"
