"""What the arguments of validate stand for; git itself is the oracle for .gitignore."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run
from hypothesis import example, given
from hypothesis import strategies as st

from elmcfg import folders
from elmcfg.formats import hub
from elmcfg.linter import load
from elmcfg.sources import SourceNotFoundError, data_folder, find, shipped

TINY = shipped()["tiny"].read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str, text: str = TINY) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checked(run: Run, *arguments: str) -> list[str]:
    """The files that a run checked, told from the test cases of its report."""
    out = run("validate", "--format", "junit", *arguments).out
    return [line.split('"')[1] for line in out.splitlines() if "<testcase" in line]


def test_a_folder_is_searched_for_configs(run: Run, here: Path) -> None:
    put("b.yml", "a.yaml", "sub/deep/config.json.yaml", ".hidden/x.yaml", "notes.txt")
    put("other.yaml", text="on: push\njobs: {}\n")
    put("with-schema.json", text='{"$schema": "x", "num_gqa_groups": 4}')
    put("package.json", text='{"name": "num_transformer_layers"}')
    put("schema.json", text=(data_folder("schemas") / "variant.schema.json").read_text())
    put("sub/config.json", text=hub.dump(load("tiny")))
    put("broken.json", text='{"num_transformer_layers": 3,')
    put("empty.yaml", text="")
    found = ["a.yaml", "b.yml", "broken.json", "sub/config.json", "sub/deep/config.json.yaml"]
    found.append("with-schema.json")
    assert checked(run, ".") == found
    assert checked(run, str(here)) == [str(here / name) for name in found]


def test_a_file_is_checked_once_however_it_is_named(run: Run, here: Path) -> None:
    put("sub/a.yaml")
    assert checked(run, ".", "sub", "sub/a.yaml", "sub/*.yaml") == ["sub/a.yaml"]


def test_a_file_that_is_named_is_checked_whatever_it_looks_like(run: Run, here: Path) -> None:
    put("x.yaml", text="on: push\n")
    assert checked(run, "x.yaml") == ["x.yaml"]
    assert run("validate", "x.yaml").code == 1


def test_patterns(run: Run, here: Path) -> None:
    put("a.yaml", "sub/b.yaml", "sub/[x].yaml")
    assert checked(run, "**/*.yaml") == ["a.yaml", "sub/[x].yaml", "sub/b.yaml"]
    assert checked(run, "sub/[x].yaml") == ["sub/[x].yaml"]  # a file of that very name
    assert checked(run, "sub/?.yaml") == ["sub/b.yaml"]
    done = run("validate", "*.json")
    assert (done.code, "*.json: no file matches this pattern" in done.err) == (2, True)


def test_zero_files_are_an_error_that_names_the_folder(run: Run, here: Path) -> None:
    put("good/a.yaml", "bad/readme.md")
    done = run("validate", "good", "bad")
    assert done.code == 2
    assert "elmcfg: bad: no configs in this folder" in done.err
    assert "good:" not in done.err


def test_a_hub_folder_is_checked_even_if_its_config_looks_like_none(run: Run, here: Path) -> None:
    put("model/config.json", text='{"vocab_sise": 3}')
    put("model/tokenizer.json", text="{}")
    assert run("validate", "model").code == 2
    header = json.dumps({}).encode()
    Path("model/model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert checked(run, "model") == ["model/config.json"]
    assert run("validate", "model").code == 1


def test_standard_input_has_the_name_it_is_given(run: Run, here: Path) -> None:
    done = run("validate", "--stdin-filename", "models/x.json", "-", stdin='{"a": 1,}')
    assert "models/x.json:1:9" in done.out
    flags = ("--stdin-filename", "models/x.json", "--per-file-ignores", "models/**:ELM")
    assert run("validate", *flags, "-", stdin="{}").code == 0


def test_nothing_of_that_name(here: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="did you mean tiny"):
        list(find("tinny"))


class TestOddFiles:
    def test_loops_dangling_links_and_pipes(self, run: Run, here: Path) -> None:
        put("a.yaml")
        Path("loop").symlink_to(".")
        Path("self.yaml").symlink_to("self.yaml")
        Path("gone.yaml").symlink_to("nowhere")
        os.mkfifo("pipe.yaml")
        assert checked(run, ".") == ["a.yaml"]
        done = run("validate", "--format", "concise", "self.yaml", "gone.yaml", "pipe.yaml")
        assert done.code == 1
        assert "gone.yaml: error[ELM001] no such file" in done.out
        assert "pipe.yaml: error[ELM001] not a regular file" in done.out
        assert "self.yaml: error[ELM001] cannot be read: Too many levels" in done.out

    def test_links_are_followed_within_the_folder_that_is_named(self, run: Run, here: Path) -> None:
        put("here/elsewhere/a.yaml", "outside.yaml")
        Path("here/a.yaml").symlink_to("elsewhere/a.yaml")
        Path("here/b.yaml").symlink_to("../outside.yaml")
        assert checked(run, "here") == ["here/a.yaml", "here/elsewhere/a.yaml"]
        assert checked(run, ".")[:2] == ["here/a.yaml", "here/b.yaml"]
        assert checked(run, "here/b.yaml") == ["here/b.yaml"]

    def test_what_vanishes_between_listing_and_reading_is_passed_by(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put("a.yaml", "b.yaml")
        walk = folders.walk

        def vanishing(folder: str, *more):  # type: ignore[no-untyped-def]
            found = list(walk(folder, *more))
            Path("a.yaml").unlink()
            return found

        monkeypatch.setattr(folders, "walk", vanishing)
        assert checked(run, ".") == ["b.yaml"]

    def test_without_permission(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put("a.yaml", "sub/b.yaml")
        opened, access, scandir = os.open, os.access, os.scandir
        barred = ("b.yaml", "sub")

        def no_open(path, *rest, **names):  # type: ignore[no-untyped-def]
            if str(path).endswith(barred):
                raise PermissionError(13, "Permission denied")
            return opened(path, *rest, **names)

        monkeypatch.setattr(os, "open", no_open)
        monkeypatch.setattr(os, "access", lambda p, m: not str(p).endswith(barred) and access(p, m))
        done = run("validate", "--format", "concise", ".")
        assert done.out.startswith("sub/b.yaml: error[ELM001] cannot be read: Permission denied\n")

        def no_list(path):  # type: ignore[no-untyped-def]
            if str(path).endswith("sub"):
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", no_list)
        done = run("validate", "--format", "concise", ".")
        assert done.out.startswith("sub: error[ELM001] cannot be read: Permission denied\n")

    def test_names_that_are_no_text(self, run: Run, here: Path) -> None:
        name = os.fsdecode(b"caf\xe9\n\x1b[31m.yaml")
        put(name, text="a: [")
        for form in ("text", "concise", "json", "sarif", "github", "gitlab", "junit"):
            done = run("validate", "--format", form, ".", name)
            assert done.code == 1
            assert "\x1b" not in done.out
        assert run("validate", "a\0b").code in (1, 2)


NAMES = ["a.yaml", "b.yaml", "d/a.yaml", "d/b.json", "d/e/a.yaml", "e/a.yml", "e/d/b.yaml"]
PATTERNS = st.sampled_from(
    [
        "a.yaml",
        "/a.yaml",
        "d/",
        "d",
        "e/*",
        "!a.yaml",
        "*.yaml",
        "!d/",
        "**/e",
        "d/**",
        "!*.json",
        "*",
        "!*",
        "/*",
        "!/d",
        "#a.yaml",
        "\\!x",
        "e/**/b.yaml",
        "[ab].yaml",
        "?.yml",
        "!e/d/b.yaml",
        "",
        "d/e/",
        "**",
        "!e/",
    ]
)


@example(["d/**"], ["!a.yaml"], "")
@example(["**/e", "!d/"], [], "")
@example(["!", "a.yaml", "b.yaml\\"], [], "")
@given(st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=3), st.sampled_from(["", "d"]))
def test_gitignore_means_what_git_says(
    tmp_path_factory: pytest.TempPathFactory, outer: list[str], inner: list[str], start: str
) -> None:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", root], check=True)
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / ".gitignore").write_text("\n".join(outer))
    (root / "d" / ".gitignore").write_text("\n".join(inner))
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "-z"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kept = {name for name in listed.stdout.split("\0") if name in NAMES}
    ours = {str(Path(p).relative_to(root)) for p in folders.walk(str(root / start))}
    wanted = {name for name in kept if name.startswith(start)}
    if start:
        ignored = ["git", "check-ignore", "-q", "--no-index", "d/"]
        if subprocess.run(ignored, cwd=root, check=False).returncode == 0:
            return  # named though it is ignored: searched all the same
    assert ours == wanted


def test_folders_may_be_nested_deeper_than_calls(tmp_path: Path) -> None:
    nested = [tmp_path]
    for _ in range(sys.getrecursionlimit() + 50):
        nested.append(nested[-1] / "d")
        nested[-1].mkdir()
    file = nested[-1] / "a.yaml"
    file.write_text("")
    try:
        assert list(folders.walk(str(tmp_path))) == [str(file)]
    finally:  # pytest, which clears old folders away, stumbles over such a one
        file.unlink()
        for folder in reversed(nested[1:]):
            folder.rmdir()


def test_an_ignored_folder_that_is_named_is_searched(run: Run, here: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    put("out/a.yaml", "out/b.yaml", "c.yaml")
    Path(".gitignore").write_text("out/\n")
    Path("out/.gitignore").write_text("b.yaml\n")
    assert checked(run, ".") == ["c.yaml"]
    assert checked(run, "out") == ["out/a.yaml"]
    Path(".gitignore").write_text("*\n")
    assert checked(run, "out") == ["out/a.yaml"]
