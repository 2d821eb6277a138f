"""``--format json``: one object with the promised keys, always present."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.diagnostics import Diagnostic, Severity, Span
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked
    from elmcfg.fixes import Fix


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The object."""
    files = errors = warnings = 0
    found: list[dict[str, Any]] = []
    suppressed: list[dict[str, Any]] = []
    unchecked: list[dict[str, str]] = []
    for checked in results:
        files += not checked.missing
        errors += checked.count(Severity.ERROR)
        warnings += checked.count(Severity.WARNING)
        found += [_values(d, checked.fixes.get(d)) for d in checked.diagnostics]
        suppressed += [
            {**_values(s.diagnostic, None), "reason": s.reason} for s in checked.suppressed
        ]
        if checked.unchecked_weights:
            reason = checked.unchecked_weights
            unchecked.append({"path": checked.input.shown, "reason": reason})
    yield json.dumps(
        {
            "version": __version__,
            "files": files,
            "errors": errors,
            "warnings": warnings,
            "diagnostics": found,
            "suppressed": suppressed,
            "unchecked_weights": unchecked,
        },
        indent=2,
    )


def _values(d: Diagnostic, fix: Fix | None) -> dict[str, Any]:
    return {
        "path": d.path,
        **_place(d.span),
        "code": d.code,
        "severity": d.severity.value,
        "pointer": d.pointer,
        "message": d.message,
        "help": d.help,
        "related": [{**_place(span), "label": label} for span, label in d.related],
        "fix": {"title": fix.title, "safe": fix.safe} if fix else None,
    }


def _place(span: Span | None) -> dict[str, int | None]:
    return {
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
    }
