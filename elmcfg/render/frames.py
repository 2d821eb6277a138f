"""Findings as text: the message, the source lines in a frame with the span underlined, the remedy.

Long lines are cut to the part around the span, since a list of 36 numbers on one line is usual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from elmcfg.diagnostics import Diagnostic, Severity, Span
from elmcfg.document.lines import Lines
from elmcfg.escaping import printable as printable
from elmcfg.render.style import Style

if TYPE_CHECKING:
    from elmcfg.checking import Tally

COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ELLIPSIS = "…"
_LEAST_ROOM = 40
# A key of three megabytes is named in full by the machine-readable forms alone.
_MOST_OF_A_MESSAGE = 500
# Of a list with a thousand bad entries, nobody reads a thousand frames.
_MOST_ALIKE = 20
_FEW = 3
# The place of a second mark, which takes part in the finding of the first.
_RELATED = "blue"


def diagnostics(
    found: Iterable[Diagnostic],
    lines: Lines,
    style: Style,
    width: int,
    notes: Mapping[Diagnostic, str] | None = None,
) -> str:
    """Findings in one file, each in a frame.

    Args:
        found: Sorted findings.
        lines: The text of the file.
        style: Colours.
        width: Columns of the terminal.
        notes: A last line for some of them.
    """
    notes = notes or {}
    return "\n".join(_one(d, lines, style, width, notes.get(d, "")) for d in found)


def first_of_each_code(
    findings: Iterable[Diagnostic],
) -> tuple[list[Diagnostic], dict[str, int]]:
    """Return the first 20 findings of each code, and how many more there are of the others."""
    counts: Counter[str] = Counter()
    first = []
    for finding in findings:
        counts[finding.code] += 1
        if counts[finding.code] <= _MOST_ALIKE:
            first.append(finding)
    return first, {
        code: count - _MOST_ALIKE for code, count in counts.items() if count > _MOST_ALIKE
    }


def summary(tally: Tally, style: Style) -> str:
    """The closing line of ``validate``."""
    severities = ((tally.errors, "error", "red"), (tally.warnings, "warning", "yellow"))
    parts = [style(counted(n, noun), "bold", colour) for n, noun, colour in severities if n]
    # Of no files there is nothing good to say: what was asked for is not there.
    parts = parts or [style("no problems", "bold", "green") if tally.files else "nothing to say"]
    for number, what in ((tally.fixed, "mended"), (tally.suppressed, "suppressed")):
        if number:
            parts.append(f"{number:,} {what}")
    return f"{counted(tally.files, 'file')} checked: {', '.join(parts)}"


def unchecked(tally: Tally) -> str:
    """Return the line that says which weights were not checked, and why; empty where all were."""
    reasons = list(dict.fromkeys(map(printable, tally.unchecked_weights)))
    more = f", and {len(reasons) - _FEW:,} more" if reasons[_FEW:] else ""
    return f"no weights checked: {'; '.join(reasons[:_FEW])}{more}" if reasons else ""


def remedies(tally: Tally) -> str:
    """How to have findings mended, where some can be."""
    able = ((tally.fixable, "--fix"), (tally.unsafe, "--fix --unsafe-fixes"))
    return "; ".join(f"{n:,} can be mended with {flags}" for n, flags in able if n)


def errors_left(tally: Tally, *, dry: bool) -> str:
    """Return what a run that should fix files says of the errors that it leaves.

    Args:
        tally: The counts of the run.
        dry: Whether only the changes are shown, so that nothing else tells of the errors.
    """
    if not tally.errors or (tally.fixed and not dry):
        return ""
    changed = (
        "" if tally.fixed else "nothing would be changed: " if dry else "nothing was changed: "
    )
    errors = (
        f"{changed}{counted(tally.errors, 'error')} {'is' if tally.errors == 1 else 'are'} left"
    )
    return f"{errors}; run 'elmcfg validate' without --diff to see what" if dry else errors


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def place(found: Diagnostic) -> str:
    """Path, line and column, on one line whatever the path is."""
    path = printable(found.path)
    return f"{path}:{found.span.line}:{found.span.column}" if found.span else path


def _one(d: Diagnostic, lines: Lines, style: Style, width: int, note: str) -> str:
    colour = COLOURS[d.severity]
    kind = style(f"{d.severity.value}[{d.code}]", "bold", colour)
    marks = [(d.span, printable(d.label), colour)] if d.span else []
    marks += [(span, printable(label), _RELATED) for span, label in d.related]
    marks = [m for m in marks if m[0].line <= len(lines)]
    margin = len(str(max((span.line for span, _, _ in marks), default=1)))
    indent, bar = " " * margin, style("|", "blue")
    out = [
        f"{kind}: {style(_cut(printable(d.message)), 'bold')}",
        f"{indent}{style('-->', 'blue')} {place(d)}",
    ]
    if marks:
        out.append(f"{indent} {bar}")
    shown: int | None = None
    for span, label, mark_colour in sorted(marks, key=lambda m: m[0]):
        if shown is not None and span.line > shown + 1:
            out.append(style("." * max(margin, 3), "blue"))
        line, mark = _line(lines.line(span.line), span, label, width - margin - 3)
        if span.line != shown:
            out.append(f"{style(f'{span.line:>{margin}}', 'blue')} {bar} {line}".rstrip())
        out.append(f"{indent} {bar} {_coloured(mark, style, mark_colour)}")
        shown = span.line
    if marks and (d.help or note):
        out.append(f"{indent} {bar}")
    for word, text in (("help", _cut(printable(d.help))), ("fix", _cut(printable(note)))):
        hanging = " " * (margin + len(f" = {word}: "))
        lead = f"{indent} {style('=', 'blue')} {style(word, 'bold')}: "
        for part in wrap(text, max(_LEAST_ROOM, width - len(hanging)), break_on_hyphens=False):
            out.append(lead + part)
            lead = hanging
    return "\n".join(out) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_OF_A_MESSAGE else text[:_MOST_OF_A_MESSAGE] + _ELLIPSIS


def _coloured(mark: str, style: Style, colour: str) -> str:
    body = mark.lstrip(" ")
    return mark[: len(mark) - len(body)] + style(body, "bold", colour)


def _line(line: str, span: Span, label: str, room: int) -> tuple[str, str]:
    """The part of a source line around a span, and the line of marks below it."""
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    end = max(end, start + 1)
    room = max(room, 20)
    if len(line) > room:
        half = max(0, (room - (end - start) - len(label) - 1) // 2)
        furthest = max(
            0, len(line) - room + (len(label) + 1 if end > len(line) - len(label) else 0)
        )
        cut = min(max(0, start - half), furthest)
        kept = line[cut : cut + room]
        if cut:
            kept = _ELLIPSIS + kept[1:]
        if cut + room < len(line):
            kept = kept[:-1] + _ELLIPSIS
        line, start, end = kept, start - cut, min(end - cut, room)
    line = "".join(c if c.isprintable() else " " for c in line)
    marks = " " * display_width(line[:start]) + "^" * max(1, display_width(line[start:end]))
    return line, f"{marks} {label}".rstrip()


def display_width(text: str) -> int:
    """How many columns of a terminal a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in ("W", "F") else 1 for c in text)
