"""mlx-swift-lm, ``OpenELM.swift``: **ignores every list** and the recipe with them.

It computes 0.5 to 1.0 and 0.5 to 4.0 with 4 queries per KV head in 32-bit floats, whatever the file
says, and takes from it only the sizes, the divisor and three switches, one of which (the gate) it
does not use. An output head of its own is made with as many inputs as there are layers.
"""

from __future__ import annotations

from elmcfg.portability.verdict import (
    RELEASED_EPS,
    RELEASED_ROPE_BASE,
    Built,
    Layer,
    RefusesError,
    Values,
)
from elmcfg.roundings import single, single_divisible, single_multipliers

_REQUIRED = (
    "model_type",
    "head_dim",
    "num_transformer_layers",
    "model_dim",
    "vocab_size",
    "ffn_dim_divisor",
)
_QUERIES_PER_KV_HEAD = 4


def read(values: Values) -> Built:
    """The model that mlx-swift-lm builds.

    Raises:
        RefusesError: If it stops with an error.
    """
    for key in _REQUIRED:
        if values.get(key) is None:
            raise RefusesError(f"stops at a DecodingError: it needs the key {key}", (key,))
    n, d, h = values["num_transformer_layers"], values["model_dim"], values["head_dim"]
    attention = single_multipliers(0.5, 1.0, n)
    ffn = single_multipliers(0.5, 4.0, n)
    if not values.get("share_input_output_layers", True):
        raise RefusesError(
            "makes the output head with as many inputs as there are layers, which no checkpoint "
            "fits",
            ("share_input_output_layers",),
        )
    step = h * _QUERIES_PER_KV_HEAD
    heads = [single_divisible(single(d * m), step) // h for m in attention]
    divisor = values["ffn_dim_divisor"]
    return Built(
        vocab_size=values["vocab_size"],
        model_dim=d,
        head_dim=h,
        layers=tuple(
            Layer(q, q // _QUERIES_PER_KV_HEAD, single_divisible(single(m * d), divisor))
            for q, m in zip(heads, ffn, strict=True)
        ),
        ffn_with_glu=True,
        normalize_qk_projections=values.get("normalize_qk_projections", True),
        share_input_output_layers=True,
        rms_norm_eps=RELEASED_EPS,
        rope_freq_constant=RELEASED_ROPE_BASE,
    )
