"""The hub's remote code: ``configuration_openelm.py``, ``modeling_openelm.py`` of apple/OpenELM-*.

It computes the query heads from ``qkv_multipliers`` and ``num_gqa_groups`` and **ignores the list**
``num_query_heads``. The list ``num_kv_heads`` it does not know, so transformers sets it as a plain
attribute afterwards and it wins over the computed one. A full list of ``ffn_multipliers`` is taken
as it stands. QK norm and tied embeddings are off unless the file says otherwise.
"""

from __future__ import annotations

from typing import Any

from elmcfg.geometry import ffn_dim, query_heads
from elmcfg.portability.verdict import (
    RELEASED_EPS,
    RELEASED_ROPE_BASE,
    Built,
    Layer,
    RefusesError,
    Values,
)
from elmcfg.schedule import linspace, numpy_round


def expand(points: Any, n: int) -> tuple[float, ...] | None:
    """A number, or the two ends of a line, to one multiplier per layer; ``None`` for all else."""
    if isinstance(points, int | float):
        return (points,) * n
    if len(points) == 2:
        return tuple(numpy_round(m, 2) for m in linspace(points[0], points[1], n))
    return None


def read(values: Values) -> Built:
    """The model that transformers builds with the hub's code.

    Raises:
        RefusesError: If it stops with an error.
    """
    n, d, h = values["num_transformer_layers"], values["model_dim"], values["head_dim"]
    heads = _query_heads(values, n, d, h)
    kv_heads = values.get("num_kv_heads")
    if kv_heads is None:
        kv_heads = [q // values.get("num_gqa_groups", 1) for q in heads]
    for i, (q, kv) in enumerate(zip(heads, kv_heads, strict=True)):
        if q % kv:
            raise RefusesError(
                f"stops at its first forward pass: in layer {i} the recipe gives {q} query heads, "
                f"which are no multiple of {kv} KV heads",
                ("num_kv_heads", i),
                i,
            )
    divisor = values.get("ffn_dim_divisor", 256)
    widths = [ffn_dim(m, d, divisor) for m in _ffn_multipliers(values, n)]
    return Built(
        vocab_size=values["vocab_size"],
        model_dim=d,
        head_dim=h,
        layers=tuple(map(Layer, heads, kv_heads, widths)),
        ffn_with_glu=values.get("ffn_with_glu", True),
        normalize_qk_projections=values.get("normalize_qk_projections", False),
        share_input_output_layers=values.get("share_input_output_layers", False),
        rms_norm_eps=RELEASED_EPS,
        rope_freq_constant=values.get("rope_freq_constant", RELEASED_ROPE_BASE),
    )


def _query_heads(values: Values, n: int, d: int, h: int) -> list[int]:
    points, groups = values.get("qkv_multipliers", 1.0), values.get("num_gqa_groups", 1)
    multipliers = expand(points, n)
    if multipliers is None:
        raise RefusesError(
            "stops at an UnboundLocalError: it takes one or two QKV multipliers, not "
            f"{len(points)}",
            ("qkv_multipliers",),
        )
    return [query_heads(m, d, h, groups) for m in multipliers]


def _ffn_multipliers(values: Values, n: int) -> tuple[float, ...]:
    points = values["ffn_multipliers"]
    multipliers = expand(points, n)
    if multipliers is None:
        if len(points) != n:
            raise RefusesError(
                f"stops at an AssertionError: it takes 1, 2 or {n} FFN multipliers, not "
                f"{len(points)}",
                ("ffn_multipliers",),
            )
        multipliers = tuple(points)
    return multipliers
