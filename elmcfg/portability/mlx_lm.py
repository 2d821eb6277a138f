"""mlx-lm, ``models/openelm.py`` (0.32.2, on MLX 0.32.4): takes the three lists and checks nothing.

Nine keys are required; unknown keys are dropped. Layer ``i`` takes entry ``i`` of each list, so a
list that is too long loses its tail silently. There is no feed-forward without a gate.

:func:`read` takes the steps of the program in the program's order, with its own expressions and
with MLX's rules for sizes, so that of several errors the one is named that comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from elmcfg.diagnostics import Loc
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
from elmcfg.roundings import single
from elmcfg.rules.wording import shown

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
_LISTS = ("num_query_heads", "num_kv_heads", "ffn_multipliers")
_SWITCHES = ("normalize_qk_projections", "share_input_output_layers")
# Exponents of single precision end here: exp() of more is infinite.
_LARGEST_EXPONENT = 88.72


@dataclass(slots=True)
class _Place:
    """Where the program is: in which key of the config, which layer, and at which stage."""

    key: str = ""
    layer: int | None = None
    in_forward: bool = False

    @property
    def loc(self) -> Loc:
        if not self.key:
            return ()
        listed = self.key in _LISTS and self.layer is not None
        return (self.key, self.layer) if listed and self.layer is not None else (self.key,)


def read(values: Values) -> Built:
    """The model that mlx-lm builds and runs.

    Raises:
        RefusesError: If it stops with an error.
        CrashesError: If it takes the process with it.
    """
    place = _Place()
    try:
        _class(values, place)
        _required(values, place)
        built = _build(values, place)
        _forward(values, built, place)
    except (TypeError, ValueError, ArithmeticError, LookupError, AssertionError) as error:
        name = type(error).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        when = " in its first forward pass" if place.in_forward else ""
        text = error.args[0] if error.args else "the program's own check"
        message = f"stops at {article} {name}{when}: {text}"
        loc = place.loc[:1] if isinstance(error, IndexError) else place.loc
        raise RefusesError(message, loc, place.layer) from error
    return built


def _class(values: Values, place: _Place) -> None:
    """Find the program's class for this type of model."""
    place.key = "model_type"
    if "model_type" not in values:
        raise KeyError("it needs the key model_type")
    kind = values["model_type"]
    place.key = "architectures"
    names = values.get("architectures") or ()
    for name in names:
        hash(name)
    place.key = "model_type"
    hash(kind)
    if not isinstance(kind, str):
        raise ValueError(f"model type {kind} is not supported")
    if kind != "openelm":
        raise RefusesError(
            f"reads it as a model of the type {shown(kind)}, not as an OpenELM", ("model_type",)
        )


def _required(values: Values, place: _Place) -> None:
    for key in _REQUIRED:
        if key not in values:
            place.key = key
            raise TypeError(f"it needs the key {key}")


def _build(values: Values, place: _Place) -> Built:
    place.key = "vocab_size"
    vocabulary, d, h = values["vocab_size"], values["model_dim"], values["head_dim"]
    _hold_positive(vocabulary)
    place.key = "model_dim"
    math.sqrt(1 / d)
    place.key = "vocab_size" if _fits(d) else "model_dim"
    _shape(vocabulary, d)
    place.key = "num_transformer_layers"
    layers = tuple(_layer(values, i, d, h, place) for i in range(values["num_transformer_layers"]))
    place.layer = None
    eps = _eps(values, place)
    tied = bool(values.get("share_input_output_layers", True))
    return Built(
        vocab_size=vocabulary,
        model_dim=d,
        head_dim=h,
        layers=layers,
        ffn_with_glu=True,
        normalize_qk_projections=bool(values.get("normalize_qk_projections", True)),
        share_input_output_layers=tied,
        rms_norm_eps=eps,
        rope_freq_constant=values.get("rope_freq_constant", RELEASED_ROPE_BASE),
        faults=_faults(values, h, eps),
    )


def _hold_positive(vocabulary: Any) -> None:
    if not vocabulary > 0:
        raise AssertionError("it needs a vocabulary")


def _layer(values: Values, i: int, d: int, h: int, place: _Place) -> Layer:
    place.layer = i
    q, kv = _entry(values, "num_query_heads", i, place), _entry(values, "num_kv_heads", i, place)
    place.key = "head_dim"
    h**-0.5  # of zero, of text
    for key, heads in (("num_query_heads", q), ("num_kv_heads", kv)):
        place.key = key
        _number(heads)
    (q + kv * 2) * h  # of a fraction and an integer of any length
    for key, size in (("num_query_heads", q), ("num_kv_heads", kv), ("head_dim", h)):
        place.key = key
        if not isinstance(size, int):
            raise TypeError(f"{size} is no whole number")
    place.key = "head_dim" if not _fits(h) else "num_kv_heads" if q >= 0 else "num_query_heads"
    _linear(d, (q + kv * 2) * h)
    place.key = "num_query_heads"
    _linear(q * h, d)
    if values.get("normalize_qk_projections", True):
        _eps(values, place)
        place.key = "head_dim"
        _shape(h)
    multiplier = _entry(values, "ffn_multipliers", i, place)
    width = _width(multiplier, d, values["ffn_dim_divisor"], place)
    _linear(d, 2 * width)
    _linear(width, d)
    _eps(values, place)
    return Layer(q, kv, width)


