"""What is written on the way to a target: removed when its owner is dead, and never before."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import models
import pytest
from conftest import Run

from elmcfg.document import TargetTakenError, beside, is_temporary, new_file, temporary
from elmcfg.formats.folder import FolderTakenError, new_folder

# Takes a hidden name beside the target, fills it, and waits to be killed.
OWNER = """
import pathlib, sys, time
from elmcfg.document import beside
with beside(pathlib.Path(sys.argv[1])) as place:
    if sys.argv[2] == "folder":
        place.mkdir()
        place = place / "model.safetensors"
    place.write_bytes(bytes(1000))
    print(place, flush=True)
    time.sleep(600)
"""


def owner(target: Path, kind: str) -> subprocess.Popen[str]:
    """Start a process that has written half of the target."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(target), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_on_that_target(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "other.yaml").write_text("x")
    (tmp_path / ".out.tmp").write_text("somebody else's")
    with owner(tmp_path / "out", kind) as dead, owner(tmp_path / "out", kind) as alive:
        dead.kill()
        dead.wait()
        assert len(list(tmp_path.glob(".out.*-*"))) == 4
        with beside(tmp_path / "out2"):
            assert len(list(tmp_path.glob(".out.*-*"))) == 4  # another target's
        with beside(tmp_path / "out") as ours:
            left = {path.name for path in tmp_path.glob(".out.*-*")}
            # Those of the living process, and our lock.
            assert len(left) == 3
            assert f"{ours.stem}.lock" in left
        assert len(list(tmp_path.glob(".out.*-*"))) == 2
        alive.kill()
        alive.wait()
    with beside(tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.tmp", "other.yaml"]


def test_those_of_other_machines_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that several machines share, whose locks may not reach the others."""
    with owner(tmp_path / "out", "file") as process:
        process.kill()
        process.wait()
    left = set(tmp_path.iterdir())
    host, boot = temporary._machine()
    monkeypatch.setattr(temporary, "_machine", lambda: ("000000", "111111"))
    with beside(tmp_path / "out"):
        pass
    assert set(tmp_path.iterdir()) == left
    # In another container of one kernel, and after this machine was started again.
    for machine in (("000000", boot), (host, "111111")):
        monkeypatch.setattr(temporary, "_machine", lambda machine=machine: machine)
        with owner(tmp_path / "out", "file") as process:
            process.kill()
            process.wait()
        with beside(tmp_path / "out"):
            pass
        assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owner(tmp_path / "out", "file") as process:
        process.kill()
        process.wait()
    monkeypatch.setattr(temporary, "_lock", lambda handle, wait: False)
    with new_file(tmp_path / "out") as place:
        place.write_text("new")
    assert len(list(tmp_path.glob(".out.*.tmp"))) == 1
    assert (tmp_path / "out").read_text() == "new"


def test_a_folder_that_was_moved_away_comes_back(tmp_path: Path) -> None:
    """The owner was killed between the two renamings that put a new folder in place of an old."""
    with owner(tmp_path / "out", "folder") as process:
        process.kill()
        process.wait()
    (made,) = tmp_path.glob(".out.*.tmp")
    old = made.with_suffix(".old")
    old.mkdir()
    (old / "config.json").write_text("old")
    with beside(tmp_path / "out"):
        assert (tmp_path / "out" / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("length", [1, 200, 201, 255])
def test_the_longest_names_have_room(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("x" * length)
    with new_file(target) as place:
        place.write_text("x")
        assert is_temporary(place.name, target.name)
        assert not is_temporary(place.name, "y" * length)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_of_several_writers_of_a_new_file_one_writes(tmp_path: Path) -> None:
    target = tmp_path / "out"
    second = ExitStack()
    second.enter_context(new_file(target)).write_text("second")
    with new_file(target) as place:
        place.write_text("first")
    with pytest.raises(TargetTakenError):
        second.close()
    assert target.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_hard_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    test_of_several_writers_of_a_new_file_one_writes(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_of_several_writers_of_a_new_folder_one_writes(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "out"
    if there:
        target.mkdir()
    second = ExitStack()
    (second.enter_context(new_folder(target, 0)) / "config.json").write_text("second")
    with new_folder(target, 0) as place:
        (place / "config.json").write_text("first")
    with pytest.raises(FolderTakenError):
        second.close()
    assert (target / "config.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("target", ["out.yaml", "out"])
def test_of_three_converts_at_once_one_says_that_it_wrote(tmp_path: Path, target: str) -> None:
    config = tmp_path / "config.json"
    models.save(tmp_path / "model", models.config(), models.tensors(models.config()))
    (tmp_path / "model" / "config.json").rename(config)
    processes = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "elmcfg", "convert", "config.json", target],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert sorted(code for _, code in ends)[0] == 0
    assert sum("wrote" in err for err, _ in ends) == 1
    for err, code in ends:
        # 2 is the code of one that began when the target was there already.
        assert code == 0 or "there already" in err or "a file already" in err or "meanwhile" in err
        assert code in (0, 1, 2)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_an_export_that_is_ended_leaves_nothing_for_long(
    run: Run, tmp_path: Path, number: signal.Signals
) -> None:
    """As the signal comes, something has been written; the next export on that target ends well."""
    script = (
        "import sys\n"
        "from elmcfg.conversion import hub\n"
        "write = hub.write\n"
        "def slow(*arguments):\n"
        "    write(*arguments)\n"
        "    print('written', flush=True)\n"
        "    import time\n"
        "    time.sleep(600)\n"
        "hub.write = slow\n"
        "sys.argv = ['elmcfg', 'convert', 'tiny', 'out']\n"
        "from elmcfg.cli import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        assert len(list(tmp_path.glob(".out.*"))) == 2
        process.send_signal(number)
        code = process.wait()
    if number is signal.SIGKILL:
        assert len(list(tmp_path.glob(".out.*"))) == 2
    else:
        assert code == 128 + number
        assert not list(tmp_path.iterdir())
    assert run("convert", "tiny", str(tmp_path / "out"), "-q").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_study_goes_on_after_a_kill_in_its_first_write(run: Run, tmp_path: Path) -> None:
    script = (
        "import os, sys, signal, pathlib\n"
        "def replace(self, target):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "pathlib.Path.replace = replace\n"
        "sys.argv = ['elmcfg', *sys.argv[1:]]\n"
        "from elmcfg.cli import main\n"
        "main()\n"
    )
    arguments = ("study", "--variant", "tiny", "--measure", "costs", "-o", str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "out").glob(".plan.yaml.*.tmp"))
    assert run(*arguments, "--resume", "-q").code == 0
    assert not list((tmp_path / "out").glob(".*"))
