"""Spaces: files, ranges, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from elmcfg import schema
from elmcfg.search.problem import narrowed
from elmcfg.search.space import SpaceError, arithmetic, load_space, make_space, shipped_spaces

SMALL: dict[str, Any] = {
    "num_transformer_layers": 4,
    "model_dim": 64,
    "qkv_multipliers": [1.0],
    "ffn_multipliers": [1.0],
}


def test_the_committed_schema_is_the_generated_one() -> None:
    path = Path(__file__).parent.parent / "schemas" / schema.SPACE_SCHEMA
    assert path.read_text(encoding="utf-8") == schema.text(schema.SPACE_SCHEMA), (
        "run: python -m elmcfg.schema"
    )


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_satisfy_the_schema_and_load(name: str) -> None:
    values = yaml.safe_load(shipped_spaces()[name].read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema.space_schema()).validate(values)
    space = load_space(name)
    assert space.name == name
    assert space.size > 1_000_000


def test_the_wide_space_is_as_published() -> None:
    wide = load_space("wide")
    assert wide.layers == tuple(range(8, 49))
    assert wide.model_dims == tuple(range(512, 4097, 128))
    assert wide.head_dims == (64, 128)
    assert [len(axis) for axis in (*wide.qkv, *wide.ffn)] == [16, 26, 36, 76]
    assert wide.qkv[1][-1] == 1.5
    assert wide.ffn[0][7] == 1.2


@given(st.integers(1, 1000), st.integers(0, 200), st.integers(1, 50))
def test_ranges_hold_decimal_numbers(first: int, count: int, step: int) -> None:
    last = first + count * step
    got = [float(x) for x in arithmetic(first / 100, last / 100, step / 100)]
    assert got == [n / 100 for n in range(first, last + 1, step)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_dim": 0}, "model_dim: must be greater than or equal to 1, not 0"),
        ({"model_dim": {"from": 8, "to": 4}}, "the range 8:4 is empty"),
        ({"model_dim": {"from": 1, "to": 100_000}}, "has more than 10,000 values"),
        ({"model_dim": []}, "model_dim"),
        ({"model_dim": "wide"}, "not 'wide'"),
        ({"model_dim": {"from": 4}}, "model_dim.to"),
        ({"head_dim": 63}, "must be even"),
        ({"num_transformer_layers": 2000}, "goes up to 1,024"),
        (
            {"model_dim": {"from": 1, "to": 9000}, "head_dim": {"from": 2, "to": 400, "step": 2}},
            "combinations of depth",
        ),
        ({"qkv_multipliers": [0.5, 1.0, 0.5]}, "3 control points, too many for 4 layers"),
        ({"ffn_multipliers": [0.0]}, "greater than 0"),
        ({"hed_dim": 64}, "hed_dim: unknown key"),
        ({"aspect_ratio": {"from": 99, "to": 100}}, "aspect_ratio leaves no combination"),
        (
            {"ffn_multipliers": [{"from": 0.01, "to": 10, "step": 0.01}] * 2},
            "more than 100,000 schedules",
        ),
    ],
)
def test_what_is_wrong_with_a_space_is_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as error:
        make_space(SMALL | change)
    assert message in str(error.value)


def test_a_bad_file_is_explained_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("model_dim: 64\nhead_dim: [64, x]\nnum_transformer_layers: 4\n")
    with pytest.raises(SpaceError) as error:
        load_space(str(path))
    assert f"{path}:2: head_dim.1: " in str(error.value)
    path.write_text(json.dumps(SMALL)[:-1])
    with pytest.raises(SpaceError, match=r"space\.yaml:1: invalid YAML"):
        load_space(str(path))
    with pytest.raises(FileNotFoundError, match="no shipped space"):
        load_space("nope")


def test_values_of_ones_own_replace_those_of_a_space() -> None:
    space = load_space("default")
    own = narrowed(space, {"num_transformer_layers": 16, "ffn_multipliers": [0.5, 2.0, 0.5]}, {})
    assert own.layers == (16,)
    assert own.aspect_ratio is None
    assert own.model_dims == space.model_dims
    deep = narrowed(space, {"ffn_multipliers": [0.5, 2.0, 0.5]}, {"decimals": None})
    assert deep.layers == space.layers[1:]
    assert deep.schedule.decimals is None
    assert narrowed(space, {}, {}) is space
