"""Checkpoints read as configs from their headers, and headers that lie."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import models
import pytest
from conftest import Run
from hardness import check_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elmcfg
from elmcfg import strategies
from elmcfg.formats import checkpoint, gguf, safetensors
from elmcfg.formats.safetensors import CheckpointError, Entry
from elmcfg.geometry import geometry

SINGLE = "model.safetensors"
UNGATED = {"ffn_with_glu": False, "share_input_output_layers": False}


def shapes_of(config: elmcfg.Config) -> dict[str, tuple[int, ...]]:
    return geometry(config).tensor_shapes()


@pytest.mark.parametrize("changes", [{}, UNGATED], ids=["gated", "ungated, untied"])
def test_a_config_is_read_from_the_weights_alone(
    run: Run, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = models.config(**changes)
    folder = models.save(tmp_path / "model", config, models.tensors(config))
    (folder / "config.json").unlink()
    for source in (folder, folder / SINGLE):
        read = elmcfg.load(source)
        assert shapes_of(read) == shapes_of(config)
        assert read.torch_dtype == "float32"
    outcome = run("show", str(folder))
    assert outcome.code == 0
    assert "does not tell these keys" in outcome.err
    for key in ("rope_freq_constant 10000.0", "rms_norm_eps 1e-06", "ffn_dim_divisor"):
        assert key in outcome.err
    assert run("validate", str(folder / SINGLE)).code == 0
    assert run("validate", str(folder)).code == 0


def test_without_qk_norms_the_head_width_is_a_guess_and_said_so(run: Run, tmp_path: Path) -> None:
    config = models.config(normalize_qk_projections=False, head_dim=64)
    folder = models.save(tmp_path / "model", config, models.tensors(config))
    read = elmcfg.load(folder / SINGLE)
    assert shapes_of(read) == shapes_of(config)
    assert "head_dim 64" in run("show", str(folder / SINGLE)).err


@given(values=strategies.configs())
def test_shapes_tell_the_geometry(values: dict[str, Any]) -> None:
    """The round trip of every config: from its tensors' shapes to the same tensors."""
    shapes = shapes_of(elmcfg.Config.model_validate(values))
    told, _ = checkpoint.from_shapes(shapes, Path("x"))
    assert shapes_of(elmcfg.Config.model_validate(told)) == shapes


