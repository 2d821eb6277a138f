"""How weights and caches are stored, against what MLX, mlx-lm and GGUF files hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import models
import pytest
import yaml
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

import elmcfg
from elmcfg import storage
from elmcfg.costs import STORED, cost
from elmcfg.geometry import geometry

# The second and the fourth layer have widths that groups of 64 do not divide.
UNEVEN: dict[str, Any] = {
    "model_dim": 128,
    "head_dim": 32,
    "num_gqa_groups": 2,
    "torch_dtype": "bfloat16",
}
WAYS: dict[str, dict[str, Any]] = {
    "affine 4": {"group_size": 64, "bits": 4},
    "affine 3": {"group_size": 32, "bits": 3},
    "affine 8": {"group_size": 128, "bits": 8},
    "mxfp4": {"group_size": None, "bits": None, "mode": "mxfp4"},
    "nvfp4": {"group_size": None, "bits": None, "mode": "nvfp4"},
    "mxfp8": {"group_size": None, "bits": None, "mode": "mxfp8"},
    "single layers": {
        "group_size": 64,
        "bits": 4,
        "quant_predicate": lambda path, _: (
            {"group_size": 32, "bits": 6} if "qkv_proj" in path else True
        ),
    },
    "some left out": {
        "group_size": 64,
        "bits": 4,
        "quant_predicate": lambda path, _: "layers.2" not in path,
    },
}


def quantized(folder: Path, source: Path, way: dict[str, Any]) -> int:
    """Write a folder as ``mlx_lm.convert -q`` does, and return the bytes of its tensors."""
    utils = pytest.importorskip("mlx_lm.utils")
    model, config = utils.load_model(source)
    model, config = utils.quantize_model(model, config, **way)
    utils.save_model(folder, model)
    utils.save_config(config, folder / "config.json")
    tensors: Any = mx.load(str(folder / "model.safetensors"))
    return sum(int(value.nbytes) for value in tensors.values())


def shown(run: Run, *arguments: str) -> Any:
    done = run("show", *arguments, "--format", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    config = models.config(**UNEVEN)
    weights = {n: v.astype(mx.bfloat16) for n, v in models.tensors(config).items()}
    return models.save(tmp_path / "source", config, weights)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_quantized_folder_has_the_bytes_that_mlx_lm_wrote(
    run: Run, tmp_path: Path, source: Path, way: dict[str, Any]
) -> None:
    small = tmp_path / "small"
    expected = quantized(small, source, way)
    values = shown(run, str(small))
    assert values["cost"]["weight_bytes"] == expected
    # All but the last norm, which no layer has.
    assert values["layers"][-1]["cumulative_weight_bytes"] == expected - 2 * UNEVEN["model_dim"]
    assert shown(run, str(small / "model.safetensors"))["cost"]["weight_bytes"] == expected
    # The config alone tells it too, but for what was left out, of which it says nothing.
    alone = tmp_path / "alone.json"
    shutil.copy(small / "config.json", alone)
    by_config = shown(run, str(alone))["cost"]["weight_bytes"]
    assert (by_config == expected) == (way is not WAYS["some left out"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_quantized_folder_is_not_the_same_as_its_source(
    run: Run, tmp_path: Path, source: Path
) -> None:
    small, smaller = tmp_path / "small", tmp_path / "smaller"
    expected = quantized(small, source, WAYS["affine 4"])
    quantized(smaller, source, WAYS["affine 3"])
    done = json.loads(run("diff", str(source), str(small), "--format", "json").out)
    assert done["same"] is False
    assert done["keys"]["quantization"][0] is None
    assert done["keys"]["quantization"][1].startswith("4 bits in groups of 64")
    weights = next(row for row in done["costs"] if row[0] == "weights")
    assert weights[2:] == [2 * cost(elmcfg.load(source)).parameters.total, expected]
    assert "4 bits in groups of 64" in run("diff", str(small), str(source)).out
    assert (
        json.loads(run("diff", str(small), str(smaller), "--format", "json").out)["same"] is False
    )
    assert json.loads(run("diff", str(small), str(small), "--format", "json").out)["same"] is True
    # Counted in one dtype, both weigh the same.
    arguments = ("diff", str(source), str(small), "--weight-dtype", "float32", "--format", "json")
    weights = next(row for row in json.loads(run(*arguments).out)["costs"] if row[0] == "weights")
    assert weights[2] == weights[3] == 4 * cost(elmcfg.load(source)).parameters.total


def test_a_dtype_that_the_config_does_not_tell_is_a_difference(
    run: Run, tmp_path: Path, source: Path
) -> None:
    config = elmcfg.load(source)
    wide = models.save(tmp_path / "wide", config, models.tensors(config))  # in float32
    assert shown(run, str(wide))["cost"]["weight_bytes"] == 4 * cost(config).parameters.total
    done = json.loads(run("diff", str(source), str(wide), "--format", "json").out)
    assert (done["same"], done["keys"]) == (False, {"torch_dtype": ["bfloat16", "float32"]})


def test_a_gguf_file_has_the_bytes_of_its_tensors(run: Run, tmp_path: Path, source: Path) -> None:
    gguf = pytest.importorskip("gguf")
    for dtype in ("q8_0", "float32"):
        file = tmp_path / f"{dtype}.gguf"
        assert run("convert", str(source), str(file), "--dtype", dtype).code == 0
        expected = sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(file).tensors)
        assert shown(run, str(file))["cost"]["weight_bytes"] == expected


@pytest.mark.parametrize("dtype", ["q8", "q4"])
@given(
    st.integers(1, 3).map(lambda n: 64 * n),
    st.sampled_from([32, 64]),
    st.sampled_from([32, 48, 64]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=20)
def test_flags_count_what_mlx_makes(
    dtype: str, model_dim: int, head_dim: int, divisor: int, tied: bool, gated: bool
) -> None:
    config = models.config(
        model_dim=model_dim,
        head_dim=head_dim,
        ffn_dim_divisor=divisor,
        share_input_output_layers=tied,
        ffn_with_glu=gated,
    )
    model: Any = elmcfg.build(config, dtype="bfloat16")
    nn.quantize(
        model,
        group_size=64,
        bits=int(dtype[1:]),
        class_predicate=lambda _, m: hasattr(m, "to_quantized") and m.weight.shape[-1] % 64 == 0,
    )
    tensors: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    expected = sum(value.nbytes for value in tensors.values())
    assert cost(config, weight_dtype=dtype).weight_bytes == expected


@pytest.mark.parametrize("dtype", STORED)
def test_a_cache_takes_what_mlx_makes_of_keys_and_values(dtype: str) -> None:
    config = models.config(head_dim=64)
    got = [layer.kv_cache_bytes_per_token for layer in cost(config, cache_dtype=dtype).layers]
    for layer, nbytes in zip(geometry(config).layers, got, strict=True):
        keys = mx.zeros((layer.num_kv_heads, config.head_dim), mx.bfloat16)
        parts = (
            mx.quantize(keys, group_size=64, bits=int(dtype[1:]))
            if dtype.startswith("q")
            else [keys.astype(getattr(mx, dtype))]
        )
        assert nbytes == 2 * sum(part.nbytes for part in parts)
    with pytest.raises(ValueError, match="head_dim 32 is not whole groups of 64"):
        cost(models.config(), cache_dtype="q4")
    for key in ("weight_dtype", "cache_dtype"):
        wrong: dict[str, Any] = {key: "q2"}
        with pytest.raises(ValueError, match=f"{key} is 'q2'; there are float32, bfloat16"):
            cost(config, **wrong)


BOUND: dict[str, Callable[[int, int], float]] = {
    "bfloat16": lambda weights, cache: 2 * weights + 2 * cache,
    "float32": lambda weights, cache: 4 * weights + 4 * cache,
}


@pytest.mark.parametrize("dtype", BOUND)
def test_a_roofline_is_of_the_dtypes_that_it_names(run: Run, dtype: str) -> None:
    flags = ("--weight-dtype", dtype, "--cache-dtype", dtype, "--hardware", "1GB/s,1PFLOPS")
    config = elmcfg.load("openelm-270m")
    numbers = 16_128 // 2 * config.max_context_length
    expected = BOUND[dtype](271_527_168, numbers) / 1e9
    got = shown(run, "openelm-270m", *flags)["roofline"]["decode_seconds"]
    assert got == pytest.approx(expected, rel=1e-9)
    text = run("show", "openelm-270m", *flags).out
    assert f"weights {dtype}, KV cache {dtype}" in text
    assert "with these dtypes no program on this machine is faster" in " ".join(text.split())


def test_a_design_keeps_the_dtypes_that_it_was_searched_with(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    wanted = ("scale", "--max-weights", "100MB", "--maximize", "params")
    dtypes = ("--weight-dtype", "q4", "--cache-dtype", "q8", "--context-length", "4096")
    search = json.loads(run(*wanted, *dtypes, "--format", "json").out)["candidates"][0]
    assert run(*wanted, *dtypes, "-o", str(path)).code == 0
    got = shown(run, str(path))["cost"]
    assert got["weight_bytes"] == search["costs"]["weights"] <= 100e6
    assert got["kv_cache_bytes_per_token"] * 4096 == search["costs"]["kv-cache"]
    assert search["cost"] == got
    said = run("show", str(path), "--hardware", "h100").out
    assert "weights q4: 4 bits in groups of 64, KV cache q8" in said
    # Its checkpoint is no quantized one.
    model = tmp_path / "model.json"
    outcome = run(*wanted, *dtypes, "-o", str(model))
    assert "no place for weight_dtype q4 and cache_dtype q8" in outcome.err
    assert (
        not {"quantization", "weight_dtype", "cache_dtype"} & json.loads(model.read_text()).keys()
    )
    assert run("validate", "--strict", str(path), str(model)).code == 0


@pytest.mark.parametrize("flags", [(), ("--from", "openelm-270m")])
def test_a_dtype_of_checkpoints_is_that_of_the_design(run: Run, flags: tuple[str, ...]) -> None:
    wanted = ("scale", *flags, "--max-weights", "800MB", "--maximize", "params", "-q")
    values = yaml.safe_load(run(*wanted, "--weight-dtype", "float32").out)
    assert (values["torch_dtype"], values.get("weight_dtype")) == ("float32", None)
    both = ("--weight-dtype", "float16", "--torch-dtype", "float32")
    values = yaml.safe_load(run(*wanted, *both).out)
    assert (values["torch_dtype"], values["weight_dtype"]) == ("float32", "float16")
    values = yaml.safe_load(run(*wanted, "--cache-dtype", "bfloat16").out)
    assert not {"weight_dtype", "cache_dtype"} & values.keys()


@pytest.mark.parametrize(
    "described",
    [None, 4, {}, {"group_size": "x", "bits": 4}, {"bits": 4}, {"group_size": 0, "bits": 4},
     {"group_size": 64, "bits": 99}, {"group_size": 64, "bits": True}, {"quant_method": "gptq"},
     {"group_size": 64, "bits": 4, "mode": ["affine"]}, {"group_size": 64, "bits": 4, "mode": 3}],
)  # fmt: skip
def test_a_quantization_that_says_nothing_sound_counts_as_none(described: Any) -> None:
    shape = geometry(models.config())
    assert storage.of_config({"quantization": described}, shape, "bfloat16") is None
