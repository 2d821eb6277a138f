"""Where the lines of a text begin, as its notation has it."""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import StrEnum

from elmcfg.diagnostics import Span


class Format(StrEnum):
    """The two notations of a config."""

    YAML = "yaml"
    JSON = "json"


# YAML 1.1 (section 5.4) counts three more characters as line breaks than anything else does, and
# PyYAML's marks are in such lines.
_BREAKS = {
    Format.YAML: re.compile("\r\n|[\n\r\x85\u2028\u2029]"),
    Format.JSON: re.compile("\r\n|[\n\r]"),
}


class Lines:
    """The lines of a text; lines and columns count from 1, offsets from 0.

    Attributes:
        text: The text.
        starts: The offset of the first character of each line.
    """

    def __init__(self, text: str, format: Format) -> None:  # noqa: A002
        self.text = text
        self.starts = [0, *(match.end() for match in _BREAKS[format].finditer(text))]

    def __len__(self) -> int:
        """How many lines there are, the last of which may be empty."""
        return len(self.starts)

    def line(self, number: int) -> str:
        """A line without its break; empty past the end."""
        if number > len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n\x85\u2028\u2029")

    def offset(self, line: int, column: int) -> int:
        """The place of a line and a column."""
        return self.starts[line - 1] + column - 1

    def offsets(self, span: Span) -> tuple[int, int]:
        """Where a span begins and ends."""
        return self.offset(span.line, span.column), self.offset(span.end_line, span.end_column)

    def number(self, offset: int) -> int:
        """The line that a place is on."""
        return bisect_right(self.starts, offset)

    def span(self, start: int, end: int) -> Span:
        """The span of characters ``start`` to ``end``."""
        first, last = self.number(start), self.number(end)
        return Span(
            first, start - self.starts[first - 1] + 1, last, end - self.starts[last - 1] + 1
        )
