"""Comments that leave findings out, and what is said of the comments themselves."""

import pytest
from conftest import Run

from elmcfg.checking import findings
from elmcfg.document import parse
from elmcfg.settings import Settings
from elmcfg.suppressions import Suppressed

BASE = """\
num_transformer_layers: 4
model_dim: 256
head_dim: 64
vocab_size: 1024
num_query_heads: [4, 4, 8, 7]
num_kv_heads: [1, 1, 2, 2]
ffn_multipliers: [0.5, 1.0, 2.0, 4.0]
rms_norm_eps: 1e-6
"""
ERRORS = Settings(select=("ELM0", "ELM1", "ELM2", "ELM3"))
HEADS = "num_query_heads: [4, 4, 8, 7]"


def checked(text: str, settings: Settings = ERRORS) -> tuple[list[str], list[Suppressed]]:
    found, suppressed = findings(parse(text, "x.yaml"), settings)
    return [d.code for d in found], suppressed


def test_without_comments_both_are_found() -> None:
    assert checked(BASE) == (["ELM203", "ELM103"], [])


@pytest.mark.parametrize(
    "comment",
    [
        "# elmcfg: ignore[ELM203] on purpose",
        "#elmcfg:ignore[elm203]: on purpose",
        "# elmcfg: ignore[ELM2] on purpose",
        "# elmcfg: ignore[ELM203] - on purpose  ",
    ],
)
@pytest.mark.parametrize("above", [True, False])
def test_a_comment_covers_its_line_or_the_next(comment: str, above: bool) -> None:
    lines = f"{comment}\n{HEADS}" if above else f"{HEADS}  {comment}"
    codes, suppressed = checked(BASE.replace(HEADS, lines))
    assert codes == ["ELM103"]
    assert [(s.diagnostic.code, s.reason) for s in suppressed] == [("ELM203", "on purpose")]


def test_a_comment_covers_the_whole_entry_that_begins_on_its_line() -> None:
    block = "num_query_heads:{}\n  - 4\n  - 4\n  - 8\n  - 7"
    reason = "  # elmcfg: ignore[ELM203] on purpose"
    assert checked(BASE.replace(HEADS, block.format("")))[0] == ["ELM203", "ELM103"]
    assert checked(BASE.replace(HEADS, block.format(reason)))[0] == ["ELM103"]
    above = f"#{reason[3:]}\n# more words\n\n{block.format('')}"
    assert checked(BASE.replace(HEADS, above))[0] == ["ELM103"]
    assert checked(BASE.replace(HEADS, block.format("") + reason))[0] == ["ELM103"]
    elsewhere = block.format("").replace("- 8", "- 8" + reason)
    assert checked(BASE.replace(HEADS, elsewhere))[0] == ["ELM008", "ELM203", "ELM103"]


def test_ignore_file_covers_everything_even_what_has_no_place() -> None:
    text = BASE.replace("vocab_size: 1024\n", "")
    assert "ELM101" in checked(text)[0]
    note = "# elmcfg: ignore-file[ELM101, ELM203] a template\n"
    assert checked(note + text)[0] == ["ELM103"]
    assert "ELM101" in checked(note.replace("-file", "") + text)[0]


@pytest.mark.parametrize(
    ("comment", "codes"),
    [
        ("# elmcfg: ignore[ELM205] not here", ["ELM008", "ELM203", "ELM103"]),
        ("# elmcfg: ignore[ELM203, ELM205] half of it", ["ELM008", "ELM103"]),
        ("# elmcfg: ignore[ELM203]", ["ELM009", "ELM103"]),
        ("# elmcfg: ignore why", ["ELM009", "ELM203", "ELM103"]),
        ("# elmcfg: ignore[] why", ["ELM009", "ELM203", "ELM103"]),
        ("# elmcfg: ignore[ELM999] why", ["ELM009", "ELM203", "ELM103"]),
        ("# elmcfg: ignored[ELM203] why", ["ELM009", "ELM103"]),
        ("# elmcfg scale --layers 4", ["ELM203", "ELM103"]),
        ("# see elmcfg: ignore[ELM203]", ["ELM203", "ELM103"]),
        ("# elmcfg: ignore[ELM501] no program was asked about", ["ELM203", "ELM103"]),
        ("# elmcfg: ignore[ELM604] no weights are here", ["ELM203", "ELM103"]),
        ("# elmcfg: ignore[ELM4] advice is not selected", ["ELM203", "ELM103"]),
    ],
)
def test_what_is_said_of_a_comment(comment: str, codes: list[str]) -> None:
    settings = Settings(ignore=("ELM4",))
    found, _ = checked(BASE.replace(HEADS, f"{HEADS}  {comment}"), settings)
    assert sorted(found) == sorted(codes)


def test_an_unused_one_is_a_warning_at_the_comment() -> None:
    text = BASE.replace(HEADS, f"{HEADS} # elmcfg: ignore[ELM205] x")
    (unused,) = (d for d in findings(parse(text, "x.yaml"), ERRORS)[0] if d.code == "ELM008")
    assert unused.severity == "warning"
    assert unused.span is not None
    assert text.splitlines()[4][unused.span.column - 1 :] == "# elmcfg: ignore[ELM205] x"


@pytest.mark.parametrize(
    "value",
    [
        '"a # elmcfg: ignore[ELM203] x"',
        "'# elmcfg: ignore[ELM203] x'",
        "a#elmcfg:ignore[ELM203]",
        "|\n  # elmcfg: ignore[ELM203] x",
    ],
)
def test_what_is_no_comment_is_not_read_as_one(value: str) -> None:
    text = f"name: {value}\n{BASE}"
    codes, suppressed = checked(text)
    assert "ELM203" in codes
    assert not {"ELM008", "ELM009"} & set(codes)
    assert not suppressed


def test_a_file_that_cannot_be_read_is_always_reported() -> None:
    broken = "# elmcfg: ignore-file[ELM0] never mind\na: [\n"
    assert checked(broken, Settings(ignore=("ELM0",)))[0] == ["ELM002"]


def test_json_has_no_comments() -> None:
    text = '{"name": "# elmcfg: ignore-file[ELM1] x"}'
    assert {d.code for d in findings(parse(text, "x.json"), ERRORS)[0]} == {"ELM101"}


def test_the_command_counts_them(run: Run) -> None:
    text = BASE.replace(HEADS, f"{HEADS}  # elmcfg: ignore[ELM203] x").replace("1e-6", "1.0e-6")
    done = run("validate", "--ignore", "ELM4", "-", stdin=text)
    assert (done.code, done.out) == (0, "1 file checked: no problems, 1 suppressed\n")