def _entry(values: Values, key: str, i: int, place: _Place) -> Any:
    place.key = key
    try:
        return values[key][i]
    except IndexError:
        length = len(values[key])
        raise IndexError(f"{key} has {length} entries, and none for layer {i}") from None


def _width(multiplier: Any, d: int, divisor: Any, place: _Place) -> int:
    """Round as the program does, which takes any number: zero and less give one divisor."""
    place.key = "ffn_dim_divisor"
    _number(divisor)
    place.key = "ffn_multipliers"
    _number(multiplier)
    value = multiplier * d
    if not divisor:
        place.key = "ffn_dim_divisor"
    width = nearest_multiple(value, divisor)
    return int(width + divisor if width < 0.9 * value else width)


def _eps(values: Values, place: _Place) -> float:
    place.key = "rms_norm_eps"
    eps: float = values.get("rms_norm_eps", RELEASED_EPS)
    if eps <= 0.0:
        raise ValueError(f"the epsilon must be positive, not {eps}")
    return eps


def _forward(values: Values, built: Built, place: _Place) -> None:
    """Run three tokens through the model."""
    place.in_forward = True
    place.key = "num_transformer_layers"
    if not built.layers:
        raise IndexError("there is no layer")
    place.layer = 0
    place.key = "rms_norm_eps"
    _single_or_refuse(built.rms_norm_eps)
    place.key = "rope_freq_constant"
    base: Any = built.rope_freq_constant
    if base is None:
        raise ValueError("RoPE has no base")
    _single_or_refuse(base)
    place.key = "head_dim"
    if built.head_dim <= 0 or built.head_dim % 2:
        raise ValueError(f"RoPE needs an even width above zero, not {built.head_dim}")
    for i, layer in enumerate(built.layers):
        place.key, place.layer = "num_query_heads", i
        q, kv = layer.num_query_heads, layer.num_kv_heads
        if kv <= 0:
            raise CrashesError(
                f"dies of SIGFPE, a division by zero in native code: layer {i} has {kv} KV heads",
                ("num_kv_heads", i),
                i,
            )
        if q % kv:
            raise ValueError(f"{q} query heads are no multiple of {kv} KV heads")


def departures(values: Values, built: Built) -> Iterator[tuple[str, int | None, Loc]]:
    """Yield in what a model is not what a broken file says, although it was built from it."""
    n = len(built.layers)
    for key in _LISTS:
        length = len(values[key])
        if length > n:
            clause = f"it takes the first {n} of the {length} entries of {key}"
            yield clause, None, (key, n)
    divisor = values["ffn_dim_divisor"]
    for i, layer in enumerate(built.layers):
        multiplier = values["ffn_multipliers"][i]
        if multiplier <= 0 or divisor <= 0:
            said = f"a multiplier of {multiplier:g}" if divisor > 0 else f"a divisor of {divisor:g}"
            loc: Loc = ("ffn_multipliers", i) if divisor > 0 else ("ffn_dim_divisor",)
            yield f"layer {i} gets {layer.ffn_dim:,} feed-forward channels from {said}", i, loc
            break
    for key in _SWITCHES:
        value = values.get(key, True)
        if value not in (0, 1):
            yield f"it takes {key}: {shown(value)} as {shown(bool(value))}", None, (key,)
    if values.get("ffn_with_glu", True) in (None, 0):
        yield "it has a gated feed-forward", 0, ("ffn_with_glu",)
    for clause, key in built.faults:
        yield clause, None, (key,)


def _faults(values: Values, h: Any, eps: float) -> tuple[tuple[str, str], ...]:
    """Return what makes every logit NaN: an epsilon that is NaN, angles that are no numbers."""
    base = values.get("rope_freq_constant", RELEASED_ROPE_BASE)
    found = [] if _has_angles(base, h) else ["rope_freq_constant"]
    if eps != eps:  # NaN; an integer of any length may stand here
        found.append("rms_norm_eps")
    return tuple(("its logits are NaN", key) for key in found)


def _has_angles(base: Any, h: Any) -> bool:
    """Whether the angles of RoPE are numbers in single precision, if they can be computed."""
    if not isinstance(base, int | float) or not isinstance(h, int) or h <= 0:
        return True  # the program stops at that
    try:
        base = single(float(base))
    except OverflowError:
        return False
    return 0 < base < math.inf and (2 - h) / h * math.log(base) < _LARGEST_EXPONENT


def _single_or_refuse(value: Any) -> None:
    """Take what MLX takes for a float: any number that is one in double precision.

    Raises:
        TypeError: If it is none.
    """
    _number(value)
    try:
        float(value)
    except OverflowError:
        raise TypeError("it is too large for a float") from None


def _linear(inputs: int, outputs: int) -> None:
    math.sqrt(1.0 / inputs)
    _shape(outputs, inputs)


def _shape(*sizes: Any) -> None:
    """Make an array, as MLX does: of whole sizes of 32 bits, none below zero."""
    for size in sizes:
        _whole(size)
        if not _fits(size):
            raise OverflowError(f"{size:,} is outside of 32 bits")
    if min(sizes) < 0:
        raise ValueError(f"a size of {min(sizes):,} is negative")


def _fits(size: Any) -> bool:
    return isinstance(size, int) and -(2**31) <= size < 2**31


def _whole(value: Any) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{shown(value)} is no whole number")
    if abs(value) >= 2**63:
        raise TypeError("it is outside of 64 bits")


def _number(value: Any) -> None:
    if not isinstance(value, int | float):
        raise TypeError(f"{shown(value)} is no number")
