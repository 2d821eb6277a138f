"""The YAML that variant files are written in, read at the speed of a regular expression.

Nearly every variant is a flat mapping of plain keys to numbers, words and lists of numbers. For
those few forms this reader says the same as :mod:`elmcfg.document.yaml_reader`, an order of
magnitude faster and without importing PyYAML. For anything else, and for anything there is to
report, it says ``None``, and the full reader looks. It keeps no places: the full reader finds
them when a finding needs one. A property test holds the two to the same values.
"""

from __future__ import annotations

import json
import re
from typing import Any

# PyYAML's printable characters, without the tab and the line breaks other than \n.
_UNUSUAL = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff]")
_INT = r"-?(?:0|[1-9][0-9]{0,18})"
_FLOAT = r"-?(?:0|[1-9][0-9]{0,18})\.[0-9]{1,20}(?:[eE][-+][0-9]{1,3})?"
# Atomic groups and possessive repetition: what cannot match is given up at once.
_NUMBER = rf"(?>{_FLOAT}|{_INT})"
_WORDS = r"[A-Za-z][A-Za-z0-9_.,;/()+-]*(?: [A-Za-z0-9_.,;/()+-]+)*"
_QUOTED = r"\"[^\"\\\n]*\"|'[^'\n]*'"
_LIST = rf"\[[ ]*(?:\n[ ]+)?{_NUMBER}(?:[ ]*,[ ]*(?:\n[ ]+)?{_NUMBER})*+[ ]*(?:\n[ ]+)?\]"
# The rest of a line after a value, and the empty lines and comments after that.
_EMPTY = r"(?:[ ]*+(?:\#[^\n]*+)?\n)*+"
_REST = rf"(?:[ ]+\#[^\n]*+)?[ ]*+(?:\n{_EMPTY}(?:[ ]*+(?:\#[^\n]*+)?\Z)?|\Z)"
_SCALAR = rf"(?P<int>{_INT})|(?P<float>{_FLOAT})|(?P<text>{_WORDS})|(?P<quoted>{_QUOTED})"
_START = re.compile(rf"{_EMPTY}(?:---[ ]*\n{_EMPTY})?")
_ENTRY = re.compile(
    rf"([A-Za-z_][A-Za-z0-9_]*):(?:"
    rf"[ ]+(?:{_SCALAR}){_REST}"
    rf"|[ ]+(?P<flow>{_LIST}){_REST}"
    rf"|[ ]*\n[ ]+(?P<below>{_LIST}){_REST}"
    rf"|[ ]*\n(?P<items>(?P<dash>[ ]*)-[ ]+{_NUMBER}[ ]*(?:\n(?P=dash)-[ ]+{_NUMBER}[ ]*)*+){_REST}"
    r"|[ ]+>-[ ]*\n(?P<folded>(?P<margin>[ ]+)[^ \n]+(?:[ ][^ \n]+)*"
    r"(?:\n(?P=margin)[^ \n]+(?:[ ][^ \n]+)*+)*+)(?:\n[ ]*)*(?:\n(?=[^ ])|\Z)"
    rf"|{_REST}(?P<block>(?=[ ]))"
    r")"
)
_INNER = re.compile(rf"(?P<margin>[ ]+)([A-Za-z_][A-Za-z0-9_]*):[ ]+(?:{_SCALAR}){_REST}")
# Words that YAML 1.1 reads as a boolean or as nothing; the full reader remarks on some of them.
_CONSTANTS = {"true": True, "false": False, "null": None}
_TRAPS = frozenset(
    spelling
    for word in ("yes", "no", "on", "off", "true", "false", "null")
    for spelling in (word, word.title(), word.upper())
) - set(_CONSTANTS)


class _NotPlainError(Exception):
    """The full reader must look."""


def read(text: str) -> dict[str, Any] | None:
    """The mapping, or ``None`` where the text is not of the plain kind."""
    if _UNUSUAL.search(text):
        return None
    try:
        return _mapping(text)
    except _NotPlainError:
        return None


def _mapping(text: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    start = _START.match(text)
    at = start.end() if start else 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None or entry[1] in data:
            raise _NotPlainError
        at = entry.end()
        kind = entry.lastgroup
        if kind in ("flow", "below"):
            data[entry[1]] = json.loads(entry[kind])
        elif kind == "items":
            dash = entry["dash"] + "-"
            items = entry["items"].removeprefix(dash).replace("\n" + dash, ",")
            data[entry[1]] = json.loads(f"[{items}]")
        elif kind == "folded":
            data[entry[1]] = entry["folded"].strip(" ").replace("\n" + entry["margin"], " ")
        elif kind == "block":
            data[entry[1]], at = _block(text, at)
        else:
            data[entry[1]] = _scalar(entry)
    if not data:
        raise _NotPlainError
    return data


def _block(text: str, at: int) -> tuple[dict[str, Any], int]:
    """A mapping one level down, whose values are scalars, and where it ends."""
    data: dict[str, Any] = {}
    margin = None
    while entry := _INNER.match(text, at):
        if entry[2] in data or margin not in (None, entry["margin"]):
            raise _NotPlainError
        margin = entry["margin"]
        data[entry[2]] = _scalar(entry)
        at = entry.end()
    if not data:
        raise _NotPlainError
    return data, at


def _scalar(entry: re.Match[str]) -> Any:
    kind = entry.lastgroup
    if kind == "int":
        return int(entry["int"])
    if kind == "float":
        return float(entry["float"])
    if kind == "quoted":
        return entry["quoted"][1:-1]
    word = entry["text"]
    if word in _TRAPS:
        raise _NotPlainError
    return _CONSTANTS.get(word, word)
