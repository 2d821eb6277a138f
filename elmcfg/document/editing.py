"""Changes of values to edits of the text that says them.

A dump of the changed values would lose comments, order and layout. So a change is turned into
replacements of the few characters that it concerns, and whoever applies them reads the text again
and compares it with :func:`changed`: an edit that does not say exactly what it should is dropped.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from elmcfg.diagnostics import Loc, Span
from elmcfg.document.lines import Format
from elmcfg.document.reading import Document


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters ``start`` to ``end`` of a text, counted from 0, replaced."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """A scalar becomes another."""

    loc: Loc
    value: Any


@dataclass(frozen=True, slots=True)
class Rename:
    """A key becomes another, with its value and at its place."""

    loc: Loc
    key: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A key goes, with its value."""

    loc: Loc


@dataclass(frozen=True, slots=True)
class Truncate:
    """A list keeps its first entries; at least one."""

    loc: Loc
    length: int


@dataclass(frozen=True, slots=True)
class Append:
    """A list that is not empty gets more entries, each a scalar."""

    loc: Loc
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """A mapping of JSON gets a key with a scalar, behind another key of its own."""

    loc: Loc
    value: Any
    after: Loc


Change = Replace | Rename | Remove | Truncate | Append | Insert


def changed(data: Any, changes: Iterable[Change]) -> Any:
    """A copy of the values with the changes made."""
    root = copy.deepcopy(data)
    for change in changes:
        holder, last = _at(root, change.loc[:-1]), change.loc[-1]
        if isinstance(change, Replace | Insert):
            holder[last] = change.value
        elif isinstance(change, Rename):
            items = [(change.key if key == last else key, value) for key, value in holder.items()]
            holder.clear()
            holder.update(items)
        elif isinstance(change, Remove):
            del holder[last]
        elif isinstance(change, Truncate):
            del holder[last][change.length :]
        else:
            holder[last].extend(change.values)
    return root


def edits(document: Document, change: Change) -> list[Edit]:
    """The edits that make a change; none where the text has no place for it."""
    tree = document.tree
    if isinstance(change, Replace):
        span = tree.values.get(change.loc)
        return [_edit(document, span, scalar(change.value, document.format))] if span else []
    if isinstance(change, Rename):
        span = tree.keys.get(change.loc)
        return [_edit(document, span, _renamed(document, span, change.key))] if span else []
    if isinstance(change, Remove):
        key, value = tree.keys.get(change.loc), tree.values.get(change.loc)
        return [removal(document, key, value)] if key and value else []
    if isinstance(change, Truncate):
        return _truncation(document, change)
    if isinstance(change, Insert):
        return _insertion(document, change)
    return _addition(document, change)


def apply(text: str, made: Iterable[Edit]) -> str:
    """The text with edits made, which must not overlap."""
    pieces, at = [], 0
    for edit in sorted(made):
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, text[at:]])


def scalar(value: Any, notation: Format) -> str:
    """A number, a string, a boolean or nothing, as both notations have it."""
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, float):
        return text
    text = re.sub(r"e([-+])0", r"e\1", text)
    # YAML 1.1 reads 1e-6 as text.
    return text.replace("e", ".0e") if notation is Format.YAML and "." not in text else text


def removal(document: Document, key: Span, value: Span) -> Edit:
    """The edit that takes an entry of a mapping away: its whole lines where it has them."""
    text = document.text
    start = document.lines.offset(key.line, key.column)
    end = document.lines.offset(value.end_line, value.end_column)
    before = text[document.lines.offset(key.line, 1) : start]
    after = re.compile(r"[ \t]*,?[ \t]*(?:\#[^\r\n]*)?").match(text, end)
    rest = after.end() if after else end
    comma = "," in text[end:rest].partition("#")[0]
    last_of_json = document.format is Format.JSON and not comma
    if not before.strip() and text[rest : rest + 1] in ("", "\r", "\n"):
        if not last_of_json:
            stop = rest + (2 if text.startswith("\r\n", rest) else 1)
            return Edit(document.lines.offset(key.line, 1), min(stop, len(text)), "")
        start = document.lines.offset(key.line, 1)
    if comma:
        following = re.compile(r"[ \t]*,[ \t]*").match(text, end)
        return Edit(start, following.end() if following else end, "")
    preceding = re.search(r",\s*$", text[:start])
    return Edit(preceding.start() if preceding else start, end, "")


def _at(node: Any, loc: Loc) -> Any:
    for part in loc:
        node = node[part]
    return node


def _edit(document: Document, span: Span, text: str) -> Edit:
    start = document.lines.offset(span.line, span.column)
    return Edit(start, document.lines.offset(span.end_line, span.end_column), text)


def _renamed(document: Document, span: Span, key: str) -> str:
    """The key in the quotes that the old one had."""
    first = document.lines.line(span.line)[span.column - 1 : span.column]
    return f"{first}{key}{first}" if first in ('"', "'") else key


def _truncation(document: Document, change: Truncate) -> list[Edit]:
    tree, old = document.tree, len(document.value(change.loc))
    kept = tree.values.get((*change.loc, change.length - 1))
    last = tree.values.get((*change.loc, old - 1))
    if kept is None or last is None:
        return []
    start = document.lines.offset(kept.end_line, kept.end_column)
    end = document.lines.offset(last.end_line, last.end_column)
    if _dash(document, last) is not None:
        # Entries with a line each go with their lines, and so with their comments.
        start = document.lines.offset(kept.end_line, 1) + len(document.lines.line(kept.end_line))
        end = document.lines.offset(last.end_line, 1) + len(document.lines.line(last.end_line))
    return [Edit(start, end, "")]


def _addition(document: Document, change: Append) -> list[Edit]:
    last = document.tree.values.get((*change.loc, len(document.value(change.loc)) - 1))
    if last is None:
        return []
    texts = [scalar(value, document.format) for value in change.values]
    end = document.lines.offset(last.end_line, last.end_column)
    dash = _dash(document, last)
    newline = "\r\n" if "\r\n" in document.text else "\n"
    if dash is not None:
        line_end = document.lines.offset(last.end_line, 1) + len(document.lines.line(last.end_line))
        return [Edit(line_end, line_end, "".join(f"{newline}{dash}{text}" for text in texts))]
    before = document.lines.line(last.line)[: last.column - 1]
    own_line = not before.strip()  # one entry to a line, as JSON is often laid out
    separator = f",{newline}{before}" if own_line and document.format is Format.JSON else ", "
    return [Edit(end, end, "".join(separator + text for text in texts))]


def _insertion(document: Document, change: Insert) -> list[Edit]:
    key, value = document.tree.keys.get(change.after), document.tree.values.get(change.after)
    if key is None or value is None or document.format is not Format.JSON:
        return []
    before = document.lines.line(key.line)[: key.column - 1]
    newline = "\r\n" if "\r\n" in document.text else "\n"
    separator = ", " if before.strip() else f",{newline}{before}"
    name = json.dumps(str(change.loc[-1]))
    end = document.lines.offset(value.end_line, value.end_column)
    return [Edit(end, end, f"{separator}{name}: {scalar(change.value, document.format)}")]


def _dash(document: Document, span: Span) -> str | None:
    """Indentation and dash before an entry of a block list; ``None`` in a list with brackets."""
    before = document.lines.line(span.line)[: span.column - 1]
    return before if re.fullmatch(r"[ ]*-[ ]+", before) else None
