"""llama.cpp: ``conversion`` of OpenELMForCausalLM to GGUF, and the architecture ``openelm``.

The converter takes the lists as they stand; the loader requires QK norms, always ties the output
head to the embedding, always splits a gated feed-forward, and has room for 512 layers. The
converter writes an epsilon of 1e-6 whatever the file says.
"""

from __future__ import annotations

from elmcfg.formats.gguf import MAX_LAYERS
from elmcfg.geometry import ffn_dim
from elmcfg.portability.verdict import RELEASED_EPS, Built, Layer, RefusesError, Values

_REQUIRED = (
    "ffn_multipliers",
    "ffn_dim_divisor",
    "num_kv_heads",
    "num_query_heads",
    "max_context_length",
    "rope_freq_constant",
)


def read(values: Values) -> Built:
    """The model that the converter writes and llama.cpp loads.

    Raises:
        RefusesError: If either stops with an error.
    """
    for key in _REQUIRED:
        if key not in values:
            raise RefusesError(f"cannot be converted to: KeyError {key!r}", (key,))
        if values[key] is None:
            raise RefusesError(f"cannot be converted to: AssertionError, {key} is null", (key,))
    n, points = values["num_transformer_layers"], values["ffn_multipliers"]
    if not isinstance(points, list | tuple) or len(points) != n:
        raise RefusesError(
            "cannot be converted to: the converter needs one FFN multiplier per layer",
            ("ffn_multipliers",),
        )
    _loads(values, n)
    widths = [ffn_dim(m, values["model_dim"], values["ffn_dim_divisor"]) for m in points]
    return Built(
        vocab_size=values["vocab_size"],
        model_dim=values["model_dim"],
        head_dim=values["head_dim"],
        layers=tuple(map(Layer, values["num_query_heads"], values["num_kv_heads"], widths)),
        ffn_with_glu=True,
        normalize_qk_projections=True,
        share_input_output_layers=True,
        rms_norm_eps=RELEASED_EPS,
        rope_freq_constant=values["rope_freq_constant"],
    )


def _loads(values: Values, n: int) -> None:
    if n > MAX_LAYERS:
        raise RefusesError(
            f"has room for {MAX_LAYERS} layers, not {n:,}",
            ("num_transformer_layers",),
            MAX_LAYERS,
        )
    if not values.get("normalize_qk_projections", True):
        raise RefusesError(
            "finds no blk.0.attn_q_norm.weight: it requires QK normalization",
            ("normalize_qk_projections",),
            0,
        )
    if not values.get("ffn_with_glu", True):
        raise RefusesError(
            "finds no rows for blk.0.ffn_up.weight: it requires a gated feed-forward",
            ("ffn_with_glu",),
            0,
        )
    if not values.get("share_input_output_layers", True):
        raise RefusesError(
            "has no place for output.weight: it always ties the output head to the embedding",
            ("share_input_output_layers",),
        )
