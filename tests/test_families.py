"""Configs of other families with per-layer shapes: shown, compared and checked, never built."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from oracles import count_parameters

import elmcfg
from elmcfg.formats.families import FamilyError, values
from elmcfg.geometry import geometry

LLAMA = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 1408,
    "vocab_size": 1000,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
BASE = {k: v for k, v in LLAMA.items() if k not in ("num_key_value_heads", "model_type")}
DECI = BASE | {"model_type": "deci", "num_key_value_heads_per_layer": [4, 2, 1, 4]}


def block(group: Any, multiplier: Any, **changes: Any) -> dict[str, Any]:
    attention = {"n_heads_in_group": group, "no_op": False, "replace_with_linear": False}
    return {
        "attention": attention,
        "ffn": {"ffn_mult": multiplier, "no_op": False, "replace_with_linear": False} | changes,
    }


NAS = BASE | {
    "model_type": "nemotron-nas",
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "intermediate_size": None,
    "block_configs": [block(8, 5.25), block(16, 2.625), block(32, 1.0), block(64, 0.5)],
}


def written(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return str(file)


@pytest.mark.parametrize("key", ["block_configs", "per_layer_config", "num_transformer_layers"])
def test_a_null_means_the_same_as_a_key_that_is_not_there(tmp_path: Path, key: str) -> None:
    assert values({**DECI, key: None, "head_dim": None}) == values(DECI)
    # A finding about one layer finds its place all the same.
    wrong = {**DECI, key: None, "num_key_value_heads_per_layer": [4, 3, 1, 4]}
    said = elmcfg.validate(written(tmp_path, wrong))
    assert "ELM203" in {d.code for d in said}
    layers = {"1": {"num_key_value_heads": 2}}
    own = {"1": {"num_key_value_heads": 2, "head_dim": None, "intermediate_size": None}}
    assert values({**LLAMA, "per_layer_config": own}) == values(
        {**LLAMA, "per_layer_config": layers}
    )


def test_decilm(run: Run, tmp_path: Path) -> None:
    shown = json.loads(run("show", written(tmp_path, DECI), "--format", "json").out)
    assert [layer["num_kv_heads"] for layer in shown["layers"]] == [4, 2, 1, 4]
    assert {layer["ffn_dim"] for layer in shown["layers"]} == {1408}
    assert shown["cost"]["parameters"]["total"] == count_parameters(
        1000, 512, 64, [8] * 4, [4, 2, 1, 4], [1408] * 4, qk_norm=False, tied=False
    )
    assert shown["cost"]["kv_cache_bytes_per_token"] == 2 * 2 * 64 * (4 + 2 + 1 + 4)
    assert shown["config"]["rope_freq_constant"] == 500000


def test_what_a_file_does_not_tell_is_said(run: Run, tmp_path: Path) -> None:
    told = run("show", written(tmp_path, DECI)).err
    config = {k: v for k, v in DECI.items() if k not in ("rope_theta", "max_position_embeddings")}
    untold = run("show", written(tmp_path, config)).err
    for said in ("rope_freq_constant 10000.0", "max_context_length 2048"):
        assert said in untold
        assert said.split()[0] not in told


def test_nemotron_rounds_up(run: Run, tmp_path: Path) -> None:
    """5.25 of 8192 is Llama 70B's 28,672; 1.0 is 5,461 and rounds to 22 times 256."""
    shown = json.loads(run("show", written(tmp_path, NAS), "--format", "json").out)
    assert [layer["ffn_dim"] for layer in shown["layers"]] == [28672, 14336, 5632, 2816]
    assert [layer["num_kv_heads"] for layer in shown["layers"]] == [8, 4, 2, 1]


@given(
    overrides=st.dictionaries(
        st.integers(0, 3),
        st.fixed_dictionaries(
            {},
            optional={
                "num_key_value_heads": st.sampled_from([1, 2, 4]),
                "intermediate_size": st.integers(1, 5000),
            },
        ),
    )
)
def test_per_layer_config_is_read_as_transformers_reads_it(
    overrides: dict[int, dict[str, int]],
) -> None:
    library = pytest.importorskip("transformers")
    config = LLAMA | {"head_dim": 64}
    theirs = library.LlamaConfig(**config, per_layer_config=overrides)
    stored = json.loads(json.dumps(config | {"per_layer_config": overrides}))
    ours = geometry(elmcfg.Config.model_validate(values(stored))).layers
    for index, layer in enumerate(ours):
        meant = theirs.per_layer_config[index] if theirs.is_heterogeneous else theirs
        assert layer.num_query_heads == meant.num_attention_heads
        assert layer.num_kv_heads == meant.num_key_value_heads
        assert layer.ffn_dim == meant.intermediate_size


