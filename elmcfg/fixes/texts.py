"""Faults of the text that change no value: slips of JSON, comments that suppress nothing."""

from __future__ import annotations

import re

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Edit
from elmcfg.fixes.fix import Fix

_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_QUOTE = "'"
_QUOTED = re.compile(r"'[^'\"\\\r\n]*'")
_KEY = re.compile(r'"[^"\\\r\n]*"\s*:')
# Where a comma cannot go, or would be part of a comment.
_NO_COMMA = re.compile(r"[,{:]\Z|(?://|#|\*/).*\Z")
# So much white space may stand before a colon.
_FEW = 20
_CODES = re.compile(r"\[([^\]]*)\]")


def json_slip(document: Document, found: Diagnostic) -> Fix | None:
    """Write as JSON has it what can be read in one way alone.

    That is a comma before a closing bracket, or none before a key; Python's ``True``, ``False`` and
    ``None``; single quotes around text and keys, and keys without quotes.
    """
    span = found.span
    if document.format is not Format.JSON or span is None:
        return None
    start = document.lines.offset(span.line, span.column)
    end = document.lines.offset(span.end_line, span.end_column)
    word, before = document.text[start:end], document.text[:start].rstrip()
    after = document.text[end : end + _FEW].lstrip()
    if word in _PYTHON_WORDS:
        new = _PYTHON_WORDS[word]
        return Fix(f"write {new}", True, (Edit(start, end, new),))
    if _QUOTED.fullmatch(word) or (word.isidentifier() and after.startswith(":")):
        return Fix("write double quotes", True, (Edit(start, end, f'"{word.strip(_QUOTE)}"'),))
    if word in ("}", "]") and before.endswith(","):
        return Fix("remove the last comma", True, (Edit(len(before) - 1, len(before), ""),))
    if _KEY.match(document.text, start) and not _NO_COMMA.search(before):
        return Fix("write a comma", True, (Edit(len(before), len(before), ","),))
    return None


def unused_comment(document: Document, found: Diagnostic) -> Fix | None:
    """Remove the code from the comment, and the comment with its last code."""
    span = found.span
    if span is None:
        return None
    start = document.lines.offset(span.line, span.column)
    end = document.lines.offset(span.end_line, span.end_column)
    names = _CODES.search(document.text, start, end)
    unused = re.search(r"\bELM\d*", found.message)
    if names is None or unused is None:
        return None
    left = [name.strip() for name in names[1].split(",") if name.strip().upper() != unused[0]]
    line_start = document.lines.offset(span.line, 1)
    before = document.text[line_start:start]
    if left:
        edit = Edit(names.start(1), names.end(1), ", ".join(left))
    elif before.strip():
        edit = Edit(line_start + len(before.rstrip()), end, "")
    else:
        line_break = re.compile(r"\r\n|[\r\n]|").match(document.text, end)
        edit = Edit(line_start, line_break.end() if line_break else end, "")
    return Fix(f"remove the unused suppression of {unused[0]}", True, (edit,))
