"""Checkpoints that MLX quantized as sources: unpacked as MLX unpacks them, tensor by tensor."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import models
import numpy as np
import pytest
from conftest import Run
from mlx.utils import tree_flatten

import elmcfg
from elmcfg.geometry import geometry

SINGLE = "model.safetensors"
CONFIG = {"model_dim": 128, "head_dim": 32, "num_gqa_groups": 2}


def save(folder: Path, dtype: str, group: int, bits: int, **changes: Any) -> Path:
    """A quantized model folder, as ``mlx_lm.convert -q`` leaves it."""
    config = models.config(torch_dtype=dtype, **(CONFIG | changes))
    model: Any = elmcfg.build(config, dtype=dtype)
    nn.quantize(model, group_size=group, bits=bits)
    weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    models.save(folder, config, weights)
    values = json.loads((folder / "config.json").read_text())
    quantization = {"group_size": group, "bits": bits, "mode": "affine"}
    values |= {"quantization": quantization, "quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def unpacked(folder: Path, group: int, bits: int) -> dict[str, mx.array]:
    """What MLX makes of it, in float32."""
    stored: Any = mx.load(str(folder / SINGLE))
    whole = {}
    for name, value in stored.items():
        base, _, part = name.rpartition(".")
        if part == "weight" and f"{base}.scales" in stored:
            scales, biases = (
                stored[f"{base}.{n}"].astype(mx.float32) for n in ("scales", "biases")
            )
            whole[name] = mx.dequantize(value, scales, biases, group_size=group, bits=bits)
        elif part == "weight":
            whole[name] = value.astype(mx.float32)
    return whole


@pytest.mark.parametrize(
    ("group", "bits"), [(32, 2), (64, 3), (32, 4), (128, 4), (32, 5), (64, 6), (32, 8)]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_unpacked_as_mlx_does_it(
    run: Run, tmp_path: Path, dtype: str, group: int, bits: int
) -> None:
    # Widths that every size of group divides, or else MLX leaves matrices as they are.
    wide = {"head_dim": 64, "ffn_dim_divisor": 128}
    source = save(tmp_path / "small", dtype, group, bits, **wide)
    made = tmp_path / "made"
    assert run("convert", str(source), str(made), "--dtype", "float32").code == 0
    got: Any = mx.load(str(made / SINGLE))
    expected = unpacked(source, group, bits)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # MLX may fuse the product and the sum, so that it rounds once where we round twice.
        assert np.allclose(got[name], value, rtol=1e-6, atol=1e-7), name
    assert "quantization" not in json.loads((made / "config.json").read_text())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_its_own_dtype_is_that_of_its_scales(run: Run, tmp_path: Path, dtype: str) -> None:
    source = save(tmp_path / "small", dtype, 32, 4)
    assert run("convert", str(source), str(tmp_path / "made")).code == 0
    made = elmcfg.load(tmp_path / "made")
    assert made.torch_dtype == dtype
    got: Any = mx.load(str(tmp_path / "made" / SINGLE))
    for name, value in unpacked(source, 32, 4).items():
        assert str(got[name].dtype) == f"mlx.core.{dtype}"
        assert mx.array_equal(got[name], value.astype(got[name].dtype)), name


@pytest.mark.parametrize("changes", [{}, {"normalize_qk_projections": False}], ids=["norm", "none"])
def test_headers_alone_tell_it(run: Run, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = save(tmp_path / "small", "bfloat16", 32, 4, **changes)
    whole = elmcfg.load(folder)
    assert run("validate", str(folder)).code == 0
    assert run("validate", str(folder), "--weights", str(folder / SINGLE)).code == 0
    (folder / "config.json").unlink()
    told = elmcfg.load(folder)
    assert geometry(told).tensor_shapes() == geometry(whole).tensor_shapes()
    assert told.torch_dtype == "bfloat16"
    assert run("show", str(folder / SINGLE)).code == 0


def test_llama_cpp_runs_it(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    source, file = save(tmp_path / "small", "float32", 32, 8), tmp_path / "made.gguf"
    assert run("convert", str(source), str(file), "--dtype", "float32").code == 0
    tokens = [5, 17, 200, 299, 1, 42]
    expected = models.log_probabilities(elmcfg.load(source), unpacked(source, 32, 8), tokens)
    for token, probability in models.llama_cpp(file, tokens).items():
        assert abs(expected[token] - probability) < 1e-3


def test_other_packings_are_refused(run: Run, tmp_path: Path) -> None:
    source = save(tmp_path / "small", "float32", 32, 4)
    whole: Any = mx.load(str(source / SINGLE))

    def said(weights: dict[str, mx.array]) -> str:
        mx.save_safetensors(str(source / SINGLE), weights)
        outcome = run("convert", str(source), str(tmp_path / "made"))
        assert outcome.code == 1
        assert not (tmp_path / "made").exists()
        return outcome.err

    name = "transformer.layers.1.ffn.proj_1."
    without = {n: mx.array(v) for n, v in whole.items()}
    assert "only the affine one" in said({n: v for n, v in without.items() if n != name + "biases"})
    assert "do not fit" in said(without | {name + "biases": without[name + "biases"][:2]})
    assert "different dtypes" in said(
        without | {name + "biases": without[name + "biases"].astype(mx.float16)}
    )
    assert "are not this config's" in said(
        without | {name + "weight": without[name + "weight"][:2]}
    )
