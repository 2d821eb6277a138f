"""Findings as text: the message, the source lines in a frame with the span underlined, the remedy.

Long lines are cut to the part around the span, since a list of 36 numbers on one line is usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from elmcfg.diagnostics import Diagnostic, Severity, Span
from elmcfg.render.style import Style

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ELLIPSIS = "…"


def diagnostics(
    found: Iterable[Diagnostic], text_of: Callable[[str], str], style: Style, width: int
) -> str:
    """All findings, each in a frame.

    Args:
        found: Sorted findings.
        text_of: The text of a file, by its path.
        style: Colours.
        width: Columns of the terminal.
    """
    return "\n".join(_one(d, text_of(d.path), style, width) for d in found)


def summary(files: int, errors: int, warnings: int, style: Style) -> str:
    """The closing line of ``validate``."""
    checked = f"{files} file{'s' if files != 1 else ''} checked"
    parts = [
        style(f"{count} {noun}{'s' if count != 1 else ''}", "bold", colour)
        for count, noun, colour in ((errors, "error", "red"), (warnings, "warning", "yellow"))
        if count
    ]
    return f"{checked}: {', '.join(parts) or style('no problems', 'bold', 'green')}"


def _one(d: Diagnostic, text: str, style: Style, width: int) -> str:
    colour = _COLOURS[d.severity]
    head = f"{style(f'{d.severity.value}[{d.code}]', 'bold', colour)}: {style(d.message, 'bold')}"
    place = f"{d.path}:{d.span.line}:{d.span.column}" if d.span else d.path
    lines = text.splitlines()
    marks = [(d.span, d.label, colour)] if d.span else []
    marks += [(span, label, "blue") for span, label in d.related]
    marks = [m for m in marks if m[0].line <= len(lines)]
    margin = len(str(max((span.line for span, _, _ in marks), default=1)))
    bar = style("|", "blue")
    out = [head, f"{' ' * margin}{style('-->', 'blue')} {place}"]
    if marks:
        out.append(f"{' ' * margin} {bar}")
    shown: int | None = None
    for span, label, mark_colour in sorted(marks, key=lambda m: m[0]):
        if shown is not None and span.line > shown + 1:
            out.append(style("." * max(margin, 3), "blue"))
        line, mark = _line(lines[span.line - 1], span, label, width - margin - 3)
        number = style(f"{span.line:>{margin}}", "blue")
        if span.line != shown:
            out.append(f"{number} {bar} {line}".rstrip())
        out.append(f"{' ' * margin} {bar} {_coloured(mark, style, mark_colour)}")
        shown = span.line
    if d.help:
        if marks:
            out.append(f"{' ' * margin} {bar}")
        out.append(f"{' ' * margin} {style('=', 'blue')} {style('help', 'bold')}: {d.help}")
    return "\n".join(out) + "\n"


def _coloured(mark: str, style: Style, colour: str) -> str:
    body = mark.lstrip(" ")
    return mark[: len(mark) - len(body)] + style(body, "bold", colour)


def _line(line: str, span: Span, label: str, room: int) -> tuple[str, str]:
    """The part of a source line around a span, and the line of marks below it."""
    line = "".join(c if c.isprintable() else " " for c in line)
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
    marks = " " * start + "^" * max(1, end - start)
    return line, f"{marks} {label}".rstrip()
