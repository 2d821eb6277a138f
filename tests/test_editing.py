"""Edits by span: the text says the changed values, and all else in it stays."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from elmcfg.diagnostics import Loc
from elmcfg.document import Document, parse
from elmcfg.document.editing import (
    Append,
    Change,
    Remove,
    Rename,
    Replace,
    Truncate,
    apply,
    changed,
    edits,
)

KEYS = st.text("abcxyz_", min_size=1, max_size=4)
SCALARS = st.integers(-99, 99) | st.booleans() | st.floats(-9, 9) | st.text("ab é,#:", max_size=4)
LISTS = st.lists(SCALARS, min_size=1, max_size=6)
VALUES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    KEYS, SCALARS | LISTS | st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3), min_size=1
)
LAYOUTS = ["json", "json-indented", "yaml", "yaml-flow", "yaml-block", "yaml-crlf"]


def laid_out(values: dict[str, Any], layout: str) -> Document:
    if layout.startswith("json"):
        indent = 2 if layout == "json-indented" else None
        return parse(json.dumps(values, indent=indent), "x.json")
    flow = {"yaml": None, "yaml-flow": True}.get(layout, False)
    text = yaml.safe_dump(values, default_flow_style=flow, width=30, allow_unicode=True)
    return parse(text.replace("\n", "\r\n") if layout == "yaml-crlf" else text, "x.yaml")


def edited(document: Document, change: Change) -> Document:
    made = edits(document, change)
    assert made
    return parse(apply(document.text, made), document.path)


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], Change]:
    values = draw(VALUES)
    key = draw(st.sampled_from(sorted(values)))
    loc: Loc = (key,)
    inner = values[key]
    kinds = ["rename", "remove"]
    if isinstance(inner, list):
        kinds += ["truncate", "append"]
        entry = draw(st.integers(0, len(inner) - 1))
    elif isinstance(inner, dict):
        loc = (key, draw(st.sampled_from(sorted(inner))))
    kind = draw(st.sampled_from([*kinds, "replace"]))
    if kind == "rename":
        new = draw(KEYS)
        holder = inner if len(loc) == 2 else values
        assume(new not in holder)
        return values, Rename(loc, new)
    if kind == "remove":
        assume(len(inner) > 1 if len(loc) == 2 else len(values) > 1)
        return values, Remove(loc)
    if kind == "truncate":
        return values, Truncate(loc, draw(st.integers(1, len(inner))))
    if kind == "append":
        return values, Append(loc, tuple(draw(LISTS)))
    value: Any = draw(st.integers(-9, 9) | st.booleans() | st.floats(-9, 9) | st.just("no"))
    return values, Replace((*loc, entry) if isinstance(inner, list) else loc, value)


@given(changes(), st.sampled_from(LAYOUTS))
def test_the_text_says_the_changed_values(case: tuple[dict[str, Any], Change], layout: str) -> None:
    values, change = case
    document = laid_out(values, layout)
    assume(document.data == values)
    after = edited(document, change)
    assert after.data == changed(values, [change])


COMMENTED = """\
# top
a: 1      # one
b: [1, 2, # two
    3, 4]   # four
c:  # a list
  - 5  # five
  - 6  # six
  # between
  - 7  # seven
d: {x: 1, y: 2, z: 3}
e: end  # last
"""


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (Replace(("a",), 2), "a: 1      # one", "a: 2      # one"),
        (Replace(("a",), 1e-6), "a: 1 ", "a: 1.0e-6 "),
        (Replace(("e",), "no"), "e: end  # last", 'e: "no"  # last'),
        (Replace(("b", 2), 9), "    3, 4]", "    9, 4]"),
        (Rename(("c",), "long_name"), "c:  # a list", "long_name:  # a list"),
        (Remove(("a",)), "a: 1      # one\n", ""),
        (Remove(("d", "x")), "{x: 1, y: 2", "{y: 2"),
        (Remove(("d", "z")), "y: 2, z: 3}", "y: 2}"),
        (Remove(("e",)), "e: end  # last\n", ""),
        (Truncate(("b",), 3), "    3, 4]", "    3]"),
        (Truncate(("c",), 2), "\n  # between\n  - 7  # seven", ""),
        (Append(("b",), (5, 6)), "3, 4]", "3, 4, 5, 6]"),
        (Append(("c",), (8,)), "  - 7  # seven\n", "  - 7  # seven\n  - 8\n"),
    ],
)
def test_comments_and_layout_stay(change: Change, old: str, new: str) -> None:
    document = parse(COMMENTED, "x.yaml")
    assert COMMENTED.count(old) == 1
    assert apply(COMMENTED, edits(document, change)) == COMMENTED.replace(old, new)


def test_json_with_an_entry_to_a_line_gets_another_line() -> None:
    text = '{\n  "a": [\n    1,\n    2\n  ],\n  "b": 3\n}\n'
    document = parse(text, "x.json")
    longer = apply(text, edits(document, Append(("a",), (7, 8))))
    assert longer == text.replace("    2\n", "    2,\n    7,\n    8\n")
    assert apply(text, edits(document, Remove(("b",)))) == '{\n  "a": [\n    1,\n    2\n  ]\n}\n'


def test_what_an_alias_repeats_is_not_edited_in_place() -> None:
    document = parse("a: &x [1, 2]\nb: *x\n", "x.yaml")
    assert edits(document, Replace(("b", 0), 3)) == []


def test_what_came_by_a_merge_key_is_not_edited_as_if_it_stood_here() -> None:
    document = parse("base: &x {k: 1}\nown:\n  <<: *x\n  j: 2\n", "x.yaml")
    after = parse(apply(document.text, edits(document, Replace(("own", "k"), 5))), "x.yaml")
    assert after.data != changed(document.data, [Replace(("own", "k"), 5)])
