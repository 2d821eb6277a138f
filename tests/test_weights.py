"""Checkpoints against configs: real files of safetensors and MLX, and damaged ones."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg import comparison
from elmcfg.config import Config
from elmcfg.document import parse
from elmcfg.field_types import MAX_LAYERS
from elmcfg.findings import draft_of
from elmcfg.formats import hub
from elmcfg.formats.safetensors import (
    MAX_HEADER_BYTES,
    CheckpointError,
    Entry,
    read_headers,
)
from elmcfg.geometry import geometry
from elmcfg.linter import diagnose
from elmcfg.sources import checkpoint_beside
from elmcfg.strategies import configs

TINY = elmcfg.load("tiny")
VALUES = hub.values(TINY)
Shapes = dict[str, tuple[int, ...]]


def checkpoint(file: Path, shapes: Shapes, dtype: str = "BF16") -> None:
    """A safetensors file of zeros that take no room, written by the specification."""
    entries, offset = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * 2
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(file, 8 + len(text) + offset)


def tensor(shape: tuple[int, ...], dtype: str = "BF16") -> Entry:
    return Entry(dtype, shape, Path("x"), 0, 0)


def findings(
    shapes: Shapes, values: dict[str, Any], dtype: str = "BF16"
) -> list[tuple[str, tuple[str | int, ...]]]:
    """Code and place of everything found in a checkpoint of these shapes."""
    tensors = {name: tensor(shape, dtype) for name, shape in shapes.items()}
    draft = draft_of(values, lenient=True)
    return [(v.code, v.loc) for v in comparison.violations(draft, tensors)]


def shapes_of(values: dict[str, Any]) -> Shapes:
    return geometry(Config.model_validate(values)).tensor_shapes()


def test_a_checkpoint_of_this_config_has_no_findings() -> None:
    assert findings(shapes_of(VALUES), VALUES) == []


@given(configs(max_layers=6, max_dim=256))
def test_no_config_disagrees_with_its_own_checkpoint(values: dict[str, Any]) -> None:
    assert findings(shapes_of(values), values) == []


@given(st.integers(0, 3), st.sampled_from(["num_query_heads", "num_kv_heads", "ffn_multipliers"]))
def test_the_entry_that_is_wrong_is_told_from_the_shapes(layer: int, key: str) -> None:
    """Three tensors of a layer disagree; one entry of one list is named, with what it should be."""
    heads, kv_heads = [4, 8, 8, 16], [2, 4, 4, 8]
    base = {**VALUES, "num_query_heads": heads, "num_kv_heads": kv_heads}
    base |= {"qkv_multipliers": None, "num_gqa_groups": None}
    right = list(base[key])
    wrong = list(right)
    wrong[layer] = {"num_query_heads": 48, "num_kv_heads": 1, "ffn_multipliers": 7.0}[key]
    assert findings(shapes_of(base), {**base, key: wrong}) == [("ELM604", (key, layer))]
    tensors = {name: tensor(shape) for name, shape in shapes_of(base).items()}
    (found,) = comparison.violations(draft_of({**base, key: wrong}), tensors)
    if key == "ffn_multipliers":
        suggestion = float(found.help.split()[4].rstrip(","))
        mended = {**base, key: [*right[:layer], suggestion, *right[layer + 1 :]]}
        assert shapes_of(mended) == shapes_of(base)
    else:
        assert found.help.startswith(f"use {right[layer]},")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vocab_size": 2048}, [("ELM604", ("vocab_size",))]),
        ({"model_dim": 256}, [("ELM604", ("model_dim",))]),
        ({"head_dim": 64}, [("ELM604", ("head_dim",))]),
        ({"ffn_with_glu": False}, [("ELM604", ("ffn_with_glu",))]),
        ({"share_input_output_layers": False}, [("ELM604", ("share_input_output_layers",))]),
        ({"normalize_qk_projections": False}, [("ELM604", ("normalize_qk_projections",))]),
        ({"ffn_dim_divisor": 128}, [("ELM604", ("ffn_multipliers", 0))]),
    ],
)
def test_a_size_that_is_wrong_is_named_once(
    changes: dict[str, Any], expected: list[tuple[str, tuple[str | int, ...]]]
) -> None:
    lists = {**VALUES, "qkv_multipliers": None, "num_gqa_groups": None}
    assert findings(shapes_of(lists), {**lists, **changes})[:1] == expected


@pytest.mark.parametrize("change", [-1, 1, 3])
def test_a_depth_that_is_wrong_is_named_once(change: int) -> None:
    recipe = {k: v for k, v in VALUES.items() if k not in ("num_query_heads", "num_kv_heads")}
    recipe |= {"ffn_multipliers": 1.0, "qkv_multipliers": 1.0}
    other = {**recipe, "num_transformer_layers": 4 + change}
    assert findings(shapes_of(other), recipe) == [("ELM604", ("num_transformer_layers",))]


def test_many_wrong_entries_are_named_by_the_first() -> None:
    lists = {**VALUES, "qkv_multipliers": None, "num_gqa_groups": None}
    draft = draft_of({**lists, "ffn_multipliers": [5.0, 6.0, 7.0, 8.0]})
    tensors = {name: tensor(shape) for name, shape in shapes_of(lists).items()}
    (found,) = comparison.violations(draft, tensors)
    assert found.loc == ("ffn_multipliers", 0)
    assert "and 3 later layers too" in found.message


def test_a_recipe_is_pointed_at_where_there_are_no_lists() -> None:
    recipe = {k: v for k, v in VALUES.items() if k not in ("num_query_heads", "num_kv_heads")}
    found = findings(shapes_of(VALUES), {**recipe, "qkv_multipliers": [0.5, 3.0]})
    assert {loc for _, loc in found} == {("qkv_multipliers",), ("num_gqa_groups",)}


def test_tensors_that_are_missing_or_too_many() -> None:
    shapes = shapes_of(VALUES)
    del shapes["transformer.layers.2.ffn_norm.weight"]
    shapes["transformer.layers.2.ffn.proj_3.weight"] = (1,)
    assert findings(shapes, VALUES) == [("ELM602", ()), ("ELM603", ())]
    assert findings({}, VALUES) == [("ELM602", ())]


def test_a_tensor_that_contradicts_the_others() -> None:
    shapes = shapes_of(VALUES) | {"transformer.layers.2.ffn_norm.weight": (127,)}
    assert findings(shapes, VALUES) == [("ELM604", ())]


def test_a_dtype_is_held_against_the_one_that_is_named() -> None:
    shapes = shapes_of(VALUES)
    assert findings(shapes, VALUES, "F16") == [("ELM605", ("torch_dtype",))]
    unnamed = {k: v for k, v in VALUES.items() if k != "torch_dtype"}
    assert findings(shapes, unnamed, "F16") == []


@given(st.dictionaries(st.sampled_from(sorted(shapes_of(VALUES))),
                       st.lists(st.integers(0, 300), max_size=3).map(tuple)))  # fmt: skip
def test_no_shapes_stop_the_comparison(changes: Shapes) -> None:
    assert bool(findings(shapes_of(VALUES) | changes, VALUES)) == any(
        shapes_of(VALUES)[name] != shape for name, shape in changes.items()
    )


def test_headers_as_the_library_writes_them(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, Any] = {
        "a.weight": np.zeros((2, 3), np.float16),
        "b": np.zeros((), np.float32),
    }
    save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_headers(tmp_path)
    assert {name: (t.dtype, t.shape) for name, t in found.items()} == {
        "a.weight": ("F16", (2, 3)),
        "b": ("F32", ()),
    }


def shard(folder: Path, shapes: Shapes, count: int) -> None:
    """A checkpoint in shards, with its index."""
    names = list(shapes)
    weight_map: dict[str, str] = {}
    for number in range(count):
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        part = names[number::count]
        checkpoint(folder / file, {name: shapes[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards(tmp_path: Path) -> None:
    shard(tmp_path, shapes_of(VALUES), 3)
    by_index = read_headers(tmp_path / "model.safetensors.index.json")
    assert {name: t.shape for name, t in by_index.items()} == shapes_of(VALUES)
    assert read_headers(tmp_path) == by_index
    (tmp_path / "model.safetensors.index.json").rename(tmp_path / "index.json")
    assert read_headers(tmp_path) == by_index
    twice = tmp_path / "twice.safetensors"
    twice.write_bytes((tmp_path / "model-00002-of-00003.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"stands in model-00002-of-00003.safetensors too"):
        read_headers(tmp_path)
    twice.unlink()
    (tmp_path / "index.json").rename(tmp_path / "model.safetensors.index.json")
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names model-00002-of-00003.safetensors"):
        read_headers(tmp_path)


def test_a_tensor_in_two_shards_of_an_index_is_named(tmp_path: Path) -> None:
    """Which of the two mlx-lm takes depends on the order of the files."""
    shapes = shapes_of(VALUES)
    shard(tmp_path, shapes, 2)
    norm = "transformer.norm.weight"
    for number in (1, 2):
        part = list(shapes)[number - 1 :: 2]
        file = tmp_path / f"model-{number:05}-of-00002.safetensors"
        checkpoint(file, {name: shapes[name] for name in {*part, norm}})
    with pytest.raises(CheckpointError, match=r"norm.weight stands in model-00001-of-00002.* too"):
        read_headers(tmp_path)


def test_wrong_tensors_are_all_named_or_counted() -> None:
    shapes = shapes_of(VALUES)
    wrong = [name for name in shapes if name.endswith("k_norm.weight")]
    assert len(wrong) == 4
    for count, more in ((2, ""), (3, ""), (4, "; and 1 other tensor too")):
        changed = shapes | {name: (shapes[name][0] + 1,) for name in wrong[:count]}
        (found,) = comparison.violations(
            draft_of(VALUES, lenient=True), {name: tensor(s) for name, s in changed.items()}
        )
        assert found.code == "ELM604"
        for name in wrong[: min(count, 3)]:
            assert f"{name} has shape 33, the model needs 32" in found.message
        assert found.message.endswith(more or "the model needs 32")


def test_wrong_tensors_of_a_checkpoint_alone_are_all_named(run: Run, tmp_path: Path) -> None:
    shapes = shapes_of(VALUES)
    names = ["transformer.layers.1.attn.k_norm.weight", "transformer.layers.2.ffn_norm.weight"]
    file = tmp_path / "model.safetensors"
    checkpoint(file, shapes | dict.fromkeys(names, (5,)) | {"strange": (1,)})
    done = run("show", str(file))
    assert done.code == 1
    for name in (*names, "strange"):
        assert name in done.err


@pytest.mark.parametrize("dtype", ["I64", "F64", "U8"])
def test_a_tensor_of_a_dtype_that_nobody_computes_with(dtype: str) -> None:
    """It is one also where the config names no dtype."""
    values = {key: value for key, value in VALUES.items() if key != "torch_dtype"}
    tensors = {name: tensor(shape) for name, shape in shapes_of(VALUES).items()}
    name = "transformer.norm.weight"
    tensors[name] = tensor(tensors[name].shape, dtype)
    (found,) = comparison.violations(draft_of(values, lenient=True), tensors)
    assert found.code == "ELM605"
    assert name in found.message
    assert dtype in found.message


def test_an_empty_tensor_is_named() -> None:
    shapes = shapes_of(VALUES)
    norm = "transformer.norm.weight"
    (found,) = comparison.violations(
        draft_of(VALUES, lenient=True),
        {name: tensor((0,) if name == norm else shape) for name, shape in shapes.items()},
    )
    assert f"{norm} has shape 0, the model needs 128" in found.message


def test_places_that_hold_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no \*.safetensors file"):
        read_headers(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_headers(tmp_path / "a.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_headers(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize("weight_map", [None, [], {"a": 1}, {"a": "../b"}, {"a": "/etc/passwd"}])
def test_an_index_names_files_beside_it(tmp_path: Path, weight_map: object) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"no weight_map|no name of a shard"):
        read_headers(tmp_path)


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """A model folder as MLX writes it, quantized where asked."""

    def write(config: dict[str, Any], group: int = 0, bits: int = 0) -> Path:
        import mlx.core as mx
        import mlx.nn as nn
        from mlx.utils import tree_flatten

        model: Any = elmcfg.build(Config.model_validate(config), dtype="bfloat16")
        if group:
            nn.quantize(model, group_size=group, bits=bits)
            config = config | {"quantization": {"group_size": group, "bits": bits}}
        tensors: Any = dict(tree_flatten(model.parameters()))
        mx.save_safetensors(str(tmp_path / "model.safetensors"), tensors)
        (tmp_path / "config.json").write_text(json.dumps(config, indent=2))
        return tmp_path

    return write


@pytest.mark.parametrize(("group", "bits"), [(0, 0), (32, 4), (32, 8), (64, 4), (64, 3), (32, 6)])
def test_what_mlx_saves_is_what_was_configured(save: Save, run: Run, group: int, bits: int) -> None:
    folder = save(VALUES, group, bits)
    assert checkpoint_beside(str(folder / "config.json")) == folder
    done = run("validate", str(folder))
    assert (done.code, done.out) == (0, "1 file checked: no problems\n")


@pytest.mark.parametrize(
    ("quantization", "loc"),
    [
        ({"group_size": 64, "bits": 4}, ("quantization", "group_size")),
        ({"group_size": 32, "bits": 8}, ("quantization", "bits")),
        (None, ()),
    ],
)
def test_another_quantization_than_the_config_names(
    save: Save, quantization: dict[str, int] | None, loc: tuple[str, ...]
) -> None:
    folder = save(VALUES, 32, 4)
    values = VALUES if quantization is None else VALUES | {"quantization": quantization}
    found = diagnose(parse(json.dumps(values), "config.json"), weights=folder)
    assert [(d.code, d.loc) for d in found if d.code >= "ELM6"] == [("ELM606", loc)]


def test_a_quantization_that_the_weights_do_not_have(save: Save) -> None:
    values = VALUES | {"quantization": {"group_size": 64, "bits": 4}}
    found = diagnose(parse(json.dumps(values), "config.json"), weights=save(VALUES))
    assert [(d.code, d.loc) for d in found if d.code >= "ELM6"] == [("ELM606", ("quantization",))]


def test_a_quantized_checkpoint_tells_the_wrong_entry_too(save: Save, run: Run) -> None:
    folder = save(VALUES, 32, 4)
    quantization = {"group_size": 32, "bits": 4}
    wrong = VALUES | {"ffn_multipliers": [0.5, 1.67, 4.0, 4.0], "quantization": quantization}
    (folder / "config.json").write_text(json.dumps(wrong, indent=2))
    done = run("validate", "--format", "json", str(folder))
    (found,) = [d for d in json.loads(done.out)["diagnostics"] if d["code"] >= "ELM6"]
    assert (done.code, found["code"], found["pointer"]) == (1, "ELM604", "/ffn_multipliers/2")
    assert found["line"] is not None


def test_the_option_takes_a_file_and_refuses_what_is_not_there(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "x.safetensors"
    checkpoint(file, shapes_of(VALUES))
    assert run("validate", "--weights", str(file), "tiny").code == 0
    done = run("validate", "--weights", str(file), "openelm-270m")
    assert done.code == 1
    assert "the weights have model_dim 128 (by their shapes), the config 1,280" in done.out
    assert run("validate", "--weights", str(tmp_path / "y"), "tiny").code == 2
    file.write_bytes(b"")
    assert (
        "x.safetensors: not a safetensors file"
        in run("validate", "--weights", str(file), "tiny").out
    )


def test_of_a_broken_config_the_weights_say_which_entry_is_wrong() -> None:
    """18 query heads over 4 is a fault by itself; only the weights know that 16 was meant."""
    values = {**VALUES, "num_query_heads": [2, 6, 7, 8], "qkv_multipliers": None}
    del values["qkv_multipliers"], values["num_gqa_groups"]
    right = {**values, "num_query_heads": [2, 6, 6, 8], "num_kv_heads": [1, 3, 3, 4]}
    broken = {**right, "num_query_heads": [2, 6, 7, 8]}
    assert findings(shapes_of(right), broken) == [("ELM604", ("num_query_heads", 2))]
    deeper = {**right, "num_kv_heads": [1, 3, 3, 4, 4], "num_query_heads": [2, 6, 6, 8, 8]}
    assert findings(shapes_of(right), deeper) == []
    assert findings(shapes_of(right), {**right, "num_kv_heads": [1, 3, "3", 5]}) == [
        ("ELM604", ("num_kv_heads", 3))
    ]
    assert findings(shapes_of(right), {}) == []


def test_the_deepest_model_is_read_and_a_header_beyond_the_limit_is_not(tmp_path: Path) -> None:
    deep = {**VALUES, "num_transformer_layers": MAX_LAYERS, "ffn_multipliers": [0.5, 4.0]}
    del deep["num_query_heads"], deep["num_kv_heads"]
    file = tmp_path / "model.safetensors"
    checkpoint(file, shapes_of(deep))
    assert len(read_headers(file)) == 8 * MAX_LAYERS + 2
    file.write_bytes(struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * (MAX_HEADER_BYTES + 1))
    with pytest.raises(CheckpointError, match="a header of 8,388,609 bytes"):
        read_headers(file)
