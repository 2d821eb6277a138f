"""``--format sarif``: SARIF 2.1.0, which GitHub code scanning and many editors read.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.codes import CODES
from elmcfg.diagnostics import Severity, Span
from elmcfg.document.lines import Lines
from elmcfg.render.reports import View
from elmcfg.render.reports.fingerprints import fingerprints
from elmcfg.render.reports.paths import uri

if TYPE_CHECKING:
    from elmcfg.checking import Checked
    from elmcfg.fixes import Fix

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_ROOT = "SRCROOT"


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The log of one run, with the rules that found something."""
    found: list[dict[str, Any]] = []
    for checked in results:
        found += _of_file(checked)
    codes = sorted({result["ruleId"] for result in found})
    for result in found:
        result["ruleIndex"] = codes.index(result["ruleId"])
    run = {
        "tool": {
            "driver": {
                "name": "elmcfg",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": found,
    }
    yield json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str) -> dict[str, Any]:
    page = CODES[code]
    return {
        "id": code,
        "name": "".join(word.title() for word in page.name.split("-")),
        "shortDescription": {"text": page.name.replace("-", " ")},
        "fullDescription": {"text": page.explanation.partition("\n\n")[0]},
        "help": {"text": page.explanation},
        "defaultConfiguration": {"level": _LEVELS[page.severity]},
    }


def _of_file(checked: Checked) -> Iterator[dict[str, Any]]:
    path = checked.input.shown
    reasons = {s.diagnostic: s.reason for s in checked.suppressed}
    lines = Lines(checked.text, checked.format)
    for d, mark in fingerprints([*checked.diagnostics, *reasons], path):
        result: dict[str, Any] = {
            "ruleId": d.code,
            "level": _LEVELS[d.severity],
            "message": {"text": d.sentence},
            "locations": [_location(d.span, path)],
            "partialFingerprints": {"elmcfg/v1": mark},
        }
        if d.related:
            result["relatedLocations"] = [
                {"id": i, "message": {"text": label or "see here"}, **_location(span, path)}
                for i, (span, label) in enumerate(d.related)
            ]
        if d in checked.fixes:
            result["fixes"] = [_fix(checked.fixes[d], lines, path)]
        if d in reasons:
            result["suppressions"] = [
                {"kind": "inSource", "status": "accepted", "justification": reasons[d]}
            ]
        yield result


def _artifact(path: str) -> dict[str, Any]:
    address = uri(path)
    return {"uri": address} if ":" in address else {"uri": address, "uriBaseId": _ROOT}


def _location(span: Span | None, path: str) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(path)}
    if span:
        physical["region"] = _region(span)
    return {"physicalLocation": physical}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _fix(fix: Fix, lines: Lines, path: str) -> dict[str, Any]:
    replacements = [
        {"deletedRegion": _region(lines.span(e.start, e.end)), "insertedContent": {"text": e.text}}
        for e in fix.edits
    ]
    change = {"artifactLocation": _artifact(path), "replacements": replacements}
    return {"description": {"text": fix.title}, "artifactChanges": [change]}
