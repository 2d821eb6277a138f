"""The promises of SECURITY.md that no other test holds, and that each of them is held by one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import elmcfg
from elmcfg.formats import hub
from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
READING = (
    ("validate", "."),
    ("validate", "--target", "all", "config.json"),
    ("validate", "--diff", "--unsafe-fixes", "config.json"),
    ("validate", "--weights", ".", "config.json"),
    ("show", "."),
    ("show", "model.safetensors.index.json"),
    ("diff", ".", "tiny"),
    ("build-and-run", "--shapes-only", "config.json"),
)
# Reports every file that is opened, every connection and every program that is started; what it
# prints is no part of the result.
WATCH = """
import sys
starting = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen")
def watch(event, arguments):
    if event == "open" or event.startswith("socket.") or event in starting:
        with_ = next((a for a in arguments if isinstance(a, (str, bytes))), "")
        sys.stderr.write(f"EVENT {event} {with_!r}\\n")
sys.addaudithook(watch)
from elmcfg.cli import main
main()
"""


def test_every_promise_names_tests_that_there_are() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(rows) == 8
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            source = (ROOT / "tests" / file).read_text()
            assert f"def {name}(" in source, f"{file}::{name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that names code, and files outside of it, wherever one can."""
    model = tmp_path / "model"
    model.mkdir()
    config = json.loads(hub.dump(elmcfg.load("tiny"))) | {
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
        "model_file": "evil.py",
        "name_or_path": "../outside",
        "_name_or_path": "../outside",
        "tokenizer_class": "evil.Evil",
    }
    (model / "config.json").write_text(json.dumps(config, indent=2))
    (model / "evil.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')\n")
    for name in ("configuration_openelm.py", "modeling_openelm.py", "sitecustomize.py"):
        (model / name).write_text((model / "evil.py").read_text())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.safetensors").write_bytes(b"secret")
    index = {"weight_map": {"a": "../outside/secret.safetensors", "b": "evil.py"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    return model


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def watched(*arguments: str, folder: Path) -> list[str]:
    """What a command opens and connects to."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCH, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("EVENT ")]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_nothing_outside_the_folder_is_read(folder: Path, command: tuple[str, ...]) -> None:
    events = watched(*command, folder=folder)
    assert any(command[-1].removeprefix(".") in event for event in events)
    assert not [event for event in events if "secret.safetensors" in event or "evil.py" in event]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_connection_is_opened(folder: Path, command: tuple[str, ...]) -> None:
    reached = ("socket.connect", "socket.getaddrinfo")
    events = watched(*command, folder=folder)
    assert not [event for event in events if event.split()[1] in reached]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_other_program_is_started(folder: Path, command: tuple[str, ...]) -> None:
    events = [event.split(maxsplit=2)[1:] for event in watched(*command, folder=folder)]
    started = [program for kind, program in events if kind.startswith(("os.", "subprocess."))]
    assert {os.path.normpath(program) for program in started} <= {
        os.path.normpath(repr(sys.executable))
    }
    assert bool(started) == (command[0] == "build-and-run")


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_commands_write_nothing(folder: Path, command: tuple[str, ...]) -> None:
    before = tree(folder.parent)
    watched(*command, folder=folder)
    assert tree(folder.parent) == before


@pytest.mark.parametrize(
    "command",
    [
        *READING,
        ("build-and-run", "config.json", "--check", "save-load", "--save", "../saved"),
        ("convert", "config.json", "../converted"),
    ],
    ids=" ".join,
)
def test_code_beside_a_config_is_never_run(folder: Path, command: tuple[str, ...]) -> None:
    if "model.safetensors.index.json" not in command:
        (folder / "model.safetensors.index.json").unlink()  # where the reader would stop
    subprocess.run(
        [sys.executable, "-P", "-m", "elmcfg", *command],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=False,
    )
    assert not (folder.parent / "PWNED").exists()
    for made in ("saved", "converted"):
        for path in (folder.parent / made).glob("*"):
            assert path.suffix != ".py"
            # mlx-lm runs a "model_file", transformers what "auto_map" names.
            assert b"evil" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (("convert", "evil.yaml", "out.gguf"), "out.gguf"),
        (("convert", "evil.yaml", "out/"), "out"),
        (("convert", "evil.yaml", "out.yaml"), "out.yaml"),
        (("build-and-run", "evil.yaml", "--check", "parameters", "--save", "out"), "out"),
        (("scale", "--from", "evil.yaml", "-o", "out.yaml"), "out.yaml"),
        (("validate", "--fix", "evil.yaml"), "evil.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nothing_outside_the_target_is_written(
    tmp_path: Path, command: tuple[str, ...], target: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    text = re.sub(
        r"(?m)^(name|description|source):.*\n(  .*\n)*", "", shipped()["tiny"].read_text()
    )
    text = text.replace("head_dim: 32", "head_dim: '32'" if "--fix" in command else "head_dim: 32")
    (here / "evil.yaml").write_text(f"name: ../../escaped/{tmp_path}/escaped\n{text}")
    before = tree(tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "elmcfg", *command],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = tree(tmp_path)
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed
    assert all(Path(path).parts[:2] == ("here", target) for path in changed), changed
