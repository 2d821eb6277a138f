"""Files of strangers: opened in one place, regular ones only, and no more of them than a limit."""

import ast
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import pytest
from conftest import Run

import elmcfg
from elmcfg import folders
from elmcfg.sources import shipped

PACKAGE = Path(elmcfg.__file__).parent

# Where a file is opened by other means than elmcfg.document.files, and why that is no stranger's.
OPENED_ELSEWHERE = {
    "backend._lend_libgfortran": "a library of the installed MLX, and memory made here",
    "backend._missing_feature": "/proc/cpuinfo",
    "children.channel.open_channel": "the descriptor of standard output",
    "children.process._resident_bytes": "/proc",
    "cli.terminal._open_what_is_closed": "/dev/null in the place of a closed stream",
    "cli.terminal.guarded": "/dev/null",
    "conversion.gguf.write": "the file that is being written",
    "conversion.hub._copy": "the file that is being written",
    "conversion.hub.write": "the file that is being written",
    "conversion.weights._values": "a stream of open_regular",
    "document.files.open_regular": "the one place",
    "document.temporary._locked_stem": "a lock file, which is not read",
    "document.temporary._remove_if_dead": "a lock file, which is not read",
    "document.writing.new_file": "the file that is being written",
    "formats.folder.new_folder": "the files that are being written",
    "proof.checks.save_load._written_and_read": "a temporary file made here",
    "proof.free_memory._read": "/proc and /sys",
    "quick._schema": "a file of elmcfg's own",
    "render.study.page.page": "files of elmcfg's own",
    "study.claims.Claims.__init__": "a lock file, which is not read",
    "study.journal.Journal._write": "the journal that is being written",
    "training.checkpoints.load": "a stream of open_regular",
    "training.checkpoints.save": "the file that is being written",
}
OPENING = {
    "open", "fdopen", "read_text", "read_bytes", "memmap", "mmap", "fromfile", "loadtxt", "FileIO",
    "copyfile", "copytree", "copy2", "open_code", "SentencePieceProcessor",
}  # fmt: skip
LOADERS = {"mx", "np", "numpy", "torch", "pickle", "safetensors"}


