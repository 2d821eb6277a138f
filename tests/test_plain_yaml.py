"""The quick reader of plain YAML: whatever it accepts, the full reader reads alike."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from elmcfg.document import dump_yaml, plain_yaml, yaml_reader
from elmcfg.sources import shipped
from elmcfg.strategies import configs

KEYS = st.sampled_from(["a", "num_kv_heads", "b_2", "_c", "name", "on", "null"])
SCALARS = st.sampled_from(
    [
        *("1", "-1", "0", "-0", "010", "1_0", "0x1f", "0b1", "1:30", "+1"),
        *("9999999999999999999", "9999999999999999999999999", "1.5", "-0.0", "1.", ".5", "1e3"),
        *("1e-6", "1.0e-6", "1.0e+6", "1.0e6", "1.0e999", ".inf", "true", "True", "yes", "no"),
        *("on", "null", "~", "", "Null", "swish", "rms_norm", "a b", "a: b", "a # b", "a#b"),
        *("OpenELM-270M, v1 (x)", "arXiv 2404.14619; x/y", "a  b", "-", "- 1", "'a'", "'a''b'"),
        *('"a"', '"a\\nb"', '"a', "'", "[]", "{}", "[1, 2]", "[1,2 ,3]", "[1, [2]]"),
        *("[1, x]", "[1.5, -2]", "[010]", "[1e3]", "[1,]", "[,]", "[1 2]", "&x 1", "*x"),
        *("!!int 1", "[1,\n  2]", "[1,\n2]", "\n  [1, 2]", "\n  - 1\n  - 2", "\n- 1\n- -2"),
        *("\n  - 1\n - 2", "\n  x: 1", "\n  x: 1\n  y: true", "\n  x: 1\n   y: 2"),
        *("\n  x: 1\n  x: 2", ">-\n  a\n  b", ">-\n  a\n\n  b", ">-\n  a\n   b", ">\n  a"),
        *("|\n  a", ">-\n a \n b", ">-\n", "a\n  b", "1\n  2", "\n  - x: 1", "é", "\u2028"),
        *("a\tb", "\ta", "2001-01-01", "=", "<<", "%", "@a", "`a", "\n\n  - 1\n\n  - 2"),
        *("\n  - 1 # c\n  - 2"),
    ]
)
COMMENTS = st.sampled_from(
    ["", " ", "  # c", " #c", "#c", " # é", "\n", "\n# c", "\n  # c", "\n\n"]
)
LINES = st.builds(lambda k, v, c: f"{k}: {v}{c}\n", KEYS, SCALARS, COMMENTS)
STARTS = st.sampled_from(["", "---\n", "# c\n", "\n", "  # c\n---\n", "%YAML 1.1\n---\n", " "])
ENDS = st.sampled_from(["", "...\n", "---\n", "# end", "  ", "x"])


def agrees(text: str) -> bool:
    """Whether the quick reader took the text, which must then say the same to the full one."""
    quick = plain_yaml.read(text)
    if quick is None:
        return False
    full = yaml_reader.read(text)
    assert not full.problems
    assert repr(full.data) == repr(quick)  # repr tells 1 from 1.0 and from True, and -0.0 from 0.0
    return True


@given(STARTS, st.lists(LINES, max_size=4), ENDS)
def test_what_it_accepts_the_full_reader_reads_alike(
    start: str, lines: list[str], end: str
) -> None:
    agrees(start + "".join(lines) + end)


@given(st.text(st.sampled_from("ab:-#[]{}1.0e, \n'\">|&*!?%~"), max_size=40))
def test_nor_does_any_other_text_deceive_it(text: str) -> None:
    agrees("a: 1\n" + text)


@given(configs(), st.booleans())
def test_configs_as_they_are_dumped_are_plain(values: dict[str, object], block: bool) -> None:
    values.pop("schedule", None)  # dumped with braces, which it leaves to the full reader
    text = yaml.safe_dump(values, default_flow_style=False) if block else dump_yaml(values)
    assert agrees(text)


@pytest.mark.parametrize("name", shipped())
def test_shipped_variants_are_plain(name: str) -> None:
    assert agrees(shipped()[name].read_text())


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: 010\n",
        "a: 1:30\n",
        "a: yes\n",
        "a:\n  x: 1\n   y: 2\n",
        "a: 1\n  b: 2\n",
        "a: !x 1\n",
        "a: 1\n---\nb: 2\n",
    ],
)
def test_what_there_is_to_report_it_leaves_alone(text: str) -> None:
    assert plain_yaml.read(text) is None
