"""JSON text to a tree with places.

What is no JSON but can be read in one way alone (NaN, comments, a comma too many or missing, other
quotes, Python's True) is a fault, but reading goes on: one slip does not hide what else is wrong.

``json.loads`` is an order of magnitude faster than anything that keeps places, so a document is
read with it first; :func:`read` runs when a place or a duplicate key is wanted, which is when there
is something to report.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import replace
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, but stable
from typing import Any

from elmcfg.diagnostics import Loc, Span
from elmcfg.document.lines import Format, Lines
from elmcfg.document.tree import (
    MAX_DEPTH,
    MAX_KEYS,
    MAX_VALUES,
    TextProblem,
    Tree,
    UnusableTextError,
    duplicate_key,
    number_too_long,
    too_deep,
    too_many_keys,
    too_many_values,
)

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null", re.ASCII)
# Atomic groups and possessive repetition: what cannot match is given up at once.
_NUMBER = r"(?>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
_NUMBERS = re.compile(rf"\[[ \t\n\r]*+{_NUMBER}(?:[ \t\n\r]*+,[ \t\n\r]*+{_NUMBER})*+[ \t\n\r]*+\]")
_ONE_NUMBER = re.compile(_NUMBER)
_CONSTANT = re.compile(r"-?Infinity|NaN")
_WORD = re.compile(r"[^\s,\]}:\"]+")
_BARE_KEY = re.compile(r"([^\W\d]\w*)(?=\s*:)")
_COMMENT = re.compile(r"(?://|#)[^\r\n]*|/\*(?s:.*?)\*/")
_SINGLE_QUOTED = re.compile(r"'([^'\"\\\r\n]*)'")
_ONE_LINE = re.compile(r'"((?:[^"\\\r\n]|\\.)*+)"')
_PYTHON_WORDS = {"True": True, "False": False, "None": None}
_MOST_SHOWN = 40
# A text with more faults is no JSON.
_MOST_FAULTS = 1_000


class _SuspiciousError(ValueError):
    """A duplicate key or a constant that JSON does not have: the slow reader must look."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _SuspiciousError
    return mapping


def _constant(name: str) -> Any:
    raise _SuspiciousError


def fast_loads(text: str) -> Any:
    """The data alone, at the speed of ``json``.

    Raises:
        ValueError: If there is anything to report; :func:`read` then says what and where.
        RecursionError: If the text is nested too deeply for the interpreter.
    """
    return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)


