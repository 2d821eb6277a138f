"""Random and mutated files, and what fuzzing has found."""

import json

import pytest
from hardness import check
from hypothesis import example, given
from hypothesis import strategies as st

from elmcfg.formats import hub
from elmcfg.linter import load
from elmcfg.sources import shipped

YAML, JSON = b"\xff", b"\0"
SEEDS = [YAML + shipped()[name].read_bytes() for name in ("tiny", "openelm-270m")]
SEEDS += [JSON + hub.dump(load(name)).encode() for name in ("tiny", "openelm-270m")]
PIECES = st.sampled_from(
    rb"""[ ] { } : , - " ' # | ? & * &a *a << !!int >- 0 -1 1e-6 010 1:30 .inf NaN no""".split()
) | st.sampled_from(
    [
        *(
            b"\\ud800",
            b"\n",
            b"\r\n",
            b"\r",
            b"\t",
            b" ",
            b": ",
            b"- ",
            b"<<: ",
            b"---\n",
            b"...\n",
            b"\0",
        ),
        *(b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"\xf0\x9f\x92\xa9"),
        *(b" # elmcfg: ignore[ELM2] x", b"num_query_heads: ", b"num_transformer_layers: 2\n"),
        *(b"schedule:\n  decimals: 1\n", b'"name": "x",', b"&x [1, 2]", b"*x"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file with a few stretches cut out, doubled, moved or replaced."""
    raw = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(1, len(raw)))
        end = min(len(raw), start + draw(st.sampled_from([0, 1, 3, 20, 200])))
        piece = draw(st.one_of(st.just(b""), PIECES, st.just(raw[start:end] * 2)))
        raw = raw[:start] + piece + raw[end:]
    return raw


@given(st.sampled_from([YAML, JSON]), st.binary(max_size=60) | st.lists(PIECES).map(b"".join))
def test_any_bytes(notation: bytes, raw: bytes) -> None:
    check(notation + raw)


@given(mutated())
def test_a_good_file_mutated(raw: bytes) -> None:
    check(raw)


@given(st.text(st.characters(codec="utf-8")))
@example("\ud800")
def test_any_text_as_a_value_of_json(text: str) -> None:
    check(JSON + json.dumps({text: text, "name": text}).encode())


@pytest.mark.parametrize(
    "raw",
    [
        # libyaml says that the text ends on a line that it does not have.
        pytest.param(b"\xffa: 1\nactivation_fn_n", id="end"),
        pytest.param(b"\xff---", id="nothing-at-the-end"),
        # A finding in a list that a later one of the same name has replaced.
        pytest.param(b"\xffnum_kv_heads: [1, 020]\nnum_kv_heads: [1]\n", id="replaced"),
        pytest.param(b"\xffnum_kv_heads: [04]\nnum_kv_heads: [4]\n", id="replaced-by-itself"),
        # A merge key in quotes is a key.
        pytest.param(b"\xff'<<': null\n", id="quoted-merge"),
    ],
)
def test_what_was_found(raw: bytes) -> None:
    check(raw)
