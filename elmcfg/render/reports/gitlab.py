"""``--format gitlab``: GitLab's Code Quality report, which merge requests show.

Source: docs.gitlab.com, "Code Quality", report format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.render.reports import View
from elmcfg.render.reports.fingerprints import fingerprints
from elmcfg.render.reports.paths import relative

if TYPE_CHECKING:
    from elmcfg.checking import Checked

_SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.INFO: "info"}


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The array of issues."""
    issues: list[dict[str, Any]] = []
    for checked in results:
        path = relative(checked.input.shown)
        issues += [_issue(d, mark, path) for d, mark in fingerprints(checked.diagnostics, path)]
    yield json.dumps(issues, indent=2)


def _issue(d: Diagnostic, fingerprint: str, path: str) -> dict[str, Any]:
    first = {"line": d.span.line, "column": d.span.column} if d.span else {"line": 1, "column": 1}
    last = {"line": d.span.end_line, "column": d.span.end_column} if d.span else first
    return {
        "description": d.sentence,
        "check_name": d.code,
        "fingerprint": fingerprint,
        "severity": _SEVERITIES[d.severity],
        "location": {"path": path, "positions": {"begin": first, "end": last}},
    }
