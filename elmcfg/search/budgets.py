"""What a design must keep to and what makes it the best: costs as linear forms, and bounds on them.

For one combination of depth, width, head width, queries per KV head and divisor, every cost here
is ``base + per_kv_head * K + per_ffn_unit * U``, where K is the number of KV heads of all layers
together and U that of their feed-forward divisors. That is why a search can be exact. The forms
agree with :func:`elmcfg.costs.cost`, which a test checks; whole numbers throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from elmcfg.storage import DTYPE_BYTES, PACKINGS

WEIGHT_BYTES = {
    **{name: Fraction(width) for name, width in DTYPE_BYTES.items()},
    **{name: Fraction(packing.nbytes(1, 64, 2), 64) for name, packing in PACKINGS.items()},
}
"""Bytes per number. ``q8`` and ``q4`` are MLX's affine quantization: 8 or 4 bits, and for each
group of 64 a 16-bit scale and a 16-bit bias."""

QUANTIZATION_GROUP = 64
LOGIT_BYTES = 4
# The largest of what costs assume, as the command line has them.
_MOST = {"context_length": 2**30, "batch_size": 2**30, "training_tokens": 10**36}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a cost assumes beside the design itself.

    Attributes:
        vocab_size: Rows of the embedding table.
        ffn_with_glu: Whether the feed-forward has a gate.
        normalize_qk_projections: Whether there are QK norms.
        share_input_output_layers: Whether the embedding table is also the output head.
        context_length: Tokens in the KV cache, and of context for the FLOPs.
        batch_size: Sequences in the KV cache.
        weight_dtype: Key of :data:`WEIGHT_BYTES`.
        cache_dtype: Key of :data:`WEIGHT_BYTES`.
        training_tokens: Tokens that ``training-flops`` counts.

    Raises:
        ValueError: If a number is not positive and whole, or there is no such dtype.
    """

    vocab_size: int = 32000
    ffn_with_glu: bool = True
    normalize_qk_projections: bool = True
    share_input_output_layers: bool = True
    context_length: int = 2048
    batch_size: int = 1
    weight_dtype: str = "bfloat16"
    cache_dtype: str = "bfloat16"
    training_tokens: int = 1

    def __post_init__(self) -> None:
        for key in ("context_length", "batch_size", "training_tokens"):
            value = getattr(self, key)
            if type(value) is not int or not 1 <= value <= _MOST[key]:
                shown = "larger" if type(value) is int and value > 0 else repr(value)
                raise ValueError(
                    f"{key} is {shown}, but must be a positive whole number up to {_MOST[key]:.4g}"
                )
        for key in ("weight_dtype", "cache_dtype"):
            value = getattr(self, key)
            if value not in tuple(WEIGHT_BYTES):
                raise ValueError(f"{key} is {value!r}; there are {', '.join(WEIGHT_BYTES)}")


@dataclass(frozen=True, slots=True)
class Shape:
    """A design but for its schedules.

    Attributes:
        layers: Depth.
        model_dim: Width of the residual stream, in channels.
        head_dim: Width of a head, in channels.
        queries_per_kv_head: Query heads that share a KV head.
        divisor: Of the feed-forward widths, in channels.
    """

    layers: int
    model_dim: int
    head_dim: int
    queries_per_kv_head: int
    divisor: int

    def is_quantizable(self) -> bool:
        """Whether the input width of every matrix is whole groups of 64, whatever the schedule."""
        inputs = (self.model_dim, self.head_dim * self.queries_per_kv_head, self.divisor)
        return all(width % QUANTIZATION_GROUP == 0 for width in inputs)


class Linear(NamedTuple):
    """``(base + per_kv_head * K + per_ffn_unit * U) * scale``, the first three whole numbers."""

    base: int
    per_kv_head: int
    per_ffn_unit: int
    scale: Fraction = Fraction(1)


Form = Callable[[Shape, Conditions], Linear]


