"""CoreNet, ``general_gpt.py``: knows recipes only, one number or the two ends of a line.

It reads no config file: a model is an entry of ``gpt_configs`` in its code. So the question is
whether some entry builds this model. Where the config gives lists, the recipe is sought that gives
them. The RMSNorm epsilon is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

from elmcfg.geometry import ffn_dim, query_heads
from elmcfg.portability.hf import expand
from elmcfg.portability.verdict import (
    RELEASED_EPS,
    RELEASED_ROPE_BASE,
    Built,
    Layer,
    RefusesError,
    Values,
)
from elmcfg.straight_lines import Line, ffn_line, heads_line


def read(values: Values) -> Built:
    """The model that the best entry of ``gpt_configs`` builds.

    Raises:
        RefusesError: If no entry can say it.
    """
    n, d, h = values["num_transformer_layers"], values["model_dim"], values["head_dim"]
    groups = _groups(values)
    divisor = values.get("ffn_dim_divisor", 256)
    heads = _heads(values, n, d, h, groups)
    widths = _widths(values, n, d, divisor)
    return Built(
        vocab_size=values["vocab_size"],
        model_dim=d,
        head_dim=h,
        layers=tuple(Layer(q, q // groups, f) for q, f in zip(heads, widths, strict=True)),
        ffn_with_glu=values.get("ffn_with_glu", True),
        normalize_qk_projections=values.get("normalize_qk_projections", True),
        share_input_output_layers=values.get("share_input_output_layers", True),
        rms_norm_eps=RELEASED_EPS,
        rope_freq_constant=values.get("rope_freq_constant", RELEASED_ROPE_BASE),
    )


def _groups(values: Values) -> int:
    given = values.get("num_gqa_groups")
    if given is not None:
        return int(given)
    ratios: list[int] = [
        q // kv for q, kv in zip(values["num_query_heads"], values["num_kv_heads"], strict=True)
    ]
    for i, ratio in enumerate(ratios):
        if ratio != ratios[0]:
            raise RefusesError(
                f"has one number of queries per KV head for all layers, but layer {i} has {ratio} "
                f"where layer 0 has {ratios[0]}",
                ("num_kv_heads", i),
                i,
            )
    return ratios[0]


def _heads(values: Values, n: int, d: int, h: int, groups: int) -> Sequence[int]:
    points = values.get("qkv_multipliers")
    line = None if points is None else expand(points, n)
    if line is not None:
        return [query_heads(m, d, h, groups) for m in line]
    heads: Sequence[int] = values["num_query_heads"]
    _require(heads_line(heads, d, h, groups), "num_query_heads")
    return heads


def _widths(values: Values, n: int, d: int, divisor: int) -> list[int]:
    points = values["ffn_multipliers"]
    line = expand(points, n)
    if line is not None:
        return [ffn_dim(m, d, divisor) for m in line]
    widths = [ffn_dim(m, d, divisor) for m in points]
    _require(ffn_line(widths, d, divisor), "ffn_multipliers")
    return widths


def _require(line: Line, key: str) -> None:
    layer = line.departure
    if layer is not None:
        ends = " to ".join(f"{point:g}" for point in line.points)
        raise RefusesError(
            f"cannot say it: it takes one multiplier or the two ends of a line, and no line gives "
            f"these {key} (the nearest, {ends}, first differs in layer {layer})",
            (key, layer),
            layer,
        )