def test_gguf_is_read_and_compared(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    config = models.config(name="Mine", max_context_length=77, rms_norm_eps=1e-5)
    folder = models.save(tmp_path / "model", config, models.tensors(config))
    file = tmp_path / "model.gguf"
    assert run("convert", str(folder), str(file), "--dtype", "float16").code == 0
    read = elmcfg.load(file)
    assert shapes_of(read) == shapes_of(config)
    assert (read.rms_norm_eps, read.rope_freq_constant) == (1e-5, 500)
    assert (read.max_context_length, read.torch_dtype) == (77, "float16")
    same = json.loads(run("diff", str(file), str(folder), "--format", "json").out)
    assert same["keys"] == {"torch_dtype": ["float16", "float32"]}
    assert same["layers"] == []
    other = tmp_path / "other.json"
    values = json.loads((folder / "config.json").read_text())
    other.write_text(json.dumps(values | {"rope_freq_constant": 10000}))
    differing = json.loads(run("diff", str(file), str(other), "--format", "json").out)
    assert differing["keys"].keys() == {"torch_dtype", "rope_freq_constant"}


def test_metadata_that_contradict_the_tensors(run: Run, tmp_path: Path) -> None:
    """The shape that a converter with another rounding would have written into the metadata."""
    package = pytest.importorskip("gguf")
    file = tmp_path / "tiny.gguf"
    assert run("convert", "tiny", str(file)).code == 0
    reader = package.GGUFReader(file, "r+")
    field = reader.get_field("openelm.attention.head_count")
    field.parts[field.data[1]][0] = 12
    reader.data.flush()
    outcome = run("show", str(file))
    assert outcome.code == 1
    assert "openelm.attention.head_count is [2, 12, 6, 8]" in outcome.err
    assert "[2, 4, 6, 8]" in outcome.err


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickles_are_never_opened(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    outcome = run("show", str(tmp_path / name))
    assert outcome.code == 1
    assert "pickle" in outcome.err


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def tensor(shape: list[Any], start: Any, end: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


LIES: dict[str, tuple[Any, str]] = {
    "beyond the file": ({"a": tensor([4], 0, 16)}, "cut short"),
    "overlapping": ({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, "overlap"),
    "backwards": ({"a": tensor([2], 8, 0)}, "does not fit"),
    "not the shape's": ({"a": tensor([3], 0, 8)}, "does not fit"),
    "enormous": ({"a": tensor([2**63], 0, 8)}, "sound shape"),
    "product that wraps": ({"a": tensor([2**40, 2**40], 0, 0)}, "does not fit"),
    "negative": ({"a": tensor([-2], 0, 8)}, "sound shape"),
    "fractional": ({"a": tensor([2.0], 0, 8)}, "sound shape"),
    "boolean": ({"a": tensor([True, 2], 0, 8)}, "sound shape"),
    "unknown dtype": ({"a": tensor([2], 0, 8, "F7")}, "dtype"),
    "dtype of a list": ({"a": tensor([2], 0, 8, ["F32"])}, "dtype"),  # type: ignore[arg-type]
    "no tensor": ({"a": 3}, "dtype"),
    "list": ([1, 2], "no JSON object"),
    "no JSON": (b"{" * 20, "not JSON"),
    "nested": (b"[" * 200_000, "not JSON"),
    "twice": (b'{"a":{},"a":{}}', "twice"),
    "of another model": ({"model.embed.weight": tensor([2], 0, 8)}, "not the tensors of"),
}


@pytest.mark.parametrize(("header", "message"), LIES.values(), ids=LIES.keys())
def test_lying_safetensors_headers(run: Run, tmp_path: Path, header: Any, message: str) -> None:
    file = write(tmp_path / SINGLE, header, bytes(12))
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(file)
    outcome = run("show", str(file))
    assert outcome.code == 1
    assert message in outcome.err


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 a pickle that is longer"])
def test_files_of_something_else(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / SINGLE
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoint.read(file)


@pytest.mark.parametrize("length", [0, 1, 2**63, 2**64 - 1, 100])
def test_lengths_that_lie(tmp_path: Path, length: int) -> None:
    file = tmp_path / SINGLE
    file.write_bytes(struct.pack("<Q", length) + b"{}" + bytes(20))
    with pytest.raises(CheckpointError, match=r"cut short|not JSON"):
        checkpoint.read(file)


class TestShards:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        config = models.config()
        weights = models.tensors(config)
        folder = tmp_path / "model"
        folder.mkdir()
        names = list(weights)
        for name, half in (("a", names[:9]), ("b", names[9:])):
            path = folder / f"{name}.safetensors"
            mx.save_safetensors(str(path), {n: weights[n] for n in half})
        self.index(folder, {n: f"{'a' if i < 9 else 'b'}.safetensors" for i, n in enumerate(names)})
        return folder

    def index(self, folder: Path, weight_map: Any) -> None:
        (folder / safetensors.INDEX).write_text(json.dumps({"weight_map": weight_map}))

    def said(self, folder: Path) -> dict[str, str]:
        said: dict[str, str] = json.loads((folder / safetensors.INDEX).read_text())["weight_map"]
        return said

    def test_they_are_one_model(self, folder: Path) -> None:
        assert shapes_of(elmcfg.load(folder)) == shapes_of(models.config())

    def test_a_missing_one(self, folder: Path) -> None:
        (folder / "b.safetensors").unlink()
        with pytest.raises(elmcfg.InvalidConfigError, match=r"b\.safetensors, which is not there"):
            elmcfg.load(folder)

    @pytest.mark.parametrize(
        "name", ["../b.safetensors", "/etc/b.safetensors", "..", "", "sub/b.safetensors", "b.bin"]
    )
    def test_names_that_lead_elsewhere(self, folder: Path, name: str) -> None:
        (folder.parent / "b.safetensors").write_bytes((folder / "b.safetensors").read_bytes())
        said = self.said(folder)
        self.index(folder, {n: name if f == "b.safetensors" else f for n, f in said.items()})
        with pytest.raises(elmcfg.InvalidConfigError, match="no name of a shard"):
            elmcfg.load(folder)

    def test_a_link_out_of_the_folder(self, folder: Path) -> None:
        outside = folder.parent / "b.safetensors"
        (folder / "b.safetensors").rename(outside)
        (folder / "b.safetensors").symlink_to(outside)
        with pytest.raises(elmcfg.InvalidConfigError, match="link out of the folder"):
            elmcfg.load(folder)

    def test_the_hubs_own_cache(self, folder: Path, tmp_path: Path) -> None:
        snapshot = tmp_path / "models--x" / "snapshots" / "0123"
        blobs = tmp_path / "models--x" / "blobs"
        snapshot.mkdir(parents=True)
        blobs.mkdir()
        for file in folder.iterdir():
            file.rename(blobs / f"blob-{file.name}")
            (snapshot / file.name).symlink_to(Path("..", "..", "blobs", f"blob-{file.name}"))
        assert shapes_of(elmcfg.load(snapshot)) == shapes_of(models.config())

    def test_an_index_that_may_not_be_read(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(path: Path, max_bytes: int) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(safetensors, "read_regular", forbidden)
        outcome = run("show", str(folder / safetensors.INDEX))
        assert outcome.code == 1
        assert "cannot be read: Permission denied" in outcome.err

    def test_an_index_that_names_itself(self, folder: Path) -> None:
        self.index(folder, {"a": safetensors.INDEX})
        with pytest.raises(elmcfg.InvalidConfigError, match="no name of a shard"):
            elmcfg.load(folder)

    @pytest.mark.parametrize("weight_map", [None, [], {}, {"a": 3}])
    def test_no_map(self, folder: Path, weight_map: Any) -> None:
        self.index(folder, weight_map)
        with pytest.raises(elmcfg.InvalidConfigError, match="no weight_map"):
            elmcfg.load(folder)

    def test_a_tensor_that_is_elsewhere(self, folder: Path) -> None:
        said = self.said(folder)
        first = next(iter(said))
        self.index(folder, said | {first: "b.safetensors"})
        with pytest.raises(elmcfg.InvalidConfigError, match="but it is not"):
            elmcfg.load(folder)

    def test_a_layer_that_is_missing(self, folder: Path) -> None:
        said = self.said(folder)
        (folder / safetensors.INDEX).unlink()
        with pytest.raises(elmcfg.InvalidConfigError, match="is a shard missing"):
            elmcfg.load(folder / "a.safetensors")
        assert said


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pytest.importorskip("gguf")
    from elmcfg import conversion

    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    conversion.convert(
        elmcfg.load("tiny"), file, "gguf", checkpoint=None, options=conversion.Options()
    )
    return file.read_bytes()


@pytest.fixture(scope="module")
def folder_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    config = models.config()
    folder = models.save(tmp_path_factory.mktemp("folder"), config, models.tensors(config))
    return (folder / SINGLE).read_bytes()


def patched(raw: bytes, at: int, value: int, width: int = 8) -> bytes:
    return raw[:at] + value.to_bytes(width, "little") + raw[at + width :]


GGUF_LIES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "magic": lambda raw: b"GGML" + raw[4:],
    "version": lambda raw: patched(raw, 4, 9, 4),
    "big-endian": lambda raw: raw[:4] + raw[4:8][::-1] + raw[8:],
    "tensors": lambda raw: patched(raw, 8, 2**63),
    "keys": lambda raw: patched(raw, 16, 2**63),
    "one key more": lambda raw: patched(raw, 16, 60_000),
    "text": lambda raw: patched(raw, 24, 2**62),
    "cut in the header": lambda raw: raw[:2000],
    "cut in the data": lambda raw: raw[: len(raw) // 2],
}


def test_what_a_gguf_file_does_not_tell_is_said(
    run: Run, tmp_path: Path, gguf_bytes: bytes
) -> None:
    """llama.cpp has a default for a file without the RoPE base, and so has a config."""
    file = tmp_path / "silent.gguf"
    file.write_bytes(gguf_bytes.replace(b"openelm.rope.freq_base", b"openelm.rope.freq_none"))
    outcome = run("show", str(file))
    assert outcome.code == 0
    assert "rope_freq_constant 10000.0" in outcome.err
    assert "rms_norm_eps" not in outcome.err


def tensor_info(raw: bytes, name: str) -> int:
    """Where dimensions and type of a matrix of a GGUF file stand: 8, 8 and 4 bytes."""
    return raw.index(name.encode()) + len(name) + 4


HALF = "blk.1.ffn_up.weight"
HALVES: dict[str, Callable[[bytes], bytes]] = {
    "narrower": lambda raw: patched(raw, tensor_info(raw, HALF), 64),
    "absent": lambda raw: raw.replace(HALF.encode(), b"blk.1.ffn_no.weight"),
}


@pytest.mark.parametrize("lie", HALVES.values(), ids=HALVES.keys())
def test_halves_that_do_not_fit(
    run: Run, tmp_path: Path, gguf_bytes: bytes, lie: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "lie.gguf"
    file.write_bytes(lie(gguf_bytes))
    outcome = run("convert", str(file), str(tmp_path / "made"))
    assert outcome.code == 1
    assert "blk.1 has no ffn_gate and ffn_up of one shape" in outcome.err


def test_halves_of_two_dtypes(run: Run, tmp_path: Path, gguf_bytes: bytes) -> None:
    """float16 (1) beside bfloat16 (30), as one matrix, would be neither."""
    file = tmp_path / "lie.gguf"
    file.write_bytes(patched(gguf_bytes, tensor_info(gguf_bytes, HALF) + 16, 1, 4))
    outcome = run("convert", str(file), str(tmp_path / "made"))
    assert outcome.code == 1
    assert "the halves of transformer.layers.1.ffn.proj_1.weight have different" in outcome.err


@pytest.mark.parametrize("lie", GGUF_LIES.values(), ids=GGUF_LIES.keys())
def test_lying_gguf_headers(
    run: Run, tmp_path: Path, gguf_bytes: bytes, lie: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "lie.gguf"
    file.write_bytes(lie(gguf_bytes))
    outcome = run("show", str(file))
    assert outcome.code == 1
    assert "lie.gguf" in outcome.err


_FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)


@_FUZZ
@given(
    edits=st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 40_000),
)
def test_any_gguf_bytes(
    tmp_path: Path, gguf_bytes: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    raw = bytearray(gguf_bytes[: len(gguf_bytes) if cut > 30_000 else cut])
    for at, byte in edits:
        if at < len(raw):
            raw[at] = byte
    check_checkpoint(b"\xff" + raw, tmp_path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
_NAMES = st.sampled_from(["transformer.norm.weight", "transformer.layers.0.ffn.proj_1.weight", "a"])
_ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "U8"]) | _JSON,
        "shape": st.lists(st.integers(-1, 2**64), max_size=3) | _JSON,
        "data_offsets": st.lists(st.integers(-1, 2**64), max_size=3) | _JSON,
    },
)


@_FUZZ
@given(content=st.binary(max_size=200))
def test_any_safetensors_bytes(tmp_path: Path, content: bytes) -> None:
    check_checkpoint(b"\0" + content, tmp_path)


@_FUZZ
@given(
    header=st.dictionaries(_NAMES, _ENTRIES | _JSON, max_size=4) | _JSON | st.binary(max_size=40)
)
def test_any_safetensors_header(tmp_path: Path, header: Any) -> None:
    check_checkpoint(b"\0" + write(tmp_path / "header", header, bytes(64)).read_bytes(), tmp_path)


@_FUZZ
@given(
    edits=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=3),
    lost=st.integers(0, 5_000),
)
def test_a_good_safetensors_file_mutated(
    tmp_path: Path, folder_bytes: bytes, edits: list[tuple[int, int]], lost: int
) -> None:
    raw = bytearray(folder_bytes[: len(folder_bytes) - lost])
    for at, byte in edits:
        raw[at] = byte
    whole = check_checkpoint(b"\0" + raw, tmp_path)
    assert whole == (not lost) or edits


def test_places_within_the_file_are_fine() -> None:
    entries = {"a": Entry("F32", (1,), Path("x"), 8, 4), "b": Entry("F32", (0,), Path("x"), 12, 0)}
    safetensors.check_places(entries, Path("x"), 12)


def test_gguf_names_cover_every_tensor() -> None:
    layer = {*gguf.LAYER_TENSORS.values(), "ffn.proj_1"}
    names = {f"transformer.layers.0.{part}.weight" for part in layer} | {
        *gguf.MODEL_TENSORS.values()
    }
    assert names == {n for n in shapes_of(models.config()) if ".layers." not in n or ".0." in n}