def _table(s: Shape, c: Conditions) -> int:
    return c.vocab_size * s.model_dim


def _norms(s: Shape, c: Conditions) -> int:
    qk = 2 * s.head_dim if c.normalize_qk_projections else 0
    return s.layers * (2 * s.model_dim + qk) + s.model_dim


def _matrices(s: Shape, c: Conditions) -> tuple[int, int]:
    """Matrix parameters per KV head (G queries: (2G + 2)HD) and per feed-forward divisor."""
    attention = (2 * s.queries_per_kv_head + 2) * s.head_dim * s.model_dim
    return attention, (3 if c.ffn_with_glu else 2) * s.model_dim * s.divisor


def _embedding(s: Shape, c: Conditions) -> int:
    return _table(s, c) * (1 if c.share_input_output_layers else 2)


def params(s: Shape, c: Conditions) -> Linear:
    """All parameters."""
    return Linear(_embedding(s, c) + _norms(s, c), *_matrices(s, c))


def non_embedding(s: Shape, c: Conditions) -> Linear:
    """Parameters outside the embedding table and the output head."""
    return Linear(_norms(s, c), *_matrices(s, c))


def weights(s: Shape, c: Conditions) -> Linear:
    """Bytes of all weights; quantized, the norms keep 2 bytes each. In sixteenths of a byte."""
    per_number = int(WEIGHT_BYTES[c.weight_dtype] * 16)
    per_norm = 32 if c.weight_dtype.startswith("q") else per_number
    attention, ffn = _matrices(s, c)
    base = _embedding(s, c) * per_number + _norms(s, c) * per_norm
    return Linear(base, attention * per_number, ffn * per_number, Fraction(1, 16))


def kv_cache(s: Shape, c: Conditions) -> Linear:
    """Bytes of keys and values: 2H numbers per KV head, token and sequence."""
    scale = WEIGHT_BYTES[c.cache_dtype] * c.context_length * c.batch_size
    return Linear(0, 2 * s.head_dim, 0, scale)


def memory(s: Shape, c: Conditions) -> Linear:
    """Bytes while tokens are generated: weights, the full KV cache, one float32 row of logits.

    The other activations of a single token are some kilobytes and are left out.
    """
    held, cache = weights(s, c), kv_cache(s, c)
    base = held.base + 16 * LOGIT_BYTES * c.vocab_size * c.batch_size
    per_kv_head = held.per_kv_head + int(16 * cache.per_kv_head * cache.scale)
    return Linear(base, per_kv_head, held.per_ffn_unit, Fraction(1, 16))


def _flops(s: Shape, c: Conditions, positions_times_4: int) -> Linear:
    attention, ffn = _matrices(s, c)
    queries = s.head_dim * s.queries_per_kv_head
    return Linear(
        2 * _table(s, c), 2 * attention + positions_times_4 * queries, 2 * ffn
    )  # fmt: skip


def prefill_flops(s: Shape, c: Conditions) -> Linear:
    """FLOPs per token, the mean of a causal pass: on average (T + 1) / 2 positions attended to."""
    return _flops(s, c, 2 * (c.context_length + 1))


def decode_flops(s: Shape, c: Conditions) -> Linear:
    """FLOPs of one token that attends to the whole context."""
    return _flops(s, c, 4 * c.context_length)


def training_flops(s: Shape, c: Conditions) -> Linear:
    """FLOPs of training on ``training_tokens`` tokens: forward and backward, 3 times prefill."""
    return prefill_flops(s, c)._replace(scale=Fraction(3 * c.training_tokens))


def depth(s: Shape, c: Conditions) -> Linear:
    """Layers."""
    return Linear(s.layers, 0, 0)


def width(s: Shape, c: Conditions) -> Linear:
    """Channels of the residual stream."""
    return Linear(s.model_dim, 0, 0)


