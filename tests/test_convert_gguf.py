"""GGUF files, proven by llama.cpp: it says of the same tokens what we say."""

import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import models
import numpy as np
import pytest
from conftest import Run
from mlx.utils import tree_flatten

import elmcfg
from elmcfg.conversion.tokenizer import placeholder
from elmcfg.conversion.weights import blocked

pytest.importorskip("xllamacpp")
gguf = pytest.importorskip("gguf")

TOKENS = [5, 17, 200, 299, 1, 42]
VARIANTS = {
    "rising": {},
    "framed crown": {
        "num_transformer_layers": 7,
        "qkv_multipliers": [0.7, 2.0, 0.7],
        "ffn_multipliers": [0.5, 3.0, 0.5],
        "schedule": {"frame_ffn_multiplier": 4.0, "frame_qkv_multiplier": 1.4, "decimals": None},
    },
    "lists": {
        "num_gqa_groups": None,
        "qkv_multipliers": None,
        "num_query_heads": [4, 1, 6, 2],
        "num_kv_heads": [1, 1, 3, 2],
        "ffn_multipliers": [4.0, 0.4, 1.0, 2.0],
    },
    "another epsilon": {"rms_norm_eps": 0.5},
    "wide heads": {"head_dim": 64, "rope_freq_constant": 10000.0},
}


def converted(
    run: Run, folder: Path, config: elmcfg.Config, dtype: str
) -> tuple[Path, dict[str, mx.array]]:
    weights = models.tensors(config)
    models.save(folder / "model", config, weights)
    file = folder / "model.gguf"
    outcome = run("convert", str(folder / "model"), str(file), "--dtype", dtype)
    assert outcome.code == 0, outcome.err
    assert "gguf, by its name" in outcome.err
    return file, weights


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_llama_cpp_computes_the_same(run: Run, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = models.config(**changes)
    file, weights = converted(run, tmp_path, config, "float32")
    theirs = models.llama_cpp(file, TOKENS)
    ours = models.log_probabilities(config, weights, TOKENS)
    assert len(theirs) == 8
    assert set(theirs) == set(np.argsort(-ours)[:8].tolist())
    assert theirs == pytest.approx({token: float(ours[token]) for token in theirs}, abs=5e-5)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 0.03), ("bfloat16", 0.1), ("q8_0", 0.3)]
)
def test_llama_cpp_computes_nearly_the_same_in_other_types(
    run: Run, tmp_path: Path, dtype: str, tolerance: float
) -> None:
    """It rounds activations to the type of the weights as well, which ours do not."""
    config = models.config()
    file, weights = converted(run, tmp_path, config, dtype)
    expected = models.log_probabilities(config, weights, TOKENS)
    got = models.llama_cpp(file, TOKENS)
    assert got == pytest.approx({token: float(expected[token]) for token in got}, abs=tolerance)
    assert max(got, key=lambda token: got[token]) == np.argmax(expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "q8_0"])
def test_the_file_holds_the_weights(run: Run, tmp_path: Path, dtype: str) -> None:
    """Read by the gguf package, and rounded by MLX or that package."""
    file, weights = converted(run, tmp_path, models.config(), dtype)
    stored = {t.name: t for t in gguf.GGUFReader(file).tensors}
    fused = np.array(weights["transformer.layers.2.ffn.proj_1.weight"])
    values = fused[len(fused) // 2 :]
    if dtype == "q8_0":
        kind = gguf.GGMLQuantizationType.Q8_0
        expected = gguf.dequantize(gguf.quantize(values, kind), kind)
    else:
        expected = np.array(mx.array(values).astype(getattr(mx, dtype)).astype(mx.float32))
    up = stored["blk.2.ffn_up.weight"]
    assert np.array_equal(gguf.dequantize(up.data, up.tensor_type), expected)
    norm = stored["blk.2.attn_q_norm.weight"]
    assert norm.tensor_type == gguf.GGMLQuantizationType.F32
    assert np.array_equal(norm.data, weights["transformer.layers.2.attn.q_norm.weight"])


def test_q8_0_is_the_gguf_packages() -> None:
    values = np.random.default_rng(0).normal(size=(7, 96)).astype(np.float32)
    values[3] = 0
    expected = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    assert np.array_equal(blocked(values), expected)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalize_qk_projections": False}, "normalize_qk_projections"),
        ({"share_input_output_layers": False}, "share_input_output_layers"),
        ({"ffn_with_glu": False}, "ffn_with_glu"),
        ({"num_transformer_layers": 513}, "513 layers"),
    ],
)
def test_what_llama_cpp_cannot_run_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    source, target = tmp_path / "c.yaml", tmp_path / "c.gguf"
    source.write_text(elmcfg.dump(models.config(**changes)))
    outcome = run("convert", str(source), str(target))
    assert outcome.code == 1
    assert reason in outcome.err
    assert sorted(tmp_path.iterdir()) == [source]


def test_random_weights_where_there_are_none(run: Run, tmp_path: Path) -> None:
    """The weights of ``elmcfg.build`` with the same seed."""
    target = tmp_path / "tiny.gguf"
    assert run("convert", "tiny", str(target), "--seed", "5", "--dtype", "float32").code == 0
    config = elmcfg.load("tiny")
    weights = dict(tree_flatten(elmcfg.build(config, seed=5).parameters()))
    expected = models.log_probabilities(config, weights, TOKENS)
    got = models.llama_cpp(target, TOKENS)
    assert got == pytest.approx({token: float(expected[token]) for token in got}, abs=5e-5)


def test_nothing_is_left_of_a_file_that_cannot_be_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elmcfg.conversion.gguf._data", full)
    outcome = run("convert", "tiny", str(tmp_path / "tiny.gguf"))
    assert outcome.code == 2
    assert "No space left" in outcome.err
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    outcome = run("convert", "tiny", str(tmp_path / "tiny.gguf"))
    assert outcome.code == 1
    assert "elmcfg[gguf]" in outcome.err


@pytest.mark.parametrize("size", [2, 259, 300])
def test_the_placeholder_has_a_token_for_each_row(size: int) -> None:
    made = placeholder(size)
    assert len(made.tokens) == len(made.scores) == len(made.kinds) == size
    assert len(set(made.tokens)) == size
