"""``--format junit``: one test case for each file, as most CI servers read it.

Source: the Jenkins xunit-plugin's ``junit-10.xsd``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.render import frames
from elmcfg.render.reports import View

if TYPE_CHECKING:
    from elmcfg.checking import Checked


def report(results: Iterable[Checked], view: View) -> Iterator[str]:
    """The test suite. Warnings and remarks are output of a test that passes."""
    cases = [_case(checked) for checked in results]
    failures = sum(failed for _, failed in cases)
    head = f'name="elmcfg" tests="{len(cases)}" failures="{failures}" errors="0"'
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<testsuites {head}>\n  <testsuite {head}>"
    yield from (text for text, _ in cases)
    yield "  </testsuite>\n</testsuites>"


def _case(checked: Checked) -> tuple[str, bool]:
    errors = [d for d in checked.diagnostics if d.severity is Severity.ERROR]
    others = [d for d in checked.diagnostics if d.severity is not Severity.ERROR]
    lines = [f'    <testcase name={_quoted(checked.input.shown)} classname="elmcfg.validate">']
    if errors:
        what = f"{frames.counted(len(errors), 'error')}: {errors[0].message}"
        lines.append(f'      <failure type="{errors[0].code}" message={_quoted(what)}>')
        lines += [_text(d) for d in errors]
        lines.append("      </failure>")
    if others:
        lines += ["      <system-out>", *(_text(d) for d in others), "      </system-out>"]
    lines.append("    </testcase>")
    return "\n".join(lines), bool(errors)


def _text(d: Diagnostic) -> str:
    return escape(frames.printable(f"{frames.place(d)}: {d.code} {d.sentence}"))


def _quoted(text: str) -> str:
    return quoteattr(frames.printable(text))