def test_the_list_rules_serve_them_too(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, DECI | {"num_key_value_heads_per_layer": [4, 3, 1, 4]})
    outcome = run("validate", file)
    assert outcome.code == 1
    assert "ELM203" in outcome.out
    assert "layer 1" in outcome.out
    assert run("validate", written(tmp_path, DECI)).code == 0


def test_they_are_compared_but_not_built(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, DECI)
    assert run("diff", file, "tiny").code == 0
    for arguments in (["build-and-run", file], ["convert", file, str(tmp_path / "made")]):
        outcome = run(*arguments)
        assert outcome.code == 1
        assert "deci model: only show, diff and validate" in outcome.err


LACKS: list[tuple[dict[str, Any], str]] = [
    (DECI | {"num_key_value_heads_per_layer": [4, 2, 1]}, "one entry for each of 4 layers"),
    (DECI | {"num_key_value_heads_per_layer": [4, 2, "1", 4]}, "layer 2: KV heads is '1'"),
    (DECI | {"hidden_size": None}, "hidden_size is None"),
    (DECI | {"num_attention_heads": 0}, "num_attention_heads is 0"),
    (DECI | {"model_type": "gemma3n_text"}, "model_type 'gemma3n_text' are not read"),
    (DECI | {"attention_bias": True}, "biases"),
    (NAS | {"block_configs": [block(8, 1.0, moe={"num_local_experts": 8})] * 4}, "has experts"),
    (NAS | {"block_configs": [block(7, 1.0)] * 4}, "not in groups of 7"),
    (NAS | {"block_configs": [block(8, None)] * 4}, "ffn_mult is None"),
    (NAS | {"block_configs": [3] * 4}, "no attention and ffn"),
    (NAS | {"block_configs": {}}, "one entry for each"),
    (LLAMA | {"per_layer_config": []}, "no mapping from layers"),
    (LLAMA | {"per_layer_config": {"1": 3}}, "layer 1 is no mapping"),
    (LLAMA | {"per_layer_config": {"1": {"head_dim": 32}}}, "head_dim of its own"),
    (LLAMA | {"per_layer_config": {"7": {"intermediate_size": 32}}}, "a layer 7; layers are 0 to"),
    (LLAMA | {"per_layer_config": {"-1": {"intermediate_size": 32}}}, "a layer -1; layers are 0"),
]


