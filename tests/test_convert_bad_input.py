"""What convert refuses, and that nothing is left of it: weights it may not read, full disks."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import models
import pytest
from conftest import Run

import elmcfg
from elmcfg.formats import safetensors
from elmcfg.geometry import geometry

SINGLE = "model.safetensors"
PICKLE = b"cos\nsystem\n(S'touch PWNED'\ntR."
CONFIG = models.config()


@pytest.fixture(scope="module")
def weights() -> dict[str, mx.array]:
    return models.tensors(CONFIG)


@pytest.fixture
def folder(tmp_path: Path, weights: dict[str, mx.array]) -> Path:
    return models.save(tmp_path / "model", CONFIG, weights)


def holds(folder: Path, weights: dict[str, mx.array]) -> bool:
    """Whether these are the weights in a folder."""
    loaded = mx.load(str(folder / SINGLE))
    assert isinstance(loaded, dict)
    return all(mx.array_equal(loaded[name], weights[name]) for name in weights)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_no_random_weights_in_the_place_of_pickled_ones(
    run: Run, tmp_path: Path, folder: Path, name: str
) -> None:
    (folder / SINGLE).unlink()
    (folder / name).write_bytes(PICKLE)
    for target in ("made", "made.gguf"):
        outcome = run("convert", str(folder), str(tmp_path / target))
        assert outcome.code == 1
        assert f"{name}: not read from a folder: a pickle runs code" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    # ... of which the config alone may well be wanted.
    assert run("convert", str(folder), str(tmp_path / "made.yaml")).code == 0


def test_the_weights_of_a_config_are_those_beside_it(
    run: Run,
    tmp_path: Path,
    folder: Path,
    weights: dict[str, mx.array],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    for config in ("config.json", str(folder / "config.json")):
        outcome = run("convert", config, str(tmp_path / "made"), "--force")
        assert outcome.code == 0
        assert holds(tmp_path / "made", weights)


def test_no_random_weights_in_the_place_of_a_gguf_file(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    assert run("convert", str(folder), str(folder / "model.gguf")).code == 0
    (folder / SINGLE).unlink()
    outcome = run("convert", str(folder), str(tmp_path / "made"))
    assert outcome.code == 1
    assert "model.gguf: not read from a folder: name it itself" in outcome.err


def test_several_files_without_an_index_are_one_model(
    run: Run, tmp_path: Path, folder: Path, weights: dict[str, mx.array]
) -> None:
    (folder / SINGLE).unlink()
    names = list(weights)
    for part in (names[::2], names[1::2]):
        mx.save_safetensors(str(folder / f"{len(part)}.{part[0]}"), {n: weights[n] for n in part})
    outcome = run("convert", str(folder), str(tmp_path / "made"))
    assert outcome.code == 0, outcome.err
    assert holds(tmp_path / "made", weights)


def outside(folder: Path, name: str) -> None:
    """Put a file of a folder elsewhere, and a link to it in its place."""
    place = folder.parent / "elsewhere" / name
    place.parent.mkdir()
    (folder / name).rename(place)
    (folder / name).symlink_to(place)


def as_one_of_two(folder: Path) -> str:
    (folder / SINGLE).rename(folder / "b.safetensors")
    mx.save_safetensors(str(folder / "a.safetensors"), {"x": mx.zeros(1)})
    return "b.safetensors"


def as_shard(folder: Path) -> str:
    (folder / SINGLE).rename(folder / "b.safetensors")
    names = geometry(CONFIG).tensor_shapes()
    index = {"weight_map": dict.fromkeys(names, "b.safetensors")}
    (folder / safetensors.INDEX).write_text(json.dumps(index))
    return "b.safetensors"


def as_index(folder: Path) -> str:
    as_shard(folder)
    return safetensors.INDEX


@pytest.mark.parametrize(
    ("arranged", "with_config"),
    [
        (lambda _: SINGLE, True),
        (lambda _: SINGLE, False),
        (as_one_of_two, True),
        (as_shard, True),
        (as_shard, False),
        (as_index, True),
        (as_index, False),
    ],
)
def test_links_out_of_the_folder_are_not_followed(
    run: Run, tmp_path: Path, folder: Path, arranged: Callable[[Path], str], with_config: bool
) -> None:
    name = arranged(folder)
    outside(folder, name)
    commands = [("convert", str(folder), str(tmp_path / "made")), ("validate", str(folder))]
    if not with_config:
        (folder / "config.json").unlink()
        commands += [("show", str(folder)), ("diff", str(folder), "tiny")]
    for command in commands:
        outcome = run(*command)
        said = outcome.out + outcome.err
        assert outcome.code == 1, command
        assert name in said
        assert "a link out of the folder, which is not followed" in said
    assert not (tmp_path / "made").exists()


def test_a_link_that_is_named_is_followed(run: Run, tmp_path: Path, folder: Path) -> None:
    outside(folder, SINGLE)
    assert run("show", str(folder / SINGLE)).code == 0
    assert run("convert", str(folder / SINGLE), str(tmp_path / "made")).code == 0


def test_links_in_a_circle(run: Run, tmp_path: Path, folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / SINGLE).symlink_to(SINGLE)
    outcome = run("convert", str(folder), str(tmp_path / "made"))
    assert outcome.code == 1
    assert SINGLE in outcome.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("size", [0, 300_000])
@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "model", "made"),
        ("convert", "model", "made.gguf"),
        ("convert", "model", "made", "--slice", "model/config.json"),
        ("convert", "model", "model", "--force"),
    ],
    ids=" ".join,
)
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, folder: Path, arguments: tuple[str, ...], size: int
) -> None:
    """A limit on the size of files stands for the disk: writes fail midway, as they do there."""
    if arguments[2].endswith(".gguf"):
        pytest.importorskip("gguf")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "elmcfg", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert done.returncode == 2, done.stderr
    assert f"elmcfg: {arguments[2]}: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_target_may_be_the_source(run: Run, folder: Path, weights: dict[str, mx.array]) -> None:
    assert run("convert", str(folder), str(folder), "--force", "--dtype", "bfloat16").code == 0
    assert elmcfg.load(folder).torch_dtype == "bfloat16"
    assert holds(folder, {name: value.astype(mx.bfloat16) for name, value in weights.items()})


@pytest.mark.parametrize("form", ["elmcfg", "corenet"])
@pytest.mark.parametrize(
    "flags", [("--dtype", "float16"), ("--tokenizer", "x"), ("--slice", "tiny")], ids=" ".join
)
def test_flags_for_weights_are_not_passed_over(
    run: Run, tmp_path: Path, form: str, flags: tuple[str, str]
) -> None:
    outcome = run("convert", "tiny", str(tmp_path / "x.yaml"), "--to", form, *flags)
    assert outcome.code == 1
    assert f"{flags[0]} is for weights, and the form {form} is the config alone" in outcome.err
    assert not list(tmp_path.iterdir())


ESCAPE = "\x1b[31mred\x07"


def test_what_a_file_says_moves_no_cursor(run: Run, tmp_path: Path, folder: Path) -> None:
    source = json.loads((folder / "config.json").read_text())
    named = tmp_path / "named.json"
    named.write_text(json.dumps(source | {"name": ESCAPE, "description": f"a {ESCAPE}"}))
    header = json.dumps({ESCAPE: {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}).encode()
    (folder / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for command in (("show", str(named)), ("convert", str(folder), str(tmp_path / "made"))):
        outcome = run(*command)
        assert "\\x1b[31mred\\x07" in outcome.out + outcome.err
        assert not {"\x1b", "\x07"} & set(outcome.out + outcome.err)


class TestTokenizers:
    """Files of a tokenizer come along; of strangers' ones no code, and nothing from elsewhere."""

    @pytest.fixture
    def tokenizer(self, folder: Path) -> Path:
        (folder / "tokenizer.json").write_text("{}")
        said = {"auto_map": {"AutoTokenizer": ["evil--x.Evil", None]}, "eos_token": "</s>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(said))
        return folder

    def test_the_one_beside_the_weights(self, run: Run, tmp_path: Path, tokenizer: Path) -> None:
        for source in (tokenizer, tokenizer / SINGLE):
            outcome = run("convert", str(source), str(tmp_path / "made"), "--force")
            assert outcome.code == 0
            assert f"tokenizer: {tokenizer / 'tokenizer.json'}" in outcome.err
            assert (tmp_path / "made" / "tokenizer.json").read_text() == "{}"

    def test_without_the_code_that_it_names(
        self, run: Run, tmp_path: Path, tokenizer: Path
    ) -> None:
        assert run("convert", str(tokenizer), str(tmp_path / "made")).code == 0
        made = json.loads((tmp_path / "made" / "tokenizer_config.json").read_text())
        assert made == {"eos_token": "</s>"}

    @pytest.mark.parametrize("given", [True, False])
    def test_links_out_of_the_folder(
        self, run: Run, tmp_path: Path, tokenizer: Path, given: bool
    ) -> None:
        outside(tokenizer, "tokenizer.json")
        source = "tiny" if given else str(tokenizer)
        flags = ("--tokenizer", str(tokenizer)) if given else ()
        outcome = run("convert", source, str(tmp_path / "made"), *flags)
        assert outcome.code == 1
        assert "tokenizer.json: a link out of the folder" in outcome.err
        assert not (tmp_path / "made").exists()
