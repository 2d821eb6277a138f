"""CoreNet's recipe, expanded by the published rule; and what it cannot say."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from oracles import RELEASED, corenet_lists

import elmcfg
from elmcfg.conversion.corenet import dump, recipe
from elmcfg.conversion.weights import ConversionError
from elmcfg.geometry import geometry


def entry(text: str) -> dict[str, Any]:
    """The arguments of the ``dict(...)`` in the comment, as Python reads them."""
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    start = next(i for i, line in enumerate(lines) if line.endswith("dict("))
    source = "\n".join(["{" + lines[start], *lines[start + 1 : lines.index("),") + 1], "}"])
    [call] = ast.parse(source, mode="eval").body.values  # type: ignore[attr-defined]
    return {word.arg: ast.literal_eval(word.value) for word in call.keywords}


@pytest.mark.parametrize("name", [model.name for model in RELEASED])
def test_the_released_recipes(run: Run, tmp_path: Path, name: str) -> None:
    target = tmp_path / "mine.yaml"
    assert run("convert", name, str(target), "--to", "corenet").code == 0
    text = target.read_text()
    said = entry(text)
    assert (said["ffn_multipliers"], said["qkv_multipliers"]) == ((0.5, 4.0), (0.5, 1.0))
    assert said["num_gqa_groups"] == 4
    block = yaml.safe_load(text)["model"]["language_modeling"]
    assert block["name"] == "general_gpt"
    assert block["general_gpt"] == {
        "model_name": name,
        "vocab_size": 32000,
        "max_context_length": 2048,
    }


_POINTS = st.tuples(st.integers(20, 300), st.integers(20, 300)).map(
    lambda p: (p[0] / 100, p[1] / 100)
)


@given(
    layers=st.integers(3, 24),
    ends=_POINTS,
    ffn=_POINTS,
    groups=st.integers(1, 4),
    divisor=st.sampled_from([32, 256]),
    as_lists=st.booleans(),
)
def test_corenet_makes_the_same_lists(
    layers: int,
    ends: tuple[float, float],
    ffn: tuple[float, float],
    groups: int,
    divisor: int,
    as_lists: bool,
) -> None:
    config = elmcfg.Config(
        num_transformer_layers=layers,
        model_dim=512,
        head_dim=64,
        vocab_size=64,
        num_gqa_groups=groups,
        qkv_multipliers=ends,
        ffn_multipliers=ffn,
        ffn_dim_divisor=divisor,
    )
    if as_lists:
        values = elmcfg.resolve(config).model_dump(exclude_none=True)
        config = elmcfg.Config.model_validate(
            {k: v for k, v in values.items() if k not in ("qkv_multipliers", "num_gqa_groups")}
        )
    said = recipe(config)
    qkv, widths = (
        (points, points) if isinstance(points, float) else points
        for points in (said["qkv_multipliers"], said["ffn_multipliers"])
    )
    theirs = corenet_lists(
        layers, 512, 64, said["num_gqa_groups"], qkv, widths, said["ffn_dim_divisor"]
    )
    shape = geometry(config).layers
    assert theirs.query_heads == [layer.num_query_heads for layer in shape]
    assert theirs.kv_heads == [layer.num_kv_heads for layer in shape]
    assert theirs.ffn_widths == [layer.ffn_dim for layer in shape]


@pytest.mark.parametrize(
    ("source", "changes", "reason"),
    [
        ("lws-18l-crown", {}, "query heads follow none"),
        ("lws-18l-framed", {}, "query heads follow none"),
        ("openelm-270m", {"rms_norm_eps": 1e-5}, "rms_norm_eps"),
        ("openelm-270m", {"ffn_multipliers": [0.5, 4.0, 0.5]}, "FFN widths follow none"),
    ],
)
def test_what_it_cannot_say_is_refused(source: str, changes: dict[str, Any], reason: str) -> None:
    config = elmcfg.load(source).model_copy(update=changes)
    with pytest.raises(ConversionError, match=reason):
        dump(config, "x")


def test_nothing_is_written_then(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    assert run("convert", "lws-18l-crown", str(target), "--to", "corenet").code == 1
    assert not target.exists()


TRAINING = """
dataset:
  language_modeling: {sequence_length: &length 2048}
model:
  language_modeling:
    name: "general_gpt"
    general_gpt:
      model_name: "OpenELM-3B"
      vocab_size: 32128
      max_context_length: *length
      padding_index: 32000
optim: {name: adamw}
"""


def test_a_training_config_of_a_released_model_is_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "openelm_3B.yaml"
    file.write_text(TRAINING)
    read, released = elmcfg.load(file), elmcfg.load("openelm-3b")
    assert geometry(read).layers == geometry(released).layers
    assert elmcfg.cost(read).parameters.total == 3_037_040_640
    outcome = run("show", str(file))
    assert (outcome.code, "torch_dtype bfloat16" in outcome.err) == (0, True)


BROKEN: list[tuple[str, str, str, str]] = [
    ("OpenELM-3B", "gpt-9", "recipe of 'gpt-9' is in CoreNet's code", '"gpt-9"'),
    ("32128", "-1", "vocab_size is -1", "-1"),
    ("*length", "[1]", "max_context_length is [1]", "[1]"),
]


@pytest.mark.parametrize(("before", "after", "message", "place"), BROKEN)
def test_what_is_wrong_with_it_has_its_place(
    run: Run, tmp_path: Path, before: str, after: str, message: str, place: str
) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(TRAINING.replace(before, after))
    outcome = run("validate", str(file), "--format", "json", "--fix")
    (found,) = json.loads(outcome.out)["diagnostics"]
    assert message in found["message"]
    line = file.read_text().splitlines()[found["line"] - 1]
    assert line[found["column"] - 1 : found["end_column"] - 1] == place
    assert file.read_text() == TRAINING.replace(before, after)


@pytest.mark.parametrize(
    "change",
    [
        ("head_dim=64", "head_dim=open('owned', 'w').write('x')"),
        ("head_dim=64", "head_dim=64)(("),
        ("head_dim=64", "experts=64"),
        ("head_dim=64", "**{'head_dim': 64}"),
        ("head_dim=64", "head_dim={[64]: 64}"),
    ],
)
def test_the_recipe_is_read_and_never_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("mine.yaml")
    file.write_text(dump(elmcfg.load("openelm-270m"), "mine").replace(*change))
    outcome = run("show", str(file))
    assert outcome.code == 1
    assert "the entry of 'mine' in the comment" in outcome.err
    assert not Path("owned").exists()
