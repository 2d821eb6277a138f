"""What ships: every variant valid, documented, and the model its name says."""

import oracles
import pytest

from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.linter import diagnose, load
from elmcfg.sources import read, shipped

MODELINE = "# yaml-language-server: $schema=../schemas/variant.schema.json"


@pytest.mark.parametrize("name", shipped())
def test_every_variant_is_valid_and_documented(name: str) -> None:
    text = shipped()[name].read_text()
    assert text.startswith(MODELINE + "\n# ")
    assert diagnose(read(name)) == []
    config = load(name)
    assert config.name == name
    assert config.description
    assert config.source


@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
def test_released_lists(model: oracles.Released) -> None:
    config = load(model.name)
    assert config.num_kv_heads == tuple(model.kv_heads)
    assert config.num_query_heads == tuple(4 * kv for kv in model.kv_heads)
    assert config.ffn_multipliers == tuple(model.ffn_multipliers)
    assert (config.qkv_multipliers, config.num_gqa_groups) == ((0.5, 1.0), 4)


def test_the_uniform_baseline_is_uniform_and_of_the_same_size() -> None:
    layers = geometry(load("uniform-270m")).layers
    assert len({(x.num_query_heads, x.num_kv_heads, x.ffn_dim) for x in layers}) == 1
    ratio = cost(load("uniform-270m")).parameters.total / 271_527_168
    assert abs(ratio - 1) < 0.005


def _olmo_custom(qkv: list[float], ffn: list[float], frame: bool) -> tuple[list[int], list[int]]:
    """Heads and widths by the rule of baroian/OLMo-custom at 18 layers and width 768."""
    import numpy as np

    def spread(points: list[float]) -> list[float]:
        if len(points) == 2:
            return [float(np.round(x, 2)) for x in np.linspace(points[0], points[1], num=18)]
        return [float(x) for x in np.interp(range(18), [0, 8, 9, 17], [*points[:2], *points[1:]])]

    heads, widths = spread(qkv), spread(ffn)
    if frame:
        heads[0] = heads[-1] = 1.0
        widths[0] = widths[-1] = 4.0
    return (
        [oracles.make_divisible(768 * m, 192) // 64 for m in heads],
        [oracles.make_divisible(768 * m, 256) for m in widths],
    )


@pytest.mark.parametrize(
    ("name", "qkv", "ffn", "frame"),
    [
        ("vanilla", [0.5, 1.0], [0.5, 4.0], False),
        ("framed", [0.5, 1.0], [0.5, 4.0], True),
        ("reverse", [1.0, 0.5], [4.0, 0.5], False),
        ("crown", [0.5, 1.0, 0.5], [0.5, 3.8, 0.5], True),
    ],
)
def test_the_18_layer_schedules(name: str, qkv: list[float], ffn: list[float], frame: bool) -> None:
    heads, widths = _olmo_custom(qkv, ffn, frame)
    layers = geometry(load(f"lws-18l-{name}")).layers
    assert [layer.num_query_heads for layer in layers] == heads
    assert [layer.ffn_dim for layer in layers] == widths
    assert all(layer.num_query_heads == 3 * layer.num_kv_heads for layer in layers)
