"""What a finding is: where it stands, how bad it is, what it says and how to mend it.

Positions are kept beside the data, never in it: a :class:`Diagnostic` names the place in the tree
by its path of keys and indices (``loc``), and the place in the text by a :class:`Span`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Loc = tuple[str | int, ...]
"""Path into a config: ``("num_query_heads", 7)`` is entry 7 of that list."""


def value_at(values: Any, loc: Loc) -> Any:
    """The value at a path into plain dicts and lists; ``None`` where there is none."""
    for part in loc:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of text. Lines and columns count from 1, columns in characters.

    ``end_column`` is the column after the last character, as in SARIF and in ruff's output.
    """

    line: int
    column: int
    end_line: int
    end_column: int


class Severity(StrEnum):
    """How bad a finding is: only an error makes a config invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, found in plain values: not yet tied to any file.

    Attributes:
        code: ``ELM`` and three digits, a key of :data:`elmcfg.codes.CODES`.
        loc: The entry to point at; ``()`` for the config as a whole.
        message: What is wrong, naming key, layer and value.
        help: How to mend it.
        related: Other entries that take part in the disagreement, each with a short label.
        label: A few words set beside the entry pointed at.
    """

    code: str
    loc: Loc
    message: str
    help: str
    related: tuple[tuple[Loc, str], ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding in a file.

    Attributes:
        path: The file as the user named it, ``<stdin>``, or the name of a shipped variant.
        span: Where it stands in the text; ``None`` where the text has no such place.
        code: ``ELM`` and three digits.
        severity: Error, warning or info.
        loc: The entry in the config.
        message: What is wrong.
        help: How to mend it; empty where there is nothing to say.
        label: A few words set beside the span.
        related: Other places that take part, each with a few words.
    """

    path: str
    span: Span | None
    code: str
    severity: Severity
    loc: Loc
    message: str
    help: str = ""
    label: str = ""
    related: tuple[tuple[Span, str], ...] = ()

    @property
    def pointer(self) -> str:
        """The entry as an RFC 6901 JSON Pointer; the whole config is the empty string."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.loc)

    @property
    def sentence(self) -> str:
        """The message, and in brackets the remedy, if there is one."""
        return f"{self.message} ({self.help})" if self.help else self.message

    @property
    def sort_key(self) -> tuple[str, Span, str, str]:
        """By file, then place, then code; findings without a place come first."""
        return (self.path, self.span or Span(0, 0, 0, 0), self.code, self.message)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them makes the config invalid."""
    return any(d.severity is Severity.ERROR for d in diagnostics)


class InvalidConfigError(ValueError):
    """A config has errors.

    Attributes:
        diagnostics: Every finding, sorted by place; at least one is an error.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        errors = [d for d in self.diagnostics if d.severity is Severity.ERROR]
        lines = []
        for d in errors:
            place = f"{d.path}:{d.span.line}:{d.span.column}" if d.span else d.path
            lines.append(f"{place}: {d.code} {d.sentence}")
        super().__init__("\n".join(lines))