def read(text: str) -> Tree:
    """Values, places and problems."""
    reader = _Reader(text)
    try:
        reader.document()
    except UnusableTextError as stop:
        reader.tree.problems.append(stop.problem)
        reader.tree.fatal = True
        reader.tree.data = None
    return reader.tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.count = 0
        self.tree = Tree()
        self.lines = Lines(text, Format.JSON).starts

    def span(self, start: int, end: int) -> Span:
        first = bisect_right(self.lines, start)
        last = bisect_right(self.lines, max(start, end - 1))
        return Span(first, start - self.lines[first - 1] + 1, last, end - self.lines[last - 1] + 1)

    def error(self, message: str, remedy: str = "", end: int | None = None) -> UnusableTextError:
        stop = min(self.at + 1, len(self.text)) if end is None else end
        span = self.span(self.at, max(stop, self.at))
        return UnusableTextError(TextProblem("ELM002", span, f"invalid JSON: {message}", remedy))

    def go_on(self, fault: UnusableTextError, loc: Loc = ()) -> None:
        """Note a fault after which reading goes on."""
        if len(self.tree.problems) >= _MOST_FAULTS:
            raise fault
        self.tree.problems.append(replace(fault.problem, loc=loc))

    def skip(self) -> str:
        """Move past white space, and past comments; the next character, or "" at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if not self.text.startswith(("//", "/*", "#"), self.at):
                return self.text[self.at : self.at + 1]
            fault = self.error("comments are not allowed", "remove it, or use a YAML file")
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                raise fault
            self.go_on(fault)
            self.at = comment.end()

    def document(self) -> None:
        self.tree.data = self.value((), 0)
        if self.skip():
            self.go_on(self.error("text after the end of the value", "remove it"))

    def value(self, loc: Loc, depth: int) -> Any:
        char = self.skip()
        start = self.at
        self.count += 1
        if self.count > MAX_VALUES:
            raise too_many_values(self.span(start, start + 1))
        if depth > MAX_DEPTH:
            raise too_deep(self.span(start, start + 1))
        # Reserved now, so that values count in the order of the text.
        self.tree.values[loc] = self.span(start, start)
        if char == "{":
            result: Any = self.mapping(loc, depth)
        elif char == "[":
            result = self.sequence(loc, depth)
        elif char == '"':
            result = self.string()
        else:
            result = self.scalar(loc)
        self.tree.values[loc] = self.span(start, self.at)
        return result

    def mapping(self, loc: Loc, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        keys = 0
        self.at += 1
        if self.skip() == "}":
            self.at += 1
            return result
        while True:
            if self.skip() == "}":
                self.go_on(self.error("comma before }", "remove the comma"))
                self.at += 1
                return result
            start = self.at
            key = self.key()
            key_span = self.span(start, self.at)
            if self.skip() != ":":
                raise self.error(f"a colon is expected after the key {key!r}")
            self.at += 1
            keys += 1
            if keys > MAX_KEYS:
                raise too_many_keys(key_span)
            inner = (*loc, key)
            if key in result:
                duplicate_key(self.tree, key, inner, key_span, result[key])
            self.tree.keys[inner] = key_span
            result[key] = self.value(inner, depth + 1)
            if self.separator("}"):
                return result

    def sequence(self, loc: Loc, depth: int) -> list[Any]:
        numbers = self.numbers(loc)
        if numbers is not None:
            return numbers
        result: list[Any] = []
        self.at += 1
        if self.skip() == "]":
            self.at += 1
            return result
        while True:
            if self.skip() == "]":
                self.go_on(self.error("comma before ]", "remove the comma"))
                self.at += 1
                return result
            result.append(self.value((*loc, len(result)), depth + 1))
            if self.separator("]"):
                return result

    def numbers(self, loc: Loc) -> list[Any] | None:
        """A list of numbers alone, read at once; ``None`` for any other, and any with a fault."""
        match = _NUMBERS.match(self.text, self.at)
        if match is None:
            return None
        try:
            result: list[Any] = json.loads(match[0])
        except ValueError:
            return None
        if self.count + len(result) > MAX_VALUES:
            return None
        self.count += len(result)
        places = _ONE_NUMBER.finditer(self.text, self.at, match.end())
        for index, place in enumerate(places):
            self.tree.values[(*loc, index)] = self.span(place.start(), place.end())
        self.at = match.end()
        return result

    def key(self) -> str:
        """Read a key: in double quotes, or, which is a fault, in single ones or in none."""
        if self.text.startswith('"', self.at):
            return self.string()
        bare = _SINGLE_QUOTED.match(self.text, self.at) or _BARE_KEY.match(self.text, self.at)
        end = bare.end() if bare else self.word_end()
        fault = self.error("a key in double quotes is expected", "", end)
        if bare is None:
            raise fault
        self.go_on(fault)
        self.at = bare.end()
        return bare[1]

    def separator(self, closing: str) -> bool:
        """Move past a comma or the closing bracket; whether it was the bracket."""
        char = self.skip()
        if char in (",", closing) and char:
            self.at += 1
            return char == closing
        wanted = f"a comma or {closing} is expected"
        fault = self.error(f"{wanted}, but the file ends" if not char else wanted)
        begins_key = char == '"' or _BARE_KEY.match(self.text, self.at)
        begins_value = char in '"[{-' or char.isdigit()
        if not char or not (begins_key if closing == "}" else begins_value):
            raise fault
        self.go_on(fault)
        return False

    def string(self) -> str:
        try:
            result, self.at = scanstring(self.text, self.at + 1, True)
        except json.JSONDecodeError as error:
            whole = _ONE_LINE.match(self.text, self.at)
            self.at = min(error.pos, max(len(self.text) - 1, 0))
            fault = self.error(error.msg.lower().removesuffix(" at"), self.escape(error))
            if whole is None:
                raise fault from None
            self.go_on(fault)
            self.at = whole.end()
            return whole[1]
        return str(result)

    @staticmethod
    def escape(error: json.JSONDecodeError) -> str:
        """Return how to write what a string cannot hold as it is."""
        if "escape" in error.msg:
            return "write a backslash twice"
        return r"write it as an escape: \t is a tab" if "control" in error.msg else ""

    def word_end(self) -> int:
        match = _WORD.match(self.text, self.at)
        return match.end() if match else min(self.at + 1, len(self.text))

    def scalar(self, loc: Loc) -> Any:
        start, end = self.at, self.word_end()
        word = self.text[start:end]
        if _SCALAR.fullmatch(word):
            self.at = end
            try:
                return json.loads(word)
            except ValueError:
                fault = number_too_long(self.span(start, end))
                if not loc:
                    raise fault from None
                self.go_on(fault, loc)
                return None
        if start >= len(self.text):
            raise self.error("a value is expected, but the file ends")
        quotation = _SINGLE_QUOTED.match(self.text, start)
        end = quotation.end() if quotation else end
        fault = self.not_a_value(word, end)
        if not loc or word[0] in ",:]}":
            raise fault
        self.go_on(fault, loc)
        self.at = end
        if quotation:
            return quotation[1]
        return float(word) if _CONSTANT.fullmatch(word) else _PYTHON_WORDS.get(word)

    def not_a_value(self, word: str, end: int) -> UnusableTextError:
        """Return the fault of a word that is no number and none of JSON's own."""
        if _CONSTANT.fullmatch(word):
            remedy = "write a finite number; only programs with Python's json, as mlx-lm, read this"
            return self.error(f"{word} is not a JSON value", remedy, end)
        remedy = f"write {json.dumps(_PYTHON_WORDS[word])}" if word in _PYTHON_WORDS else ""
        if word.startswith("'"):
            remedy = "use double quotes"
        shown = word if len(word) <= _MOST_SHOWN else word[:_MOST_SHOWN] + "..."
        return self.error(f"{shown!r} is not a value", remedy, end)
