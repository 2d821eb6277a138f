"""A config that exists is valid, stays as it is, and survives being written and read."""

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from elmcfg import dump, load, validate
from elmcfg.config import Config, resolve
from elmcfg.diagnostics import has_errors
from elmcfg.document import parse
from elmcfg.formats import hub
from elmcfg.geometry import geometry
from elmcfg.linter import check
from elmcfg.strategies import Breakage, broken_configs, configs

RECIPE = {
    "num_transformer_layers": 16,
    "model_dim": 1280,
    "head_dim": 64,
    "vocab_size": 32000,
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 1.0],
    "ffn_multipliers": [0.5, 4.0],
}


@given(configs())
def test_writing_and_reading_gives_the_same_config(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    read, found = check(parse(dump(config), "x.yaml"))
    assert not has_errors(found)
    assert read == config


@given(configs())
def test_the_hub_form_is_the_same_model(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    read, found = check(parse(hub.dump(config), "config.json"))
    assert not has_errors(found)
    assert read is not None
    assert geometry(read).layers[0].num_query_heads == geometry(config).layers[0].num_query_heads
    assert geometry(read).tensor_shapes() == geometry(config).tensor_shapes()


@given(configs())
def test_resolving_changes_nothing_and_is_idempotent(values: dict[str, object]) -> None:
    config = Config.model_validate(values)
    resolved = resolve(config)
    assert geometry(resolved).tensor_shapes() == geometry(config).tensor_shapes()
    assert resolve(resolved) == resolved
    assert resolved.num_query_heads is not None
    assert len(resolved.ffn_multipliers) == config.num_transformer_layers


@given(configs())
def test_every_config_of_the_strategy_is_valid_frozen_and_finite(
    values: dict[str, object],
) -> None:
    config = Config.model_validate(values)
    assert hash(config.ffn_multipliers)  # a tuple, not a list that could be changed
    assert all(math.isfinite(m) for m in config.ffn_multipliers)
    with pytest.raises(ValidationError, match="frozen"):
        config.model_dim = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


@given(broken_configs())
def test_no_broken_config_exists(broken: Breakage) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(broken.values)


def test_a_copy_is_validated() -> None:
    config = Config.model_validate(RECIPE)
    assert config.model_copy(update={"vocab_size": 5}).vocab_size == 5
    with pytest.raises(ValidationError, match="8 entries for 16 layers"):
        config.model_copy(update={"num_query_heads": [4] * 8, "num_kv_heads": [1] * 16})


def test_there_is_no_way_around_validation() -> None:
    with pytest.raises(TypeError, match="always validated"):
        Config.model_construct(model_dim=-1)


def test_each_broken_rule_has_the_place_of_its_entry() -> None:
    heads = [12] * 5 + [16] * 7 + [20] * 4
    heads[7] = 18
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(
            RECIPE | {"num_query_heads": heads, "num_kv_heads": [h // 4 for h in heads]}
        )
    errors = caught.value.errors()
    assert {e["loc"] for e in errors} == {("num_query_heads", 7)}
    assert "layer 7: num_query_heads is 18" in errors[0]["msg"]


def test_a_plain_number_is_a_uniform_schedule() -> None:
    config = Config.model_validate(RECIPE | {"qkv_multipliers": 0.8, "ffn_multipliers": 2})
    assert config.qkv_multipliers == (0.8,)
    assert {layer.num_query_heads for layer in geometry(config).layers} == {16}
    assert json.loads(hub.dump(config))["qkv_multipliers"] == 0.8


def test_the_hub_form_of_a_released_model_is_its_released_file() -> None:
    # The keys and values of apple/OpenELM-270M's config.json that describe the model.
    released = {
        "activation_fn_name": "swish",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "ffn_dim_divisor": 256,
        "ffn_with_glu": True,
        "head_dim": 64,
        "initializer_range": 0.02,
        "max_context_length": 2048,
        "model_dim": 1280,
        "model_type": "openelm",
        "normalization_layer_name": "rms_norm",
        "normalize_qk_projections": True,
        "num_gqa_groups": 4,
        "num_transformer_layers": 16,
        "qkv_multipliers": [0.5, 1.0],
        "rope_freq_constant": 10000,
        "rope_max_length": 4096,
        "share_input_output_layers": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": 32000,
    }
    written = json.loads(hub.dump(load("openelm-270m")))
    assert {key: written[key] for key in released} == released
    assert written.keys() - released.keys() == {
        "ffn_multipliers",
        "num_kv_heads",
        "num_query_heads",
        "rms_norm_eps",
    }
    assert list(written) == sorted(written)


def test_lists_may_follow_a_recipe_that_is_not_rounded() -> None:
    """Unrounded, layer 5 of OpenELM-270M's recipe is 0.6667 * 1280 = 853 channels: 12 heads."""
    heads = [*[12] * 6, *[16] * 6, *[20] * 4]
    lists = {"num_query_heads": heads, "num_kv_heads": [q // 4 for q in heads]}
    recipe = {**RECIPE, "num_transformer_layers": 16, "model_dim": 1280, "head_dim": 64}
    config = Config.model_validate({**recipe, **lists, "schedule": {"decimals": None}})
    assert config.num_query_heads == tuple(heads)
    with pytest.raises(ValidationError, match="the recipe gives 16"):
        Config.model_validate({**recipe, **lists})


def test_a_key_that_is_no_string_is_an_unknown_one() -> None:
    raw: dict[Any, Any] = RECIPE | {1: 2}
    (found,) = validate(raw)
    assert (found.code, found.message) == ("ELM102", 'unknown key "1"')