def calls(node: ast.AST, where: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the dotted name of the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{where}.{child.name}"
        if isinstance(child, ast.Call):
            yield inside, child
        yield from calls(child, inside)


def opens(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        name, owner = function.id, ""
    elif isinstance(function, ast.Attribute):
        name = function.attr
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
    else:
        return False
    if isinstance(function, ast.Name) and name in ("read_bytes", "read_text"):
        return False  # functions of elmcfg, not methods of a path
    if name == "SentencePieceProcessor":
        return [keyword.arg for keyword in call.keywords] != ["model_proto"]
    if name in ("load", "loads") and owner in LOADERS:
        return name == "load"
    return name in OPENING or (owner == "shutil" and name in ("copy", "move"))


def test_every_file_is_opened_in_one_place_or_has_a_reason() -> None:
    opened = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for where, call in calls(ast.parse(path.read_text()), module):
            if opens(call):
                opened[where] = call.lineno
    surplus = {where: line for where, line in opened.items() if where not in OPENED_ELSEWHERE}
    assert surplus == {}, "open them by elmcfg.document.open_regular or read_regular"
    assert not OPENED_ELSEWHERE.keys() - opened.keys()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(3 * 10**9)


def bounded(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run a command that may take 2.5 GB of memory and 60 s of processor time."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (5 * 2**29, 5 * 2**29))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    done = subprocess.run(
        [sys.executable, "-P", "-m", "elmcfg", *arguments],
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=limited,
        timeout=180,
        check=False,
    )
    for fault in ("Traceback", "internal error", "out of memory"):
        assert fault not in done.stdout, done.stdout
    return done.returncode, done.stdout


PLAN = """\
variants: [tiny]
measure: [costs, training]
training: {steps: 1}
corpus: {source: text.txt, tokenizer: tokens.model}
"""
STUDY = Path(__file__).parent.parent / "docs" / "studies" / "schedules-20m"


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Put one good file of each kind into a folder."""
    config = models.config()
    models.save(tmp_path / "model", config, models.tensors(config))
    (tmp_path / "config.yaml").write_text(shipped()["tiny"].read_text())
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "text.txt").write_text("in the beginning " * 100)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("in the beginning " * 100)
    for name in ("study.json", "journal.jsonl"):
        (tmp_path / "study").mkdir(exist_ok=True)
        (tmp_path / "study" / name).write_bytes((STUDY / name).read_bytes())
    return tmp_path


TRAIN = ("study", "--variant", "tiny", "--measure", "training", "-o", "out", "--corpus")
READS = {
    ".gitignore": (("validate", "."), 0),
    "pyproject.toml": (("validate", "config.yaml"), 2),
    "config.yaml": (("validate", "config.yaml"), 1),
    "model/config.json": (("show", "model"), 1),
    "model/model.safetensors": (("validate", "model"), 1),
    "model/model.safetensors.index.json": (("validate", "model"), 1),
    "model/tokenizer.json": (("convert", "model", "out"), 1),
    "model/tokenizer.model": (("convert", "model", "out.gguf"), 1),
    "model/tokenizer_config.json": (("convert", "model", "out"), 1),
    "plan.yaml": (("study", "plan.yaml", "--dry-run"), 2),
    "space.yaml": (("scale", "--target-params", "1M", "--space", "space.yaml"), 2),
    "study/journal.jsonl": (("report", "study"), 1),
    "study/study.json": (("report", "study"), 2),
    "text.txt": ((*TRAIN, "text.txt"), 2),
    "texts/a.txt": ((*TRAIN, "texts"), 2),
    "tokens.model": (("study", "plan.yaml", "-o", "out"), 2),
}


@pytest.mark.parametrize("kind", [fifo, endless, sparse])
@pytest.mark.parametrize("name", READS)
def test_what_is_no_regular_file_or_too_large_is_refused(
    stranger: Path, name: str, kind: Callable[[Path], None]
) -> None:
    command, code = READS[name]
    (stranger / name).unlink(missing_ok=True)
    kind(stranger / name)
    ended, said = bounded(*command, folder=stranger)
    assert ended in (code, 1), said
    assert Path(name).name in said or Path(name).parent.name in said
    reasons = (
        "not a regular file",
        "too large",
        "a link",
        "header of 0 bytes",
        "no such",
        "no file",
    )
    assert any(reason in said for reason in (*reasons, "not a study", "no finished job")), said
    assert not (stranger / "out").exists()
    assert not (stranger / "out.gguf").exists()


class TestIgnoreFiles:
    def test_too_many_patterns_are_counted_and_the_rest_is_checked(
        self, run: Run, stranger: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None of them is compiled: that is what took half a minute."""
        monkeypatch.chdir(stranger)
        compiled: list[str] = []

        def compile_(line: str) -> tuple[()]:
            compiled.append(line)
            return ()

        monkeypatch.setattr(folders, "_patterns", compile_)
        (stranger / ".gitignore").write_text("".join(f"a{i}\n" for i in range(100_000)))
        done = run("validate", ".", "--format", "concise")
        assert done.code == 0
        assert ".gitignore: warning[ELM001] 100,000 patterns are too many" in done.out
        assert "may have 5,000 together" in done.out
        assert not compiled
        # Those of one folder and of the folders in it count together.
        (stranger / ".gitignore").write_text("x\n" * 4_000)
        (stranger / "model" / ".gitignore").write_text("x\n" * 1_001)
        assert (
            "model/.gitignore: warning[ELM001] 1,001 patterns"
            in run("validate", ".", "--format", "concise").out
        )
        (stranger / "model" / ".gitignore").write_text("x\n# comment\n\n" * 1_000)
        assert ".gitignore" not in run("validate", ".", "--format", "concise").out

    @pytest.mark.parametrize(
        "pattern", ["*a" * 8 + "b", "**/a/**/b/**/*.yaml", "*[ab]*?*\\*x*.yaml"]
    )
    def test_many_wildcards_take_no_time(self, tmp_path: Path, pattern: str) -> None:
        """Eight stars try all ways to cut a name in nine, if left alone; git 2.39 does so."""
        long = tmp_path / ("a" * 240 + ".yaml")
        names = [long.name, "ab*xc.yaml", "a/b/c.yaml", "aaaaaaaab", "aaaaaaaa.yaml"]
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        program = "import sys; from elmcfg.folders import walk; print(*walk(sys.argv[1]))"
        command = [sys.executable, "-c", program, str(tmp_path)]
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        left = {str(Path(path).relative_to(tmp_path)) for path in done.stdout.split()}
        assert long.name in left
        long.unlink()
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        listed = subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard", "*.yaml"],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert left - {long.name} == set(listed.stdout.split())

    @pytest.mark.parametrize("pattern", ["*" * 9, "*a" * 9, "**/a/**/b/**/c/**"])
    def test_more_wildcards_than_anybody_needs(
        self, run: Run, stranger: Path, pattern: str
    ) -> None:
        (stranger / ".gitignore").write_text(f"ok\n{pattern}\n")
        done = run("validate", str(stranger))
        assert f"the pattern '{pattern}' has more than 8 times * or 3 times **" in done.out

    def test_a_link_is_passed_over_as_git_does(
        self, run: Run, stranger: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(stranger)
        (stranger / "rules").write_text("*.yaml\n")
        (stranger / ".gitignore").symlink_to("rules")
        done = run("validate", ".", "--format", "concise")
        assert done.code == 0
        assert ".gitignore: warning[ELM001] a link, which git does not follow either" in done.out
        subprocess.run(["git", "init", "-q"], check=True)
        listed = subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "config.yaml" in listed.stdout.split()


SECRET = "first: line-of-a-secret {\n"


@pytest.fixture
def linked(stranger: Path) -> Path:
    """A model folder whose config is a link out of it, to a file that is no config."""
    (stranger / "secret").write_text(SECRET)
    (stranger / "model" / "config.json").unlink()
    (stranger / "model" / "config.json").symlink_to("../secret")
    return stranger


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(
    "command",
    [
        ("validate", "model"),
        ("validate", "model", "--fix"),
        ("validate", "--weights", "model", "model"),
        ("show", "model"),
        ("diff", "model", "tiny"),
        ("diff", "tiny", "model"),
        ("convert", "model", "out"),
        ("convert", "model", "out.yaml"),
        ("build-and-run", "--shapes-only", "model"),
        ("build-and-run", "--shapes-only", "model", "tiny"),
        ("scale", "--from", "model", "--target-params", "1M"),
        ("study", "--variant", "model", "--measure", "costs", "-o", "out"),
    ],
    ids=" ".join,
)
def test_a_config_that_is_a_link_out_of_a_model_is_not_read(
    run: Run,
    linked: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    weights: bool,
) -> None:
    monkeypatch.chdir(linked)
    if not weights:
        (linked / "model" / "model.safetensors").unlink()
    done = run(*command)
    assert done.code != 0
    assert "line-of-a-secret" not in done.out + done.err
    assert "a link out of the folder, which is not followed" in done.out + done.err
    assert (linked / "secret").read_text() == SECRET


def test_links_in_a_cache_of_the_hub_stay_readable(run: Run, stranger: Path) -> None:
    """The layout of huggingface_hub, and a folder that only looks like one."""
    cache = stranger / "models--a--b"
    snapshot, blobs = cache / "snapshots" / "0123abcd", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in (stranger / "model").iterdir():
        blob = file.rename(blobs / f"{len(file.name):064x}")
        (snapshot / file.name).symlink_to(Path("../../blobs", blob.name))
    for command in (("validate",), ("show",), ("diff", "tiny"), ("convert",)):
        target = [str(stranger / "out.yaml")] if command[0] == "convert" else []
        done = run(*command, str(snapshot), *target)
        assert done.code == 0, done.err
    assert "1 file checked" in run("validate", str(stranger / "models--a--b")).out
    blobs.rename(stranger / "elsewhere")
    blobs.symlink_to("../elsewhere")
    done = run("show", str(snapshot))
    assert done.code == 1
    assert "a link out of the folder" in done.err


class TestFixingLinks:
    """Somebody else's link says which file --fix would rewrite: nobody named that one."""

    @pytest.fixture
    def target(self, stranger: Path) -> Path:
        file = stranger / "mine.yaml"
        file.write_text(shipped()["tiny"].read_text().replace("head_dim: 32", "head_dim: '32'"))
        (stranger / "repository").mkdir()
        (stranger / "repository" / "x.yaml").symlink_to(file)
        return file

    def test_in_a_folder_it_is_passed_by(self, run: Run, target: Path) -> None:
        before = target.read_text()
        done = run("validate", "--fix", str(target.parent / "repository"))
        assert done.code == 2
        assert "links out of it are not followed" in done.err
        assert target.read_text() == before

    def test_by_its_name_it_is_read_and_not_written(self, run: Run, target: Path) -> None:
        before = target.read_text()
        link = target.parent / "repository" / "x.yaml"
        assert "ELM103" in run("validate", str(link)).out
        done = run("validate", "--fix", str(link))
        assert done.code == 2
        assert f"a link out of the folder; to change {target}, name it" in done.err
        assert target.read_text() == before
        assert run("validate", "--fix", str(target)).code == 0
        assert target.read_text() != before
