"""Standard streams that are closed or full, and a working directory that is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "variants"
PROGRAM = f'"{sys.executable}" -P -m elmcfg'
COMMANDS = (
    "--help",
    "validate tiny",
    "scale --layers 4 --model-dim 256",
    "scale --layers 4 --model-dim 256 --max-params 1B --format json",
    "build-and-run tiny --shapes-only",
    "build-and-run tiny tiny --shapes-only",
    "show tiny",
    "diff tiny openelm-270m",
    "explain",
    "doctor",
    "study --variant tiny --measure costs --dry-run",
)


def shell(line: str, folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert "internal error" not in text
        assert "Exception ignored" not in text
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_results_that_cannot_be_written_are_an_error(tmp_path: Path, command: str) -> None:
    for end, why in ((">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")):
        if end == ">/dev/full" and not Path("/dev/full").exists():
            continue
        code, out, err = shell(f"{PROGRAM} {command} {end}", tmp_path)
        assert (code, out) == (2, "")
        assert err.endswith(f"elmcfg: standard output cannot be written: {why}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_remarks_that_cannot_be_written_are_none(tmp_path: Path, command: str) -> None:
    for end in ("2>&-", *(["2>/dev/full"] if Path("/dev/full").exists() else [])):
        code, out, err = shell(f"{PROGRAM} {command} {end}", tmp_path)
        assert (code, err) == (0, "")
        assert out


def test_a_message_into_a_closed_stream_changes_no_exit_code(tmp_path: Path) -> None:
    assert shell(f"{PROGRAM} show nothing-there 2>&-", tmp_path) == (2, "", "")
    assert shell(f"{PROGRAM} show tiny <&- >&- 2>&-", tmp_path) == (2, "", "")
    assert shell(f"{PROGRAM} show --no-such-flag 2>/dev/full", tmp_path)[0] == 2


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Or what a library writes to standard error would end up in the model."""
    assert shell(f"{PROGRAM} convert tiny out <&- >&- 2>&-", tmp_path)[0] == 0
    done = shell(f"{PROGRAM} validate --weights out tiny", tmp_path)
    assert done[0] == 0, done


@pytest.mark.parametrize(
    "command",
    ["validate -", "show -", "diff - tiny", "scale --from - --layers 3", "build-and-run -"],
)
def test_standard_input_that_is_closed_is_told(tmp_path: Path, command: str) -> None:
    code, out, err = shell(f"{PROGRAM} {command} <&-", tmp_path)
    assert code == 1
    assert "standard input cannot be read: Bad file descriptor" in out + err


IN_NOWHERE = (
    *COMMANDS,
    "validate .",
    "validate --fix .",
    "validate --format sarif {folder}/tiny.yaml",
    "scale --layers 4 --model-dim 256 -o x.yaml",
    "scale --layers 4 --model-dim 256 --max-params 1B --count 2 -o x",
    "build-and-run x.yaml",
    "build-and-run tiny --check parameters --save out",
    "show {folder}/tiny.yaml",
    "show .",
    "show tiny --plot x.svg",
    "diff tiny x.yaml",
    "convert tiny out",
    "study --variant tiny --measure costs -o out",
    "study plan.yaml --dry-run",
    "study -o out --resume",
    "report out",
)
"""Those that need a working directory say so; others go on."""


@pytest.mark.parametrize("command", IN_NOWHERE)
def test_a_working_directory_that_was_deleted(tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f'rmdir "{gone}"; {PROGRAM} {command.format(folder=FOLDER)} </dev/null'
    code, out, err = shell(line, gone)
    needs_none = command in COMMANDS and command.split()[0] not in ("validate", "study")
    if needs_none or command.startswith("show {folder}"):
        assert code == 0
    else:
        assert code in (1, 2)
        text = out + err
        told = ("directory", "no such", "not a study", "this is a folder")
        assert any(words in text for words in told), text
    assert list(tmp_path.iterdir()) == []