def aspect_ratio(s: Shape, c: Conditions) -> Linear:
    """Channels of width for each layer of depth."""
    return Linear(s.model_dim, 0, 0, Fraction(1, s.layers))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A cost or a property of a design that can be bounded, minimised and maximised.

    Attributes:
        name: As on the command line.
        unit: ``parameters``, ``bytes``, ``FLOPs``, ``FLOPs/token``, ``layers`` ...
        form: Its linear form.
        summary: What is counted.
        more_is_better: Whether a front takes more of it for better, as of parameters.
    """

    name: str
    unit: str
    form: Form
    summary: str
    more_is_better: bool = False

    def value(
        self, shape: Shape, conditions: Conditions, kv_heads: int, ffn_units: int
    ) -> Fraction:
        """Of one design: ``kv_heads`` and ``ffn_units`` are the sums over its layers."""
        base, per_kv_head, per_ffn_unit, scale = self.form(shape, conditions)
        return (base + per_kv_head * kv_heads + per_ffn_unit * ffn_units) * scale


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("params", "parameters", params, "all parameters", more_is_better=True),
        Quantity(
            "non-embedding-params",
            "parameters",
            non_embedding,
            "parameters outside embedding and head",
            more_is_better=True,
        ),
        Quantity("kv-cache", "bytes", kv_cache, "KV cache of the whole context"),
        Quantity("weights", "bytes", weights, "all weights"),
        Quantity("memory", "bytes", memory, "weights, full KV cache and logits"),
        Quantity("prefill-flops", "FLOPs/token", prefill_flops, "mean of a causal pass"),
        Quantity("decode-flops", "FLOPs/token", decode_flops, "last token of the context"),
        Quantity("training-flops", "FLOPs", training_flops, "training on the given tokens"),
        Quantity("layers", "layers", depth, "depth"),
        Quantity("model-dim", "channels", width, "width"),
        Quantity("aspect-ratio", "channels/layer", aspect_ratio, "width over depth"),
    )
}
ALIASES = {"kv": "kv-cache", "flops": "prefill-flops", "non-embedding": "non-embedding-params"}


def quantity(name: str) -> Quantity:
    """A quantity by its name or alias.

    Raises:
        ValueError: If there is none; names those there are.
    """
    known = QUANTITIES.get(ALIASES.get(name, name))
    if known is None:
        raise ValueError(f"unknown cost {name!r}; there are {', '.join(QUANTITIES)}")
    return known


def outside(
    least: Fraction | None, most: Fraction | None, low: Fraction, high: Fraction
) -> Fraction:
    """How far an interval ``low .. high`` is outside of another, which is open where None."""
    below = Fraction(0) if least is None else least - high
    above = Fraction(0) if most is None else low - most
    return max(below, above, Fraction(0))


@dataclass(frozen=True, slots=True)
class Bound:
    """``least <= quantity <= most``, either side open where None.

    Attributes:
        quantity: What is bounded.
        least: In the quantity's unit.
        most: In the quantity's unit.
        flag: How the user said it, for messages.
        target: The value in the middle of the bound, which the tolerance surrounds, if any.
    """

    quantity: Quantity
    least: Fraction | None = None
    most: Fraction | None = None
    flag: str = ""
    target: Fraction | None = None

    def holds(self, value: Fraction) -> bool:
        """Whether a value keeps to it."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """The best design is the one whose quantity is nearest to ``least .. most``.

    Minimising is being nearest to minus infinity (``most`` is None and ``least`` is None with
    ``sense`` -1), maximising likewise with 1; with ``sense`` 0 distance to the interval counts.

    Attributes:
        quantity: What is to be small, large, or near.
        sense: -1 to minimise, 1 to maximise, 0 to come near to the interval.
        least: Lower end of the interval, for ``sense`` 0.
        most: Upper end.
    """

    quantity: Quantity
    sense: int = -1
    least: Fraction | None = None
    most: Fraction | None = None

    def badness(self, value: Fraction) -> Fraction:
        """How far a value is from what is wanted: less is better."""
        if self.sense:
            return -self.sense * value
        return outside(self.least, self.most, value, value)
