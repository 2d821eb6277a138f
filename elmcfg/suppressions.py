"""Findings that a file itself says to leave out, in comments that give the reason.

In YAML::

    vocab_size: 50257  # elmcfg: ignore[ELM409] the tokenizer is GPT-2's, padded at run time

    # elmcfg: ignore[ELM301] our trainer reads the lists alone
    num_query_heads:
      - 12

A comment at the end of a line covers that line, and the whole entry that begins there; one on a
line of its own covers the next entry. ``ignore-file`` covers the whole file. Codes may be several,
with commas, or the beginnings of codes. JSON has no comments: there, ``--ignore`` and
``--per-file-ignores`` serve.

A comment that leaves nothing out (``ELM008``), gives no reason or names no code (``ELM009``) is
itself reported. A file that cannot be read at all is always reported.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from elmcfg.codes import ALWAYS_REPORTED, CODES
from elmcfg.diagnostics import Diagnostic, Span
from elmcfg.document import Document, Format
from elmcfg.settings import Settings, is_code

_COMMENT = re.compile(
    r"\#[ \t]*elmcfg:[ \t]*(?P<word>[\w-]*)[ \t]*(?:\[(?P<codes>[^\]]*)\])?(?P<reason>.*)"
)
# Those after suppress nothing: no config needs so many.
_MOST_COMMENTS = 1_000
# The beginning of a line that is neither empty nor a comment.
_ENTRY = re.compile(r"^(?=[ \t]*+[^\s#])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a comment leaves out.

    Attributes:
        diagnostic: The finding.
        reason: What the comment gives as the reason.
    """

    diagnostic: Diagnostic
    reason: str


@dataclass(slots=True)
class _Comment:
    span: Span
    codes: tuple[str, ...]
    reason: str
    fault: str
    lines: range | None  # None: the whole file
    used: set[str] = field(default_factory=set)

    def covers(self, found: Diagnostic) -> str | None:
        """The code of this comment that leaves a finding out."""
        return next((code for code in self.codes if found.code.startswith(code)), None)


def apply(
    document: Document,
    found: Iterable[Diagnostic],
    settings: Settings,
    *,
    with_weights: bool = False,
) -> tuple[list[Diagnostic], list[Suppressed]]:
    """What is left of the findings, with those about the comments themselves, and what is not.

    Args:
        document: The file.
        found: Its findings that the settings want reported.
        settings: Say which codes a comment could have had to leave out.
        with_weights: Whether the file was held against a checkpoint.
    """
    if document.data is None or document.format is not Format.YAML:
        return list(found), []
    if "elmcfg:" not in document.text:
        return list(found), []
    comments = list(_comments(document))
    everywhere = [c for c in comments if c.lines is None]
    by_line: dict[int, list[_Comment]] = {}
    for comment in comments:
        for line in comment.lines or ():
            by_line.setdefault(line, []).append(comment)
    kept, suppressed = [], []
    for diagnostic in found:
        span = diagnostic.span
        lines = range(span.line, span.end_line + 1) if span else ()
        near = everywhere + [c for line in lines for c in by_line.get(line, ())]
        if diagnostic.code in ALWAYS_REPORTED:
            near = []
        by = next(((c, code) for c in near if (code := c.covers(diagnostic))), None)
        if by is None:
            kept.append(diagnostic)
        else:
            by[0].used.add(by[1])
            suppressed.append(Suppressed(diagnostic, by[0].reason))
    looked_for = {
        code
        for code in CODES
        if settings.reports(code)
        and (settings.targets or not code.startswith("ELM5"))
        and (with_weights or not code.startswith("ELM6"))
    }
    remarks = [d for c in comments for d in _remarks(c, document.path, looked_for)]
    kept += [d for d in remarks if settings.reports(d.code)]
    return kept, suppressed


def _comments(document: Document) -> Iterator[_Comment]:
    tree = document.tree
    # Scalars in the order of the text: inside a quoted or a block scalar, # begins no comment.
    scalars = sorted(
        span
        for loc, span in tree.values.items()
        if not isinstance(document.value(loc), dict | list)
    )
    ends: dict[int, int] = {}
    for loc, key in tree.keys.items():
        ends[key.line] = max(ends.get(key.line, 0), tree.values.get(loc, key).end_line)
    below = 0
    for match in islice(_COMMENT.finditer(document.text), _MOST_COMMENTS):
        number = document.lines.number(match.start())
        column = match.start() - document.lines.offset(number, 1) + 1
        before = document.lines.line(number)[: column - 1]
        if _inside(scalars, number, column):
            continue
        names = [name.strip().upper() for name in (match["codes"] or "").split(",")]
        whole = match["word"] == "ignore-file"
        first = number
        if not before.strip():
            if number >= below:  # else the comment before has found it already
                entry = _ENTRY.search(document.text, match.end())
                below = document.lines.number(entry.start()) if entry else len(document.lines) + 1
            first = below
        yield _Comment(
            span=Span(number, column, number, column + len(match[0].rstrip())),
            codes=tuple(name for name in names if is_code(name)),
            reason=match["reason"].strip(" \t:-–—"),  # noqa: RUF001
            fault=_fault(match["word"], match["codes"], names),
            lines=None if whole else range(first, ends.get(first, first) + 1),
        )


def _inside(scalars: list[Span], line: int, column: int) -> bool:
    at = bisect_right(scalars, Span(line, column, line + 1, 0)) - 1
    if at < 0:
        return False
    span = scalars[at]
    return (span.line, span.column) <= (line, column) < (span.end_line, span.end_column)


def _fault(word: str, codes: str | None, names: list[str]) -> str:
    if word not in ("ignore", "ignore-file"):
        return f"{word!r} is neither ignore nor ignore-file"
    if codes is None or not codes.strip():
        return "it names no code in brackets"
    wrong = [name for name in names if not is_code(name)]
    return f"there is no code {wrong[0]!r}" if wrong else ""


def _remarks(comment: _Comment, path: str, looked_for: set[str]) -> Iterator[Diagnostic]:
    def remark(code: str, message: str, remedy: str, label: str) -> Diagnostic:
        return Diagnostic(
            path, comment.span, code, CODES[code].severity, (), message, remedy, label
        )

    if comment.fault:
        yield remark(
            "ELM009",
            f"this comment is not understood: {comment.fault}",
            "write it as '# elmcfg: ignore[ELM402] reason'",
            "",
        )
    elif not comment.reason:
        yield remark(
            "ELM009",
            "this suppression gives no reason",
            "say after the bracket why the finding is no problem here",
            "reason?",
        )
    for code in comment.codes:
        could = all(known in looked_for for known in CODES if known.startswith(code))
        if code not in comment.used and could:
            yield remark(
                "ELM008",
                f"unused suppression: there is no {code} to leave out here",
                "remove it",
                "leaves nothing out",
            )
