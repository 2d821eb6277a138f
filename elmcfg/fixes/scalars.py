"""Single values: numbers that YAML reads as text, text that it reads as a number, and the like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Replace, scalar
from elmcfg.fixes.fix import Fix, of_changes
from elmcfg.quick import fits

_MOST_SHOWN = 40
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_NOTHING = object()
# A point before three digits may separate thousands; digits after a zero may be octal.
_AMBIGUOUS = re.compile(r"[-+]?(?:\d{1,3}(?:\.\d{3})+|0\d+)")


def other_type(document: Document, found: Diagnostic) -> Fix | None:
    """Write a value of the wrong type as the one reading that the key accepts.

    Safe: the same digits or word, as what it can only have meant. Digits that can be read in two
    ways are not: 32.000 is 32 to programs, and to many people 32 thousand; "010" is 10 or 8.
    """
    old = document.value(found.loc)
    value = next((v for v in _readings(document, found, old) if fits(found.loc, v)), _NOTHING)
    if value is _NOTHING:
        return None
    written = old if isinstance(old, str) else _source(document, found)
    return of_changes(
        document,
        _title(document, found, value),
        [Replace(found.loc, value)],
        safe=isinstance(value, str) or not _AMBIGUOUS.fullmatch(written.strip()),
    )


def leading_zero(document: Document, found: Diagnostic) -> Fix | None:
    """Write ``010``, which is 8, as 10.

    Unsafe: it is another number to every program that reads YAML 1.1.
    """
    if document.tree.values.get(found.loc) != found.span:
        return None  # a later entry of the same name has replaced this one
    written = _source(document, found)
    if not written.lstrip("+-").isdigit() or isinstance(document.value(found.loc), str):
        return None
    value = int(written)
    if not fits(found.loc, value):
        return None
    return of_changes(
        document, _title(document, found, value), [Replace(found.loc, value)], safe=False
    )


def _readings(document: Document, found: Diagnostic, old: Any) -> Iterator[Any]:
    if isinstance(old, str):
        if old.strip().lower() in _WORDS:
            yield _WORDS[old.strip().lower()]
        for kind in (int, float):
            try:
                yield kind(old)
            except ValueError:
                continue
    elif isinstance(old, float) and old.is_integer():
        yield int(old)
    if document.format is Format.YAML and isinstance(old, bool | int | float):
        # As text, what stands there is kept letter by letter: no, 010, 1:30.
        yield _source(document, found)


def _source(document: Document, found: Diagnostic) -> str:
    span = found.span
    if span is None:
        return ""
    start = document.lines.offset(span.line, span.column)
    return document.text[start : document.lines.offset(span.end_line, span.end_column)]


def _title(document: Document, found: Diagnostic, value: Any) -> str:
    text = scalar(value, document.format)
    return f"write {_name(found)} as {text if len(text) <= _MOST_SHOWN else 'text'}"


def _name(found: Diagnostic) -> str:
    name = ".".join(str(part) for part in found.loc if isinstance(part, str))
    layers = [part for part in found.loc if isinstance(part, int)]
    return f"{name} of layer {layers[0]}" if layers else name
