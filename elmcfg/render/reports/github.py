"""``--format github``: workflow commands, which GitHub Actions shows on the changed lines.

Source: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from elmcfg.codes import CODES
from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """One command for each finding."""
    for checked in results:
        for d in checked.diagnostics:
            yield _command(d)


def _command(d: Diagnostic) -> str:
    properties = {"title": f"{d.code} {CODES[d.code].name}", "file": d.path}
    if d.span:
        properties["line"] = str(d.span.line)
        properties["endLine"] = str(d.span.end_line)
        if d.span.line == d.span.end_line:  # columns are shown within one line only
            properties["col"] = str(d.span.column)
            properties["endColumn"] = str(d.span.end_column)
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{_COMMANDS[d.severity]} {listed}::{_data(f'{frames.place(d)}: {d.sentence}')}"


def _data(text: str) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return frames.printable(text)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
