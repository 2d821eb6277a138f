"""Fixes: what they change, what they leave, when they are safe, and that they end."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from elmcfg import fixes
from elmcfg.document import Document, dump_yaml, parse, write_back
from elmcfg.linter import diagnose
from elmcfg.strategies import Breakage, broken_configs

HAND_EDITED = """\
# after an evening of editing
model_type: openelm
num_transformer_layers: 4   # cut down from 6
model_dim: 256
head_dim: "64"
vocab_size: 1024

num_gqa_groups: 4
qkv_multipliers: [0.5, 1.0]
num_query_heads:  # heads
  - 4
  - 4   # second
  - 4
  - 4
  - 8   # tail
  - 8
num_kv_heads: [1,
   1, 1, # these
   1]

fnn_multipliers: [0.5, 1.0, 2.0, 4.0]
rms_norm_eps: 1e-6
name: no
name: no
"""
MENDED = """\
# after an evening of editing
model_type: openelm
num_transformer_layers: 4   # cut down from 6
model_dim: 256
head_dim: 64
vocab_size: 1024

num_gqa_groups: 4
qkv_multipliers: [0.5, 1.0]
num_query_heads:  # heads
  - 4
  - 4   # second
  - 4
  - 4
num_kv_heads: [1,
   1, 1, # these
   1]

