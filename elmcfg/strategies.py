"""Hypothesis strategies: random recipes and configs, valid by construction, and broken ones.

For property tests, here and in repositories that keep configs of their own. Needs Hypothesis (the
extra ``elmcfg[hypothesis]``).

>>> from hypothesis import given
>>> from elmcfg import strategies, validate
>>> @given(strategies.configs())
... def test_no_config_has_an_error(values):
...     assert not [d for d in validate(values) if d.severity == "error"]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from elmcfg.config import Config, resolve
from elmcfg.schedule import max_control_points

Values = dict[str, Any]


def multipliers(least: float = 0.05, most: float = 8.0) -> st.SearchStrategy[float]:
    """A multiplier with two decimals, as people write them."""
    return st.integers(round(least * 100), round(most * 100)).map(lambda n: n / 100)


@st.composite
def recipes(draw: st.DrawFn, *, max_layers: int = 48, max_dim: int = 4096) -> Values:
    """A recipe: the keys of a config without its head lists, with control points for multipliers.

    Args:
        draw: Given by Hypothesis.
        max_layers: Most layers.
        max_dim: Widest residual stream, in channels.
    """
    layers = draw(st.integers(2, max_layers))
    most = min(max_control_points(layers), layers, 5)
    points = st.lists(multipliers(), min_size=1, max_size=most)
    return {
        "num_transformer_layers": layers,
        "model_dim": draw(st.integers(1, max_dim)),
        "head_dim": draw(st.integers(1, 64)) * 2,
        "vocab_size": draw(st.integers(1, 60_000)),
        "num_gqa_groups": draw(st.integers(1, 8)),
        "qkv_multipliers": draw(points),
        "ffn_multipliers": draw(points),
        "ffn_dim_divisor": draw(st.sampled_from([1, 8, 32, 64, 100, 256])),
        "ffn_with_glu": draw(st.booleans()),
        "normalize_qk_projections": draw(st.booleans()),
        "share_input_output_layers": draw(st.booleans()),
    }


@st.composite
def schedules(draw: st.DrawFn) -> Values:
    """Options of the schedule: rounding and frame."""
    frame = st.none() | multipliers(0.1, 4.0)
    return {
        # Fewer decimals could round a multiplier to zero.
        "decimals": draw(st.sampled_from([None, 2, 3])),
        "frame_qkv_multiplier": draw(frame),
        "frame_ffn_multiplier": draw(frame),
    }


@st.composite
def free_lists(draw: st.DrawFn, *, max_layers: int = 12, max_dim: int = 512) -> Values:
    """A config made of per-layer lists alone, which no recipe need explain."""
    values = draw(recipes(max_layers=max_layers, max_dim=max_dim))
    layers = values["num_transformer_layers"]
    kv_heads = draw(st.lists(st.integers(1, 6), min_size=layers, max_size=layers))
    per_kv_head = draw(st.lists(st.integers(1, 5), min_size=layers, max_size=layers))
    del values["num_gqa_groups"], values["qkv_multipliers"]
    return values | {
        "num_kv_heads": kv_heads,
        "num_query_heads": [a * b for a, b in zip(kv_heads, per_kv_head, strict=True)],
        "ffn_multipliers": draw(st.lists(multipliers(), min_size=layers, max_size=layers)),
    }


@st.composite
def configs(draw: st.DrawFn, *, max_layers: int = 24, max_dim: int = 2048) -> Values:
    """Values of a valid config: a recipe, its lists, both, or lists that no recipe explains."""
    kind = draw(st.sampled_from(["recipe", "scheduled", "both", "lists"]))
    if kind == "lists":
        return draw(free_lists(max_layers=max_layers, max_dim=max_dim))
    values = draw(recipes(max_layers=max_layers, max_dim=max_dim))
    if kind == "scheduled" and values["num_transformer_layers"] > 2:
        values["schedule"] = draw(schedules())
        # One point on every layer, so that there are control points for the schedule to act on.
        values["ffn_multipliers"] = values["ffn_multipliers"][:1]
    if kind == "both":
        resolved = resolve(Config(**values)).model_dump(mode="json")
        lists = ("num_query_heads", "num_kv_heads", "ffn_multipliers")
        values |= {key: resolved[key] for key in lists}
    return values


@dataclass(frozen=True, slots=True)
class Breakage:
    """One way to break a config.

    Attributes:
        code: The diagnostic code it must be found under.
        values: The broken config.
        loc: The entry that must be pointed at.
    """

    code: str
    values: Values
    loc: tuple[str | int, ...]


def _with(values: Values, key: str, value: Any) -> Values:
    return {**values, key: value}


def _at(values: Values, key: str, layer: int, value: Any) -> Values:
    entries = list(values[key])
    entries[layer] = value
    return {**values, key: entries}


@st.composite
def broken_configs(draw: st.DrawFn) -> Breakage:
    """A config made of lists with exactly one fault, and where it must be found."""
    values = draw(free_lists())
    layers = values["num_transformer_layers"]
    layer = draw(st.integers(0, layers - 1))
    heads = draw(st.sampled_from(["num_query_heads", "num_kv_heads"]))
    per_layer = draw(st.sampled_from(["num_query_heads", "num_kv_heads", "ffn_multipliers"]))
    needed = draw(
        st.sampled_from(["num_transformer_layers", "model_dim", "head_dim", "vocab_size"])
    )
    query = values["num_query_heads"][layer]
    ways: dict[str, Callable[[], Breakage]] = {
        "missing": lambda: Breakage("ELM101", {k: v for k, v in values.items() if k != needed}, ()),
        "unknown": lambda: Breakage("ELM102", values | {"num_kv_head": 4}, ("num_kv_head",)),
        "list for a number": lambda: Breakage("ELM103", _with(values, needed, [1]), (needed,)),
        "text for a number": lambda: Breakage("ELM103", _with(values, needed, "12"), (needed,)),
        "other model": lambda: Breakage(
            "ELM104", _with(values, "model_type", "llama"), ("model_type",)
        ),
        "short list": lambda: Breakage(
            "ELM201", _with(values, heads, values[heads][:-1]), (heads,)
        ),
        "long list": lambda: Breakage(
            "ELM201", _with(values, per_layer, [*values[per_layer], 1]), (per_layer, layers)
        ),
        "no heads": lambda: Breakage("ELM202", _at(values, heads, layer, 0), (heads, layer)),
        "fraction of a head": lambda: Breakage(
            "ELM103", _at(values, heads, layer, 1.5), (heads, layer)
        ),
        "odd sharing": lambda: Breakage(
            "ELM203", _at(values, "num_kv_heads", layer, query + 1), ("num_query_heads", layer)
        ),
        "odd head_dim": lambda: Breakage("ELM204", _with(values, "head_dim", 63), ("head_dim",)),
        "bad multiplier": lambda: Breakage(
            "ELM205",
            _at(
                values,
                "ffn_multipliers",
                layer,
                draw(st.sampled_from([0, -1.5, float("nan"), float("inf")])),
            ),
            ("ffn_multipliers", layer),
        ),
        "no divisor": lambda: Breakage(
            "ELM206", _with(values, "ffn_dim_divisor", 0), ("ffn_dim_divisor",)
        ),
        "no layers": lambda: Breakage("ELM207", _with(values, needed, -1), (needed,)),
    }
    if needed == "head_dim":
        del ways["no layers"]
    return ways[draw(st.sampled_from(sorted(ways)))]()
