"""mlx-lm, ``models/openelm.py`` (0.32.2): takes the three lists as they stand and checks nothing.

Nine keys are required; unknown keys are dropped. Layer ``i`` takes entry ``i`` of each list, so a
list that is too long loses its tail without a word. There is no feed-forward without a gate.
"""

from __future__ import annotations

from elmcfg.geometry import nearest_multiple
from elmcfg.portability.verdict import (
    RELEASED_EPS,
    RELEASED_ROPE_BASE,
    Built,
    CrashesError,
    Layer,
    RefusesError,
    Values,
)

_REQUIRED = (
    "head_dim",
    "num_transformer_layers",
    "model_dim",
    "vocab_size",
    "ffn_dim_divisor",
    "num_query_heads",
    "num_kv_heads",
    "ffn_multipliers",
)


def read(values: Values) -> Built:
    """The model that mlx-lm builds and runs.

    Raises:
        RefusesError: If it stops with an error.
        CrashesError: If it takes the process with it.
    """
    if values.get("model_type") != "openelm":
        raise RefusesError("has no openelm model under this model_type", ("model_type",))
    for key in _REQUIRED:
        if key not in values:
            raise RefusesError(f"stops at a TypeError: it needs the key {key}", (key,))
    try:
        return _build(values)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise RefusesError(f"stops at a {type(error).__name__}: {error}") from error


def _build(values: Values) -> Built:
    d, h, vocabulary = values["model_dim"], values["head_dim"], values["vocab_size"]
    eps = values.get("rms_norm_eps", RELEASED_EPS)
    if vocabulary <= 0:
        raise RefusesError("stops at an AssertionError", ("vocab_size",))
    if d <= 0:
        raise RefusesError("cannot make a layer without input", ("model_dim",))
    layers = tuple(_layer(values, i, d, h) for i in range(values["num_transformer_layers"]))
    if not layers:
        raise RefusesError("stops at an IndexError", ("num_transformer_layers",))
    if h % 2:
        raise RefusesError(
            "stops at its first forward pass: RoPE needs an even width", ("head_dim",)
        )
    if eps <= 0:
        raise RefusesError("stops at its first forward pass", ("rms_norm_eps",))
    return Built(
        vocab_size=vocabulary,
        model_dim=d,
        head_dim=h,
        layers=layers,
        ffn_with_glu=True,
        normalize_qk_projections=values.get("normalize_qk_projections", True),
        share_input_output_layers=values.get("share_input_output_layers", True),
        rms_norm_eps=eps,
        rope_freq_constant=values.get("rope_freq_constant", RELEASED_ROPE_BASE),
    )


def _layer(values: Values, i: int, d: int, h: int) -> Layer:
    lists = ("num_query_heads", "num_kv_heads", "ffn_multipliers")
    for key in lists:
        if i >= len(values[key]):
            raise RefusesError(f"stops at an IndexError in layer {i}: {key} ends", (key,), i)
    q, kv, multiplier = (values[key][i] for key in lists)
    if h <= 0 or not (isinstance(q, int) and isinstance(kv, int)):
        raise RefusesError("cannot make the attention", ("num_query_heads", i), i)
    if q <= 0 or (q + 2 * kv) < 0:
        raise RefusesError("cannot make a projection of that width", ("num_query_heads", i), i)
    if kv <= 0:
        raise CrashesError(
            f"dies of SIGFPE, a division by zero in native code: layer {i} has {kv} KV heads",
            ("num_kv_heads", i),
            i,
        )
    if q % kv:
        raise RefusesError(
            f"stops at its first forward pass: {q} query heads are no multiple of {kv} KV heads",
            ("num_query_heads", i),
            i,
        )
    return Layer(q, kv, _width(multiplier * d, values["ffn_dim_divisor"]))


def _width(value: float, divisor: int) -> int:
    # Unlike make_divisible it takes any number: zero and less give one divisor.
    width = nearest_multiple(value, divisor)
    return int(width + divisor if width < 0.9 * value else width)
