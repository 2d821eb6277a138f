"""A model cut out of a bigger one computes what the bigger one does with the rest masked out."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import models
import numpy as np
import pytest
from conftest import Run

import elmcfg
from elmcfg.geometry import LayerShape, geometry

TOKENS = [5, 17, 200, 299, 1, 42]
SMALLER: dict[str, dict[str, Any]] = {
    "fewer FFN channels": {"ffn_multipliers": [0.4, 2.0]},
    "fewer KV heads": {"qkv_multipliers": [0.7, 0.7]},
    "fewer query heads": {"num_gqa_groups": 1, "qkv_multipliers": [0.34, 0.67]},
    "fewer of all": {
        "num_transformer_layers": 2,
        "num_gqa_groups": 1,
        "qkv_multipliers": [0.34, 0.34],
        "ffn_multipliers": [0.4, 1.0],
    },
}
UNGATED = {
    "ffn_with_glu": False,
    "normalize_qk_projections": False,
    "share_input_output_layers": False,
}


def scores(matrix: mx.array) -> np.ndarray[Any, Any]:
    """Squared norms of the columns."""
    columns: np.ndarray[Any, Any] = (np.array(matrix, dtype=np.float64) ** 2).sum(axis=0)
    return columns


def best(values: list[float], count: int, keep: str) -> list[int]:
    if keep == "first":
        return list(range(count))
    return sorted(sorted(range(len(values)), key=lambda i: (-values[i], i))[:count])


def masked_layer(
    weights: dict[str, mx.array], prefix: str, big: LayerShape, small: LayerShape, h: int, keep: str
) -> None:
    """Zero the output columns of all heads and channels that the small model lacks."""
    out, down = prefix + "attn.out_proj.weight", prefix + "ffn.proj_2.weight"
    ratio, wanted = (x.num_query_heads // x.num_kv_heads for x in (big, small))
    norms = scores(weights[out]).reshape(big.num_query_heads, h).sum(axis=1)
    in_group = [
        best([float(n) for n in norms[g * ratio : (g + 1) * ratio]], wanted, keep)
        for g in range(big.num_kv_heads)
    ]
    of_group = [
        sum(float(norms[g * ratio + i]) for i in in_group[g]) for g in range(big.num_kv_heads)
    ]
    kept = {g * ratio + i for g in best(of_group, small.num_kv_heads, keep) for i in in_group[g]}
    mask = np.repeat([float(i in kept) for i in range(big.num_query_heads)], h)
    weights[out] = weights[out] * mx.array(mask.astype(np.float32))
    channels = best([float(n) for n in scores(weights[down])], small.ffn_dim, keep)
    mask = np.zeros(big.ffn_dim)
    mask[channels] = 1
    weights[down] = weights[down] * mx.array(mask.astype(np.float32))


@pytest.mark.parametrize("keep", ["first", "largest"])
@pytest.mark.parametrize("base", [{}, UNGATED], ids=["gated", "ungated"])
@pytest.mark.parametrize("changes", SMALLER.values(), ids=SMALLER.keys())
def test_it_computes_what_the_masked_model_does(
    run: Run, tmp_path: Path, changes: dict[str, Any], base: dict[str, Any], keep: str
) -> None:
    big, small = models.config(**base), models.config(**base, **changes)
    weights = models.tensors(big)
    source, made = models.save(tmp_path / "big", big, weights), tmp_path / "made"
    (tmp_path / "small.yaml").write_text(elmcfg.dump(small))
    arguments = ["convert", str(source), str(made), "--slice", str(tmp_path / "small.yaml")]
    arguments += ["--slice-keep", keep]
    layers = list(range(4))
    if small.num_transformer_layers == 2:
        layers = [1, 2]
        arguments += ["--slice-layers", "1,2"]
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    assert f"layers {', '.join(map(str, layers))}" in outcome.err
    for index in range(4):
        prefix = f"transformer.layers.{index}."
        if index in layers:
            shapes = geometry(big).layers[index], geometry(small).layers[layers.index(index)]
            masked_layer(weights, prefix, *shapes, big.head_dim, keep)
        else:
            for name in ("attn.out_proj.weight", "ffn.proj_2.weight"):
                weights[prefix + name] = mx.zeros_like(weights[prefix + name])
    cut = mx.load(str(made / "model.safetensors"))
    assert isinstance(cut, dict)
    expected = models.log_probabilities(big, weights, TOKENS)
    got = models.log_probabilities(elmcfg.load(made), cut, TOKENS)
    assert np.allclose(got, expected, atol=2e-5)
    whole = models.log_probabilities(big, models.tensors(big), TOKENS)
    assert not np.allclose(whole, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "extra", "reason"),
    [
        ({"model_dim": 64}, [], "model_dim is 96"),
        ({"head_dim": 64}, [], "head_dim is 32"),
        ({"vocab_size": 10}, [], "vocab_size is 300"),
        ({"rms_norm_eps": 1e-5}, [], "rms_norm_eps is 1e-06"),
        ({"rope_freq_constant": 10.0}, [], "rope_freq_constant is 500"),
        ({"ffn_multipliers": [4.0, 0.5]}, [], "FFN channels"),
        ({"qkv_multipliers": [2.0, 0.7]}, [], "KV heads"),
        ({"num_gqa_groups": 4, "qkv_multipliers": [1.4, 1.4]}, [], "query heads per KV head"),
        ({"num_transformer_layers": 5}, [], "5 layers out of 4"),
        ({"num_transformer_layers": 2}, ["--slice-layers", "2,1"], "must rise"),
        ({"num_transformer_layers": 2}, ["--slice-layers", "1,4"], "0 to 3"),
        ({"num_transformer_layers": 2}, ["--slice-layers", "1"], "1 layers named"),
    ],
)
def test_what_is_no_part_of_it_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any], extra: list[str], reason: str
) -> None:
    big = models.config()
    source = models.save(tmp_path / "big", big, models.tensors(big))
    (tmp_path / "small.yaml").write_text(elmcfg.dump(models.config(**changes)))
    arguments = ["convert", str(source), str(tmp_path / "made")]
    outcome = run(*arguments, "--slice", str(tmp_path / "small.yaml"), *extra)
    assert outcome.code == 1
    assert reason in outcome.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("layers", ["0,1,2", "0,2,5", "1,2,6", "3", "4,5", "0,1,2,3,4,5,6"])
@pytest.mark.parametrize("written", ["sel.yaml", "sel.json"])
def test_layers_that_were_selected_are_the_ones_that_are_cut(
    run: Run, tmp_path: Path, layers: str, written: str
) -> None:
    big = models.config(num_transformer_layers=7)
    weights = models.tensors(big)
    source, selected = models.save(tmp_path / "big", big, weights), tmp_path / written
    flags = ("--from", str(source), "--select-layers", layers)
    assert run("scale", *flags, "-o", str(selected)).code == 0
    made = tmp_path / "made"
    outcome = run("convert", str(source), str(made), "--slice", str(selected))
    assert outcome.code == 0, outcome.err
    cut: Any = mx.load(str(made / "model.safetensors"))
    for index, layer in enumerate(layers.split(",")):
        name = "transformer.layers.{}.attn_norm.weight"
        assert mx.array_equal(cut[name.format(index)], weights[name.format(layer)])


@pytest.mark.parametrize(
    ("changes", "layers", "reason"),
    [
        # Layers of one width: any of them could be meant.
        ({"qkv_multipliers": [1.0], "ffn_multipliers": [1.0]}, "0,2", "several are as wide"),
        # In another order, or twice: nothing that can be cut.
        ({}, "2,0", "none are as wide"),
        ({}, "1,1", "none are as wide"),
    ],
)
def test_a_choice_that_the_sizes_do_not_tell_is_asked_for(
    run: Run, tmp_path: Path, changes: dict[str, Any], layers: str, reason: str
) -> None:
    big = models.config(num_transformer_layers=4, **changes)
    source, selected = models.save(tmp_path / "big", big, models.tensors(big)), tmp_path / "s.yaml"
    flags = ("--from", str(source), "--select-layers", layers)
    assert run("scale", *flags, "-o", str(selected)).code == 0
    arguments = ("convert", str(source), str(tmp_path / "made"), "--slice", str(selected))
    outcome = run(*arguments)
    assert outcome.code == 1
    assert f"In order, {reason} as its own" in outcome.err
    assert "--slice-layers, such as 0,3" in outcome.err
    assert not (tmp_path / "made").exists()
    if sorted(set(layers.split(","))) == layers.split(","):
        assert run(*arguments, "--slice-layers", layers).code == 0


def test_it_is_called_with_weights_and_a_smaller_model(run: Run, tmp_path: Path) -> None:
    outcome = run("convert", "tiny", str(tmp_path / "made"), "--slice", "tiny")
    assert outcome.code == 1
    assert "no weights to cut" in outcome.err
    outcome = run("convert", "tiny", str(tmp_path / "made"), "--slice-layers", "1,2")
    assert outcome.code == 2
    assert "--slice CONFIG" in outcome.err
