"""Every value's place in the text is where the value stands, in YAML and in JSON."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from texts import slice_of

from elmcfg.diagnostics import Loc, Span
from elmcfg.document import dump_yaml, parse
from elmcfg.document.json_reader import read as read_json

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts | st.floats(-1e9, 1e9)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
mappings = st.dictionaries(texts, trees, min_size=1, max_size=5)


def entries(value: Any, loc: Loc = ()) -> list[tuple[Loc, Any]]:
    inner: list[tuple[Loc, Any]] = [(loc, value)] if loc else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            inner += entries(item, (*loc, key))
    return inner


@given(mappings, st.sampled_from([None, 1, "\t"]))
def test_json(values: dict[str, Any], indent: int | str | None) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    document = parse(text, "x.json")
    assert document.data == values
    assert document.diagnostics == []
    assert read_json(text).data == values
    for loc, value in entries(values):
        span = document.span(loc)
        assert span is not None
        assert json.loads(slice_of(text, span)) == value
        if isinstance(loc[-1], str):
            key = document.span(loc, of_key=True)
            assert key is not None
            assert json.loads(slice_of(text, key)) == loc[-1]


@given(mappings)
def test_yaml(values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values, allow_unicode=True, default_flow_style=True, width=10_000)
    document = parse(text, "x.yaml")
    if document.diagnostics:  # base 60 and octal are reported, and else read the same
        assert {d.code for d in document.diagnostics} == {"ELM007"}
    assert document.data == values
    for loc, value in entries(values):
        span = document.span(loc)
        assert span is not None
        assert yaml.safe_load(slice_of(text, span)) == value


@given(mappings)
def test_yaml_reads_as_pyyaml_does(values: dict[str, Any]) -> None:
    text = dump_yaml(values)
    assert parse(text, "x.yaml").data == yaml.safe_load(text)


@given(st.text(max_size=60), st.sampled_from(["x.yaml", "x.json", "x"]))
def test_any_text_is_read_or_refused_with_a_reason(text: str, path: str) -> None:
    document = parse(text, path)
    assert document.data is not None or document.diagnostics


@given(st.text(st.sampled_from("{}[]\",:01.eE-+ntrufalsNIy\\ \n'/*#"), max_size=40))
def test_the_json_reader_accepts_what_json_accepts(text: str) -> None:
    try:
        data = json.loads(text)
    except ValueError:
        assert read_json(text).problems
    else:
        tree = read_json(text)
        # Python's json reads NaN and Infinity, which are not JSON.
        assert tree.data == data or tree.problems


@pytest.mark.parametrize(
    ("text", "loc", "where"),
    [
        ("a:\n  - 1\n  - 22\n", ("a", 1), (3, 5, 3, 7)),
        ("a:\n  b: x\n  c: y\nd: 1\n", ("a",), (2, 3, 3, 7)),
        ("a: [1,\n  2]\n", ("a",), (1, 4, 2, 5)),
        ('é: "x"\n', ("é",), (1, 4, 1, 7)),
        ("a: &x [1]\nb: *x\n", ("b",), (2, 4, 2, 6)),
    ],
)
def test_places_in_yaml(text: str, loc: Loc, where: tuple[int, int, int, int]) -> None:
    span = parse(text, "x.yaml").span(loc)
    assert span == Span(*where)


@pytest.mark.parametrize("text", ['{"a": 1, "b": {"c": 1, "c": 2}}', "b: {c: 1, x: 2, c: 3}"])
def test_a_duplicate_key_is_found_at_its_second_place(text: str) -> None:
    (d,) = parse(text, "x").diagnostics
    assert (d.code, d.loc) == ("ELM003", ("b", "c"))
    assert d.span is not None
    assert d.span.column == text.rindex("c") + (0 if text[0] == "{" else 1)


def test_an_alias_bomb_is_defused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    document = parse("\n".join(lines), "x.yaml")
    assert [d.code for d in document.diagnostics] == ["ELM004"]


def test_merge_keys_are_followed_and_own_keys_win() -> None:
    text = "base: &b {x: 1, y: 2}\nz:\n  <<: *b\n  x: 3\n"
    document = parse(text, "x.yaml")
    assert document.diagnostics == []
    assert document.data == yaml.safe_load(text)
    assert document.span(("z", "y")) == Span(3, 3, 3, 5)


def test_tags_are_never_executed(tmp_path: Any) -> None:
    target = tmp_path / "made"
    text = f'a: !!python/object/apply:os.mkdir ["{target}"]\n'
    assert [d.code for d in parse(text, "x.yaml").diagnostics] == ["ELM007"]
    assert not target.exists()


def test_a_merge_key_in_quotes_is_a_key() -> None:
    assert parse("'<<': 1\na: &x {b: 2}\nc:\n  <<: *x\n", "x.yaml").data == {
        "<<": 1,
        "a": {"b": 2},
        "c": {"b": 2},
    }
