"""Model folders, proven by mlx-lm: it loads, quantizes and trains them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import models
import numpy as np
import pytest
from conftest import Run

import elmcfg
from elmcfg import conversion
from elmcfg.formats import hub
from elmcfg.geometry import geometry

TOKENS = [5, 17, 200, 299, 1, 42]
CROWN = {
    "num_transformer_layers": 7,
    "qkv_multipliers": [0.7, 2.0, 0.7],
    "ffn_multipliers": [0.5, 3.0, 0.5],
    "schedule": {"frame_ffn_multiplier": 4.0, "decimals": None},
}
SINGLE = "model.safetensors"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["hub", "mlx-lm"])
@pytest.mark.parametrize("changes", [{}, CROWN], ids=["rising", "crown"])
def test_mlx_lm_loads_it_and_computes_the_same(
    run: Run, tmp_path: Path, form: str, changes: dict[str, Any]
) -> None:
    utils = pytest.importorskip("mlx_lm.utils")
    config = models.config(**changes)
    weights = models.tensors(config)
    source = models.save(tmp_path / "source", config, weights)
    outcome = run("convert", str(source), str(tmp_path / "made"), "--to", form)
    assert outcome.code == 0, outcome.err
    model, _ = utils.load_model(tmp_path / "made")
    logits = model(mx.array([TOKENS]))[0, -1]
    expected = models.log_probabilities(config, weights, TOKENS)
    assert np.allclose(logits - mx.logsumexp(logits), expected, atol=1e-4)
    warned = (
        "warning: hf silently builds another model" in outcome.err
        or "warning: hf stops" in outcome.err
    )
    assert warned == (form == "hub" and bool(changes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlx_lm_quantizes_it(run: Run, tmp_path: Path) -> None:
    utils = pytest.importorskip("mlx_lm.utils")
    folder = tmp_path / "made"
    assert run("convert", "tiny", str(folder)).code == 0
    model, config = utils.load_model(folder)
    quantized, config = utils.quantize_model(model, config, group_size=32, bits=4)
    utils.save_model(tmp_path / "small", quantized)
    utils.save_config(config, tmp_path / "small" / "config.json")
    again, _ = utils.load_model(tmp_path / "small")
    assert again(mx.array([TOKENS])).shape == (1, len(TOKENS), 1024)
    # ... and of what it wrote we see through the packing.
    read = elmcfg.load(tmp_path / "small" / SINGLE)
    assert geometry(read).tensor_shapes() == geometry(elmcfg.load("tiny")).tensor_shapes()


def test_a_folder_of_lists_alone_gets_the_recipe_that_the_hub_wants(
    run: Run, tmp_path: Path
) -> None:
    source = tmp_path / "lists.json"
    config = models.config()
    listed = elmcfg.resolve(config).model_dump(mode="json", exclude_none=True)
    del listed["qkv_multipliers"], listed["num_gqa_groups"]
    source.write_text(json.dumps(listed))
    outcome = run("convert", str(source), str(tmp_path / "made"), "--to", "hub")
    assert outcome.code == 0
    assert "transformers would not" not in outcome.err
    made = json.loads((tmp_path / "made" / "config.json").read_text())
    assert made["num_gqa_groups"] == 2
    assert len(made["qkv_multipliers"]) == 2
    assert geometry(elmcfg.load(made)).tensor_shapes() == geometry(config).tensor_shapes()


def test_config_json_has_every_key_of_the_released_ones(run: Run, tmp_path: Path) -> None:
    assert run("convert", "tiny", str(tmp_path / "made")).code == 0
    made = json.loads((tmp_path / "made" / "config.json").read_text())
    assert made.keys() >= {
        "activation_fn_name", "bos_token_id", "eos_token_id", "ffn_dim_divisor", "ffn_multipliers",
        "ffn_with_glu", "head_dim", "initializer_range", "max_context_length", "model_dim",
        "model_type", "normalization_layer_name", "normalize_qk_projections", "num_gqa_groups",
        "num_kv_heads", "num_query_heads", "num_transformer_layers", "qkv_multipliers",
        "rms_norm_eps", "rope_freq_constant", "rope_max_length", "share_input_output_layers",
        "torch_dtype", "use_cache", "vocab_size",
    }  # fmt: skip
    generation = json.loads((tmp_path / "made" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == 2


RELEASED_CODE = {
    "AutoConfig": "configuration_openelm.OpenELMConfig",
    "AutoModelForCausalLM": "modeling_openelm.OpenELMForCausalLM",
}


@pytest.mark.parametrize(
    ("auto_map", "kept"),
    [
        (RELEASED_CODE, True),
        ({"AutoConfig": RELEASED_CODE["AutoConfig"]}, True),
        (RELEASED_CODE | {"AutoModelForCausalLM": "evil/code--modeling.Evil"}, False),
        ({"AutoConfig": "evil/code--configuration_openelm.OpenELMConfig"}, False),
        ({"AutoTokenizer": "modeling_openelm.OpenELMForCausalLM"}, False),
    ],
)
@pytest.mark.parametrize("target", ["made", "made.json"])
def test_code_of_strangers_is_not_named_in_what_is_written(
    run: Run, tmp_path: Path, auto_map: dict[str, str], kept: bool, target: str
) -> None:
    source = tmp_path / "source.json"
    source.write_text(hub.dump(models.config(auto_map=RELEASED_CODE)))
    said = json.loads(source.read_text())
    assert said["auto_map"] == RELEASED_CODE
    source.write_text(json.dumps(said | {"auto_map": auto_map}))
    made = tmp_path / target
    outcome = run("convert", str(source), str(made))
    assert outcome.code == 0
    assert ("warning: auto_map is left out" in outcome.err) is not kept
    text = (made / "config.json" if made.is_dir() else made).read_text()
    assert json.loads(text).get("auto_map") == (auto_map if kept else None)


def test_large_models_come_in_shards_that_mlx_lm_loads(tmp_path: Path) -> None:
    config = models.config()
    weights = models.tensors(config)
    source = models.save(tmp_path / "source", config, weights)
    made = tmp_path / "made"
    options = conversion.Options(shard_bytes=400_000)
    conversion.convert(config, made, "mlx-lm", checkpoint=source / SINGLE, options=options)
    files = sorted(made.glob("*.safetensors"))
    assert len(files) > 2
    assert all(f.stat().st_size < 420_000 for f in files)
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((made / "model.safetensors.index.json").read_text())
    loaded: dict[str, mx.array] = {}
    for file in files:
        part = mx.load(str(file))
        assert isinstance(part, dict)
        assert {index["weight_map"][name] for name in part} == {file.name}
        loaded |= part
    assert loaded.keys() == weights.keys()
    assert all(mx.array_equal(loaded[name], weights[name]) for name in weights)
    assert index["metadata"]["total_size"] == sum(w.nbytes for w in weights.values())
    # The shards are read back as one.
    (made / "config.json").unlink()
    assert geometry(elmcfg.load(made)).tensor_shapes() == geometry(config).tensor_shapes()


def test_one_tensor_is_held_at_a_time(tmp_path: Path) -> None:
    """Reading is interleaved with writing: no tensor is read before the one before is written."""
    from elmcfg.conversion import hub
    from elmcfg.conversion.weights import of_file

    config = models.config()
    source = models.save(tmp_path / "source", config, models.tensors(config))
    weights = of_file(source / SINGLE, config)
    made = tmp_path / "made"
    made.mkdir()
    written = []

    def read(name: str) -> Any:
        written.append((made / SINGLE).stat().st_size)
        return weights.read(name)

    hub.write(made, config, replace(weights, read=read), (), 10**9)
    assert written[-1] > (made / SINGLE).stat().st_size / 2


def test_the_same_bytes_go_there_and_back(run: Run, tmp_path: Path) -> None:
    first, file, second = (str(tmp_path / name) for name in ("first", "model.gguf", "second"))
    for arguments in (("tiny", first), (first, file), (file, second)):
        assert run("convert", *arguments).code == 0
    assert (tmp_path / "first" / SINGLE).read_bytes() == (tmp_path / "second" / SINGLE).read_bytes()


@pytest.mark.parametrize("form", ["hub", "mlx-lm"])
def test_what_a_folder_lacks_is_said(run: Run, tmp_path: Path, form: str) -> None:
    pytest.importorskip("mlx_lm")
    made = tmp_path / "made"
    outcome = run("convert", "tiny", str(made), "--to", form)
    card = (made / "README.md").read_text()
    for text in (outcome.err, card):
        assert "without which mlx_lm.generate and mlx_lm.lora stop" in text
        assert "--tokenizer FILE" in text
        assert ("modeling_openelm.py" in text) == (form == "hub")
        assert ("auto_map in config.json" in text) == (form == "hub")
    assert (json.dumps({"auto_map": RELEASED_CODE}, indent=2) in card) == (form == "hub")
    assert models.run_card(made) == {"python": "(1, 1, 1024)\n"}


def test_code_of_transformers_that_is_named_is_to_be_added(run: Run, tmp_path: Path) -> None:
    source, made = tmp_path / "source.json", tmp_path / "made"
    source.write_text(hub.dump(models.config(auto_map=RELEASED_CODE)))
    said = run("convert", str(source), str(made)).err
    assert "modeling_openelm.py" in said
    assert "auto_map" not in said


def test_a_card_says_whether_weights_are_random(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = models.config()
    models.save(Path("random"), config, models.tensors(config))
    for source, said in (("random", "Converted by elmcfg from random"), ("tiny", "**Random")):
        assert run("convert", source, "made", "--force").code == 0
        card = Path("made/README.md").read_text()
        assert said in card
        assert "proven" not in card  # nothing of it was


def test_a_config_json_in_capitals_is_json(run: Run, tmp_path: Path) -> None:
    assert run("convert", "tiny", str(tmp_path / "TINY.JSON")).code == 0
    assert json.loads((tmp_path / "TINY.JSON").read_text())["model_type"] == "openelm"


class TestTargets:
    def test_a_folder_is_not_replaced_unasked(self, run: Run, tmp_path: Path) -> None:
        made = tmp_path / "made"
        assert run("convert", "tiny", str(made)).code == 0
        before = (made / SINGLE).read_bytes()
        outcome = run("convert", "tiny", str(made), "--seed", "1")
        assert outcome.code == 2
        assert "is there already" in outcome.err
        assert (made / SINGLE).read_bytes() == before
        assert run("convert", "tiny", str(made), "--seed", "1", "--force").code == 0
        assert (made / SINGLE).read_bytes() != before
        assert [p.name for p in tmp_path.iterdir()] == ["made"]

    def test_an_interrupt_while_one_is_replaced(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = tmp_path / "made"
        assert run("convert", "tiny", str(made)).code == 0
        before = (made / SINGLE).read_bytes()
        rename = Path.replace
        calls: list[Path] = []

        def interrupted(path: Path, target: Path) -> Path:
            calls.append(target)
            if calls.count(made) == 1 and target == made:
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "replace", interrupted)
        assert run("convert", "tiny", str(made), "--seed", "1", "--force").code == 130
        assert (made / SINGLE).read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["made"]

    def test_not_the_folder_one_is_in(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        outcome = run("convert", "tiny", ".")
        assert outcome.code == 2
        assert "the folder you are in; name a new folder" in outcome.err
        assert not list(tmp_path.iterdir())

    def test_somebodys_work_is_never_replaced(self, run: Run, tmp_path: Path) -> None:
        work = tmp_path / "work"
        work.mkdir()
        (work / "thesis.tex").write_text("years")
        outcome = run("convert", "tiny", str(work), "--force")
        assert outcome.code == 2
        assert "thesis.tex" in outcome.err
        assert (work / "thesis.tex").read_text() == "years"

    def test_a_file_is_not_replaced_unasked(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("mine")
        assert run("convert", "tiny", str(file)).code == 2
        assert file.read_text() == "mine"
        assert run("convert", "tiny", str(file), "--force").code == 0
        assert elmcfg.load(file) == elmcfg.load("tiny")

    def test_a_disk_that_fills_up(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from elmcfg.formats import safetensors

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(safetensors, "write_header", full)
        outcome = run("convert", "tiny", str(tmp_path / "made"))
        assert outcome.code == 2
        assert "No space left" in outcome.err
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.safetensors"])
    def test_other_forms(self, run: Run, tmp_path: Path, name: str) -> None:
        outcome = run("convert", "tiny", str(tmp_path / name))
        assert outcome.code == 1
        assert "--to" in outcome.err

    def test_no_such_folder(self, run: Run, tmp_path: Path) -> None:
        for name in ("no/made", "no/made.gguf", "no/made.yaml"):
            outcome = run("convert", "tiny", str(tmp_path / name))
            assert outcome.code == 2, name
            assert "no" in outcome.err

    def test_weights_of_another_model(self, run: Run, tmp_path: Path) -> None:
        config = models.config()
        source = models.save(tmp_path / "source", config, models.tensors(config))
        (source / "config.json").write_text(
            json.dumps(json.loads((source / "config.json").read_text()) | {"vocab_size": 301})
        )
        outcome = run("convert", str(source), str(tmp_path / "made"))
        assert outcome.code == 1
        assert "token_embeddings" in outcome.err
        assert not (tmp_path / "made").exists()

    def test_a_weight_too_large_for_float16(self, run: Run, tmp_path: Path) -> None:
        config = models.config()
        weights = models.tensors(config)
        weights["transformer.norm.weight"] = mx.full((96,), 1e6)
        source = models.save(tmp_path / "source", config, weights)
        outcome = run("convert", str(source), str(tmp_path / "made"), "--dtype", "float16")
        assert outcome.code == 1
        assert "too large for F16" in outcome.err
        assert not (tmp_path / "made").exists()
