"""Files of weights that are not what they seem, or not read: each command says so."""

import hashlib
import json
import shutil
from pathlib import Path

import models
import pytest
from conftest import Run

import elmcfg
from elmcfg.formats import hub

SINGLE = "model.safetensors"


def pointer(content: bytes) -> str:
    """What git-lfs puts in the place of a file (git-lfs/git-lfs, docs/spec.md)."""
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\n"
        f"size {len(content)}\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = models.config()
    return models.save(tmp_path / "model", config, models.tensors(config))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A model folder without weights."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text(hub.dump(elmcfg.load("tiny")))
    return folder


class TestGitLfs:
    @pytest.fixture(autouse=True)
    def here(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.chdir(folder.parent)

    @pytest.mark.parametrize("name", ["config.json", SINGLE])
    @pytest.mark.parametrize(
        "command",
        [("validate", "model"), ("show", "model/NAME"), ("convert", "model", "made")],
        ids=" ".join,
    )
    def test_a_pointer_is_called_one(
        self, run: Run, folder: Path, name: str, command: tuple[str, ...]
    ) -> None:
        file = folder / name
        file.write_text(pointer(file.read_bytes()))
        done = run(*(part.replace("NAME", name) for part in command))
        assert done.code == 1
        said = done.out + done.err
        assert f"model/{name}" in said
        assert "a Git LFS pointer, not the file itself" in said
        assert "git lfs pull" in said
        assert not (folder.parent / "made").exists()

    def test_also_where_nothing_else_is_in_the_folder(self, run: Run, folder: Path) -> None:
        (folder / SINGLE).unlink()
        (folder / "config.json").write_text(pointer(b"{}"))
        done = run("validate", "model")
        assert done.code == 1
        assert "git lfs pull" in done.out

    @pytest.mark.parametrize("target", ["made", "made.gguf"])
    def test_in_the_place_of_a_tokenizer(self, run: Run, folder: Path, target: str) -> None:
        pytest.importorskip("gguf")
        (folder / "tokenizer.model").write_text(pointer(b"pieces"))
        done = run("convert", "model", target)
        assert done.code == 1
        assert "tokenizer.model: a Git LFS pointer" in done.err
        assert not (folder.parent / target).exists()

    def test_in_the_place_of_a_gguf_file_an_index_and_a_shard(self, run: Run, folder: Path) -> None:
        for name in ("a.gguf", "model.safetensors.index.json"):
            (folder / name).write_text(pointer(b"x"))
            assert "git lfs pull" in run("show", f"model/{name}").err
        index = {"weight_map": {"a": "a.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "a.safetensors").write_text(pointer(b"x"))
        assert "a.safetensors: a Git LFS pointer" in run("validate", "model").out

    def test_a_config_that_speaks_of_pointers_is_none(self, run: Run, folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({"name": pointer(b""), **json.loads(file.read_text())}))
        assert "ELM001" not in run("validate", "model").out


class TestUncheckedWeights:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("", "there are none in bare"),
            ("pytorch_model.bin", "bare/pytorch_model.bin is not read: a pickle runs code"),
            ("weights.npz", "bare/weights.npz is not read: a pickle runs code"),
            ("model.gguf", "bare/model.gguf is not compared"),
            ("model.safetensors.index.json", "names shards, and none of them is there"),
        ],
    )
    def test_of_a_folder_it_is_said_why(
        self, run: Run, bare: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
    ) -> None:
        monkeypatch.chdir(bare.parent)
        if name:
            (bare / name).write_text("{}")
        done = run("validate", "bare")
        assert done.code == 0
        assert f"no weights checked: {reason}" in done.out or (
            "no weights checked: " in done.out and reason in done.out
        )
        read = json.loads(run("validate", "bare", "--format", "json").out)
        assert [entry["path"] for entry in read["unchecked_weights"]] == ["bare/config.json"]
        assert reason in read["unchecked_weights"][0]["reason"]

    def test_nothing_is_said_where_they_are_checked_or_none_are_expected(
        self, run: Run, folder: Path, bare: Path
    ) -> None:
        for source in (str(folder), str(bare / "config.json"), "tiny"):
            assert "no weights" not in run("validate", source).out
            read = json.loads(run("validate", source, "--format", "json").out)
            assert read["unchecked_weights"] == []

    def test_of_many_folders_a_few_are_named(self, run: Run, bare: Path) -> None:
        for i in range(6):
            shutil.copytree(bare, bare.parent / f"models/{i}")
            (bare.parent / f"models/{i}/pytorch_model.bin").write_text("")
        done = run("validate", str(bare.parent / "models"))
        assert done.out.count("pytorch_model.bin") == 3
        assert done.out.endswith("and 3 more\n")

    def test_who_asks_for_them_gets_an_error(self, run: Run, bare: Path) -> None:
        (bare / "pytorch_model.bin").write_text("")
        for weights in (bare, bare / "pytorch_model.bin"):
            done = run("validate", "--weights", str(weights), "tiny")
            assert done.code == 1
            assert "a pickle runs code" in done.out

    def test_the_state_of_a_trainer_is_no_weights(self, run: Run, bare: Path) -> None:
        (bare / "training_args.bin").write_text("")
        assert "there are none in" in run("validate", str(bare)).out


class TestWhoseWeightsRun:
    CHECK = ("--check", "forward", "-q")

    def test_those_of_a_folder_do_not(self, run: Run, folder: Path) -> None:
        file = folder / SINGLE
        for source in (folder, folder / "config.json", file):
            done = run("build-and-run", str(source), *self.CHECK)
            line = f"the weights in {file} were not run; random ones were"
            assert done.out.splitlines()[-1] == line
        read = json.loads(run("build-and-run", str(folder), *self.CHECK, "--format", "json").out)
        assert read["weights"] == {"source": "random", "unused": str(file)}

    def test_of_a_config_alone_nothing_is_said(self, run: Run) -> None:
        assert "were not run" not in run("build-and-run", "tiny", *self.CHECK).out
        read = json.loads(run("build-and-run", "tiny", *self.CHECK, "--format", "json").out)
        assert read["weights"] == {"source": "random", "unused": None}

    def test_of_several(self, run: Run, folder: Path) -> None:
        done = run("build-and-run", "tiny", str(folder / "config.json"), *self.CHECK)
        assert f"the weights in {folder / SINGLE} were not run" in done.out.splitlines()[-1]


class TestShapesOnly:
    def test_it_is_not_called_what_a_full_run_is(self, run: Run) -> None:
        shapes = run("build-and-run", "tiny", "--shapes-only", "-q").out.splitlines()[-1]
        full = run("build-and-run", "tiny", "--check", "forward", "-q").out.splitlines()[-1]
        assert full.startswith("proven: ")
        assert shapes.startswith("shapes hold, no weights computed: ")

    @pytest.mark.parametrize("check", ["parameters", "shapes"])
    def test_nor_are_the_same_checks_by_their_names(self, run: Run, check: str) -> None:
        done = run("build-and-run", "tiny", "--check", check, "-q")
        assert "proven" not in done.out.splitlines()[-1]

    def test_of_several(self, run: Run) -> None:
        done = run("build-and-run", "tiny", "lws-18l-crown", "--shapes-only")
        assert "proven" not in done.out + done.err
        assert "the shapes of 2 of 2 hold, no weights computed" in done.out

    def test_in_json(self, run: Run) -> None:
        arguments = ("build-and-run", "tiny", "--format", "json", "-q")
        read = json.loads(run(*arguments, "--shapes-only").out)
        assert read["passed"]
        assert read["shapes_only"]
        assert read["weights"]["source"] is None
        assert not json.loads(run(*arguments, "--check", "forward").out)["shapes_only"]