@pytest.mark.parametrize(("config", "message"), LACKS, ids=[message for _, message in LACKS])
def test_what_is_missing_or_cannot_be_said(
    run: Run, tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(FamilyError, match=message):
        values(config)
    outcome = run("show", written(tmp_path, config))
    assert outcome.code == 1
    assert message.split("'")[0] in outcome.err


REPLACED = {"replace_with_linear": True}
SPARSE = NAS | {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "block_configs": [
        block(2, 1.0),
        block(2, 1.0) | {"attention": {"no_op": True, "n_heads_in_group": None}},
        block(4, None, no_op=True),
        block(2, None, **REPLACED) | {"attention": {"no_op": True}},
        block(8, 0.5) | {"attention": REPLACED},
        block(2, 1.0) | {"attention": {"no_op": True}, "ffn": {"no_op": True}},
    ],
}


def test_layers_without_a_part_cost_what_they_cost_in_mlx_lm(run: Run, tmp_path: Path) -> None:
    """mlx-lm's own model of the family has as many parameters, by layer and in all."""
    utils = pytest.importorskip("mlx.utils")
    theirs = pytest.importorskip("mlx_lm.models.nemotron-nas")
    model = theirs.Model(theirs.ModelArgs.from_dict(json.loads(json.dumps(SPARSE))))
    shown = json.loads(run("show", written(tmp_path, SPARSE), "--format", "json").out)
    by_layer = [
        sum(value.size for _, value in utils.tree_flatten(layer.parameters()))
        for layer in model.model.layers
    ]
    assert [layer["parameters"] for layer in shown["layers"]] == by_layer
    total = sum(value.size for _, value in utils.tree_flatten(model.parameters()))
    assert shown["cost"]["parameters"]["total"] == total
    assert [layer["num_query_heads"] for layer in shown["layers"]] == [8, 0, 8, 0, 0, 0]
    assert [layer["num_kv_heads"] for layer in shown["layers"]] == [4, 0, 2, 0, 0, 0]
    # 2/3 of 512 is 341, and of 256 it is 170.
    assert [layer["ffn_dim"] for layer in shown["layers"]] == [512, 512, 0, 0, 256, 0]
    assert shown["cost"]["kv_cache_bytes_per_token"] == 2 * 2 * 64 * (4 + 2)
    assert shown["recipe"] is None
    assert shown["config"]["num_kv_heads"] == [4, 0, 2, 0, 0, 0]


def test_what_such_layers_are_is_said(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, SPARSE)
    shown = run("show", file).out
    for line in (
        "no attention: layers 1, 3 and 5",
        "one linear map of 512x512 instead of attention: layer 4",
        "no feed-forward: layers 2 and 5",
        "one linear map of 512x512 instead of a feed-forward: layer 3",
    ):
        assert line in shown
    assert run("validate", file).code == 0
    assert run("show", file, "tiny").code == 0
    assert "kv from 0" in run("diff", file, "tiny").out
    compared = json.loads(run("diff", file, "tiny", "--format", "json").out)
    assert compared["layers"][1][1]["num_query_heads"] == [0, 4]
    assert json.loads(run("diff", file, file, "--format", "json").out)["same"]
    outcome = run("build-and-run", file)
    assert (outcome.code, "only show, diff and validate" in outcome.err) == (1, True)


def test_newer_blocks_name_their_sizes(tmp_path: Path) -> None:
    """As modelopt's Puzzletron writes them."""
    blocks = [
        {"attention": {"num_key_value_heads": 4}, "ffn": {"intermediate_size": 1000}},
        {"attention": {"no_op": True}, "ffn": {"intermediate_size": 24}},
    ]
    told = values(NAS | {"num_hidden_layers": 2, "block_configs": blocks})
    assert told["num_kv_heads"] == [4, 0]
    assert [m * 8192 for m in told["ffn_multipliers"]] == [1000, 24]


def wrong_group(config: dict[str, Any]) -> dict[str, Any]:
    blocks = [*config["block_configs"]]
    blocks[2] = block(7, 1.0)
    return config | {"block_configs": blocks}


@pytest.mark.parametrize(
    ("config", "code", "pointer", "text"),
    [
        (wrong_group(NAS), "ELM001", "/block_configs/2/attention/n_heads_in_group", "7"),
        (DECI | {"num_key_value_heads_per_layer": [4, 3, 1, 4]}, "ELM203", None, "8"),
        (DECI | {"vocab_size": "many"}, "ELM001", "/vocab_size", '"many"'),
        (DECI | {"rope_theta": -3.0}, "ELM207", "/rope_theta", "-3.0"),
        (LLAMA | {"per_layer_config": {"1": {"intermediate_size": 0}}}, "ELM001",
         "/per_layer_config/1/intermediate_size", "0"),
        (LLAMA | {"per_layer_config": {"1": {"num_key_value_heads": 3}}}, "ELM203",
         "/num_attention_heads", "8"),
    ],
)  # fmt: skip
def test_findings_have_their_place_in_the_file(
    run: Run, tmp_path: Path, config: dict[str, Any], code: str, pointer: str | None, text: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config, indent=2))
    lines = file.read_text().splitlines()
    outcome = run("validate", str(file), "--format", "json", "--ignore", "ELM409")
    (found,) = json.loads(outcome.out)["diagnostics"]
    assert found["code"] == code
    assert found["pointer"] == (pointer or "/num_attention_heads")
    cut = lines[found["line"] - 1][found["column"] - 1 : found["end_column"] - 1]
    assert cut == text
    assert run("validate", str(file), "--fix").code == 1
    assert file.read_text().splitlines() == lines


def test_without_kv_heads_every_query_head_has_its_own() -> None:
    config = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
    told = values(config | {"per_layer_config": {"2": {"num_key_value_heads": 2}}})
    assert told["num_kv_heads"] == [8, 8, 2, 8]