ffn_multipliers: [0.5, 1.0, 2.0, 4.0]
rms_norm_eps: 1.0e-6
name: "no"
"""


def mended(text: str, path: str = "x.yaml", *, unsafe: bool = False) -> str:
    document, _ = fixes.mend(parse(text, path), diagnose, unsafe=unsafe)
    return document.text


def test_safe_fixes_keep_comments_order_and_layout() -> None:
    assert mended(HAND_EDITED) == MENDED


def test_line_ends_stay() -> None:
    crlf = HAND_EDITED.replace("\n", "\r\n")
    assert mended(crlf) == MENDED.replace("\n", "\r\n")


BASE = """\
num_transformer_layers: 4
model_dim: 256
head_dim: 64
vocab_size: 1024
num_gqa_groups: 4
qkv_multipliers: [0.5, 1.0]
ffn_multipliers: [0.5, 4.0]
"""
STALE = BASE + "num_query_heads: [4, 4, 8, 8]\nnum_kv_heads: [1, 1, 2, 2]\n"


def test_a_stale_list_is_made_again_only_when_that_is_asked_for() -> None:
    assert mended(STALE) == STALE
    # 256 * 1.0 over heads of 64 that come in fours: one step of 4 heads everywhere.
    again = BASE + "num_query_heads: [4, 4, 4, 4]\nnum_kv_heads: [1, 1, 1, 1]\n"
    assert mended(STALE, unsafe=True) == again


LISTS = BASE.replace("[0.5, 4.0]", "[1.0, 2.0, 3.0, 4.0]")
HEADS = "num_query_heads: [4, 4, 4, 4]\nnum_kv_heads: [1, 1, 1, 1]\n"


def test_a_short_list_that_agrees_so_far_is_completed() -> None:
    short = LISTS + "num_query_heads: [4, 4]\nnum_kv_heads: [1, 1, 1, 1]\n"
    assert mended(short) == LISTS + HEADS
    both = LISTS + "num_query_heads: [4, 4]\nnum_kv_heads: [1, 1, 1]\n"
    assert mended(both) == both  # who knows that the depth is right
    assert mended(both, unsafe=True) == LISTS + HEADS
    # Where only one other list tells the depth, that is too little.
    few = BASE + "num_query_heads: [4, 4]\nnum_kv_heads: [1, 1, 1, 1]\n"
    assert mended(few) == few
    assert mended(few, unsafe=True) == BASE + HEADS


@pytest.mark.parametrize("depth", ["3", "5"])
def test_a_depth_against_all_lists_is_set_only_when_that_is_asked_for(depth: str) -> None:
    wrong = (LISTS + HEADS).replace("layers: 4", f"layers: {depth}")
    assert mended(wrong) == wrong
    assert mended(wrong, unsafe=True) == LISTS + HEADS


def test_multipliers_are_cut_only_when_that_is_asked_for() -> None:
    """Nothing else in the file says which of them were meant: they would be lost."""
    long = LISTS.replace("4.0]", "4.0, 5.0]") + HEADS
    assert mended(long) == long
    assert mended(long, unsafe=True) == LISTS + HEADS


def test_heads_are_cut_only_where_the_other_list_says_those_that_stay() -> None:
    # The surplus entry is the 8 in the middle, not the last.
    doubled = LISTS + "num_query_heads: [4, 8, 4, 4, 4]\nnum_kv_heads: [1, 1, 1, 1]\n"
    assert mended(doubled) == doubled
    tail = LISTS + "num_query_heads: [4, 4, 4, 4, 8]\nnum_kv_heads: [1, 1, 1, 1]\n"
    assert mended(tail) == LISTS + HEADS


@pytest.mark.parametrize(
    ("line", "unsafe"),
    [
        ("vocab_size: 32.000", "vocab_size: 32"),  # 32 thousand, to half of Europe
        ('vocab_size: "010"', "vocab_size: 10"),
    ],
)
def test_digits_of_two_readings_are_left_alone(line: str, unsafe: str) -> None:
    text, after = (BASE.replace("vocab_size: 1024", new) for new in (line, unsafe))
    assert mended(text) == text
    assert mended(text, unsafe=True) == after


def test_a_key_that_comes_close_to_two_is_left_alone() -> None:
    text = BASE + "num_q_heads: [4, 4, 4, 4]\n"
    assert mended(text, unsafe=True) == text
    (found,) = [d for d in diagnose(parse(text, "x.yaml")) if d.code == "ELM102"]
    assert found.help == "did you mean num_kv_heads or num_query_heads?"
    # Beside the one it is the other.
    given = text + "num_kv_heads: [1, 1, 1, 1]\n"
    assert mended(given) == given.replace("num_q_", "num_query_")


def test_two_keys_never_get_one_name() -> None:
    text = BASE.replace("vocab_size: 1024", "vocab_sise: 1024\nvocab_sizes: 1000")
    assert mended(text, unsafe=True) == text


def test_a_schedule_that_would_change_a_list_may_have_been_meant() -> None:
    full = LISTS.replace("[0.5, 1.0]", "[0.5, 0.6, 0.8, 1.0]")
    framed = full + "schedule: {frame_ffn_multiplier: 4.0}\n"
    assert mended(framed) == framed
    assert mended(framed, unsafe=True) == full
    rounded = full + "schedule: {decimals: 0}\n"
    assert mended(rounded) == rounded
    same = full.replace("[1.0, 2.0", "[4.0, 2.0")
    assert mended(same + "schedule: {frame_ffn_multiplier: 4.0}\n") == same


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_entries_that_are_added_end_as_the_lines_around_them(newline: str) -> None:
    short = BASE + "num_query_heads:\n- 4\n- 4\nnum_kv_heads:\n- 1\n- 1\n- 1\n"
    whole = BASE + "num_query_heads:\n- 4\n- 4\n- 4\n- 4\nnum_kv_heads:\n- 1\n- 1\n- 1\n- 1\n"
    assert mended(short.replace("\n", newline), unsafe=True) == whole.replace("\n", newline)


def test_a_leading_zero_does_not_take_the_sign_away() -> None:
    text = BASE + "bos_token_id: -010\n"
    found = [d for d in diagnose(parse(text, "x.yaml")) if d.code == "ELM007"]
    assert [d.help for d in found] == ["write -8 or, if you meant the digits, -10"]
    assert mended(text, unsafe=True) == text  # no token is below 0


def test_a_short_list_that_disagrees_is_left_alone() -> None:
    short = BASE + "num_query_heads: [8, 4]\nnum_kv_heads: [2, 1, 1, 1]\n"
    assert mended(short) == short


@pytest.mark.parametrize(
    ("old", "new", "safe"),
    [
        ('vocab_size: "1024"', "vocab_size: 1024", True),
        ("vocab_size: 1024.0", "vocab_size: 1024", True),
        ("vocab_size: 02000", "vocab_size: 2000", False),
        ("vocab_size: 1024\nuse_cache: 'True'", "vocab_size: 1024\nuse_cache: true", True),
        ("vocab_size: 1024\nname: 010", 'vocab_size: 1024\nname: "010"', True),
        ("vocab_size: 1024\nname: 1:30", 'vocab_size: 1024\nname: "1:30"', True),
        ("vocab_size: 1024\nbos_token_id: None", "vocab_size: 1024\nbos_token_id: null", True),
        ("vocab_sise: 1024", "vocab_size: 1024", True),
        ("vocab_size: 1024\nvocab_size: 1024", "vocab_size: 1024", True),
        ("vocab_size: 1025\nvocab_size: 1024", "vocab_size: 1024", False),
    ],
)
def test_one_line(old: str, new: str, safe: bool) -> None:
    text, wanted = (BASE.replace("vocab_size: 1024", line) for line in (old, new))
    assert mended(text) == (wanted if safe else text)
    assert mended(text, unsafe=True) == wanted


def test_a_schedule_without_effect_goes() -> None:
    full = BASE.replace("[0.5, 1.0]", "[0.5, 0.6, 0.8, 1.0]").replace("[0.5, 4.0]", "[1, 2, 3, 4]")
    assert mended(full + "schedule:\n  decimals: 3  # finer\n# end\n") == full + "# end\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"a": 1,}', '{"a": 1}'),
        ('{"a": [1, 2, ], "b": 1 , }', '{"a": [1, 2 ], "b": 1  }'),
        ('{"a": True, "b": None, "c": False}', '{"a": true, "b": null, "c": false}'),
    ],
)
def test_slips_of_json(old: str, new: str) -> None:
    assert mended(old, "x.json") == new


def test_in_a_hub_config_a_key_may_be_another_programs() -> None:
    values = {**json.loads(json.dumps(parse(BASE, "x.yaml").data)), "ffn_dim_divisors": 128}
    text = json.dumps(values, indent=2)
    assert mended(text, "config.json") == text
    renamed = text.replace("ffn_dim_divisors", "ffn_dim_divisor")
    assert mended(text, "config.json", unsafe=True) == renamed


def test_a_misspelt_key_whose_right_name_is_there_is_left_alone() -> None:
    text = BASE + "vocab_sise: 3\n"
    assert mended(text, unsafe=True) == text


def test_an_edit_that_would_say_something_else_is_dropped() -> None:
    merged = BASE.replace("vocab_size: 1024\n", "")
    text = f'name: &x {{vocab_size: "1024"}}\n<<: *x\n{merged}'
    assert [d.code for d in diagnose(parse(text, "x.yaml"))].count("ELM103") == 2
    assert mended(text, unsafe=True) == text


@pytest.mark.parametrize("text", ["a: &x [1]\nnum_query_heads: *x\n", "[" * 200, "", "a: [", "\t"])
def test_what_cannot_be_mended_stays(text: str) -> None:
    assert mended(text, unsafe=True) == text


def as_text(values: dict[str, Any], notation: str) -> str:
    return json.dumps(values, indent=1) if notation == "json" else dump_yaml(values)


@given(broken_configs(), st.sampled_from(["json", "yaml"]), st.booleans())
def test_fixing_twice_changes_nothing_more(broken: Breakage, notation: str, unsafe: bool) -> None:
    once = mended(as_text(broken.values, notation), f"x.{notation}", unsafe=unsafe)
    assert mended(once, f"x.{notation}", unsafe=unsafe) == once


@given(broken_configs(), st.sampled_from(["json", "yaml"]))
def test_a_safe_fix_keeps_the_model_that_mlx_lm_would_build(
    broken: Breakage, notation: str
) -> None:
    def first_entries(document: Document) -> list[Any]:
        n = document.value(("num_transformer_layers",))
        lists = [document.value((k,)) for k in ("num_query_heads", "num_kv_heads")]
        return [entries[:n] if isinstance(entries, list) else entries for entries in lists]

    before = parse(as_text(broken.values, notation), f"x.{notation}")
    after, _ = fixes.mend(before, diagnose)
    if isinstance(before.value(("num_transformer_layers",)), int):
        assert first_entries(after) == first_entries(before)


@given(broken_configs())
def test_nothing_that_can_be_mended_safely_is_left(broken: Breakage) -> None:
    before = parse(dump_yaml(broken.values), "x.yaml")
    after, done = fixes.mend(before, diagnose)
    assert bool(done) == (after.text != before.text)
    assert not [fix for fix in fixes.proposals(after, diagnose(after)).values() if fix.safe]


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "mine.yaml"
        file.write_text(HAND_EDITED)
        return file

    def test_fix_writes_and_says_what_is_left(self, run: Run, file: Path) -> None:
        done = run("validate", "--fix", str(file))
        assert file.read_text() == MENDED
        assert done.out.endswith("1 file checked: 2 warnings, 6 mended\n")
        assert done.code == 0

    def test_diff_writes_nothing(self, run: Run, file: Path) -> None:
        done = run("validate", "--diff", str(file))
        assert done.code == 1
        assert file.read_text() == HAND_EDITED
        assert '\n-head_dim: "64"\n+head_dim: 64\n' in done.out
        assert run("validate", "--fix", "-q", str(file)).code == 0
        assert (run("validate", "--diff", str(file)).code, file.read_text()) == (0, MENDED)

    def test_errors_that_stay_are_told_on_standard_error(self, run: Run, file: Path) -> None:
        file.write_text(STALE)
        see = "run 'elmcfg validate' without --diff to see what\n"
        can = "1 can be mended with --fix --unsafe-fixes\n"
        done = run("validate", "--diff", str(file))
        assert (done.code, done.out) == (1, "")
        assert done.err == f"nothing would be changed: 1 error is left; {see}{can}"
        done = run("validate", "--fix", str(file))
        assert (done.code, done.err) == (1, f"nothing was changed: 1 error is left\n{can}")
        assert run("validate", "--diff", "-q", str(file)).err == ""
        file.write_text(STALE.replace("head_dim: 64", 'head_dim: "64"'))
        assert run("validate", "--diff", str(file)).err == f"1 error is left; {see}{can}"
        file.write_text(BASE)
        done = run("validate", "--diff", str(file))
        assert (done.code, done.out, done.err) == (0, "", "")

    def test_the_diff_is_one_that_patch_applies(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import subprocess

        monkeypatch.chdir(file.parent)
        diff = run("validate", "--diff", file.name).out
        subprocess.run(["git", "apply", "-p0", "-"], input=diff, text=True, check=True)
        assert file.read_text() == MENDED

    def test_standard_input_goes_to_standard_output(self, run: Run) -> None:
        done = run("validate", "--fix", "-", stdin=HAND_EDITED)
        assert done.out == MENDED
        assert "1 file checked" in done.err
        assert run("validate", "--fix", "-", stdin=MENDED).out == MENDED

    def test_a_byte_order_mark_the_mode_and_a_link_stay(self, run: Run, file: Path) -> None:
        file.write_bytes(b"\xef\xbb\xbf" + HAND_EDITED.replace("\n", "\r\n").encode())
        file.chmod(0o640)
        link = file.with_name("link.yaml")
        link.symlink_to(file.name)
        assert run("validate", "--fix", "-q", str(link)).code == 0
        assert file.read_bytes() == b"\xef\xbb\xbf" + MENDED.replace("\n", "\r\n").encode()
        assert link.is_symlink()
        assert file.stat().st_mode & 0o777 == 0o640

    def test_shipped_variants_are_not_edited(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("elmcfg.sources.shipped", lambda: {"mine": file})
        assert run("validate", "--fix", "mine").code == 1
        assert file.read_text() == HAND_EDITED

    def test_a_write_that_fails_leaves_the_file_whole(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(source: object, target: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        done = run("validate", "--fix", str(file))
        assert done.code == 2
        assert "not mended: No space left on device" in done.err
        assert file.read_text() == HAND_EDITED
        assert [path.name for path in file.parent.iterdir()] == ["mine.yaml"]

    def test_a_file_that_has_changed_meanwhile_is_not_overwritten(self, file: Path) -> None:
        with pytest.raises(OSError, match="changed meanwhile"):
            write_back(file, "something else", "new")
        assert file.read_text() == HAND_EDITED

    def test_unused_suppressions_go(self, run: Run, file: Path) -> None:
        note = "# elmcfg: ignore[ELM203, ELM205] odd\n"
        file.write_text(note + BASE.replace("1024", "1024  # elmcfg: ignore[ELM203] why"))
        assert run("validate", "--fix", "-q", str(file)).code == 0
        assert file.read_text() == BASE
