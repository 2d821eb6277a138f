"""The hub's remote code: ``configuration_openelm.py``, ``modeling_openelm.py`` of apple/OpenELM-*.

It computes the query heads from ``qkv_multipliers`` and ``num_gqa_groups`` and **ignores the list**
``num_query_heads``. The list ``num_kv_heads`` it does not know, so transformers sets it as a plain
attribute afterwards and it wins over the computed one. A full list of ``ffn_multipliers`` is taken
as it stands. QK norm is off unless the file says otherwise. A null is passed on to it as a null.

Whether the output head is the embedding is decided twice: by ``share_input_output_layers``, false
by default, in the hub's code, which then makes a head; and by ``tie_word_embeddings``, true by
default, in transformers, which ties that head to the embedding. A checkpoint with both matrices
then loses one of them.

Tried with transformers 4.39.3, 4.41.2, 4.45.2, 4.48.3, 4.49.0, 4.50.0, 4.52.4 and 4.57.6, which
build the same (the last two without ``generate``), and with 5.0.0 (AttributeError in the first
forward pass), 5.18.0 and 5.24.0 (TypeError before it), in which the hub's code stops at every
config.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from elmcfg.units import binary


def expand(points: Any, n: int) -> tuple[float, ...] | None:
    """A number, or the two ends of a line, to one multiplier per layer; ``None`` for all else."""
    if isinstance(points, int | float):
        return (points,) * n
    if len(points) == 2:
        return tuple(numpy_round(m, 2) for m in linspace(points[0], points[1], n))
    return None


VERSIONS = (
    "said of transformers 4.39 to 4.57 (from 4.52 on without generate()); with transformers 5 the "
    "hub's code stops at every config (TypeError: OpenELMConfig.__post_init__() got an unexpected "
    "keyword argument 'use_cache')"
)
"""Which versions the verdicts are for, and what happens in the others."""

# A causal mask of this many bytes, which is kept for as long as the model is, is worth a word.
_LARGE_MASK = 2**30
# Torch takes whole numbers of 64 bits.
_LARGEST_INTEGER = 2**64 - 1


def notes(values: Values) -> list[str]:
    """Return what is worth knowing about the model that it builds, beside its shapes."""
    context = values.get("max_context_length", 2048)
    if context**2 < _LARGE_MASK:
        return []
    return [f"it keeps a mask of max_context_length x max_context_length: {binary(context**2)}"]


def read(values: Values) -> Built:
    """The model that transformers builds with the hub's code.

    Raises:
        RefusesError: If it stops with an error.
    """
    n, d, h = values["num_transformer_layers"], values["model_dim"], values["head_dim"]
    if values.get("num_query_heads") is None and d % h:
        raise RefusesError(
            f"stops at a ValueError: without num_query_heads it needs a model_dim that head_dim "
            f"divides, and {h} does not divide {d}",
            ("head_dim",),
        )
    heads = _query_heads(values, n, d, h)
    multipliers = _ffn_multipliers(values, n)
    kv_heads = _kv_heads(values, heads)
    base = values.get("rope_freq_constant", RELEASED_ROPE_BASE)
    if isinstance(base, int) and base > _LARGEST_INTEGER:
        raise RefusesError(
            "stops at an OverflowError: a whole number that large must be written with a point",
            ("rope_freq_constant",),
        )
    for i, (q, kv) in enumerate(zip(heads, kv_heads, strict=True)):
        if q > kv and q % kv:  # with fewer than KV heads it goes on, and repeats the keys 0 times
            raise RefusesError(
                f"stops at its first forward pass: in layer {i} the recipe gives {q} query heads, "
                f"which are no multiple of {kv} KV heads",
                ("num_kv_heads", i),
                i,
            )
    widths = [ffn_dim(m, d, values.get("ffn_dim_divisor", 256)) for m in multipliers]
    shares = values.get("share_input_output_layers", False)
    return Built(
        vocab_size=values["vocab_size"],
        model_dim=d,
        head_dim=h,
        layers=tuple(map(Layer, heads, kv_heads, widths)),
        ffn_with_glu=values.get("ffn_with_glu", True),
        normalize_qk_projections=values.get("normalize_qk_projections", False),
        share_input_output_layers=shares or bool(values.get("tie_word_embeddings", True)),
        rms_norm_eps=RELEASED_EPS,
        rope_freq_constant=base,
        faults=tuple(_faults(values)),
    )


def _faults(values: Values) -> Iterator[tuple[str, str]]:
    vocabulary, context = values["vocab_size"], values.get("max_context_length", 2048)
    if context > vocabulary:
        yield (
            f"it gives the logits of the first {vocabulary:,} tokens of a text alone, as many as "
            f"vocab_size, where max_context_length is {context:,}",
            "vocab_size",
        )


def _query_heads(values: Values, n: int, d: int, h: int) -> list[int]:
    points, groups = values.get("qkv_multipliers", 1.0), values.get("num_gqa_groups", 1)
    multipliers = None if points is None else expand(points, n)
    if multipliers is None:
        number = "null" if points is None else len(points)
        raise RefusesError(
            f"stops at an UnboundLocalError: it takes one or two QKV multipliers, not {number}",
            ("qkv_multipliers",),
        )
    if groups is None:
        raise RefusesError(
            "stops at a TypeError: it divides by num_gqa_groups, which is null", ("num_gqa_groups",)
        )
    return [query_heads(m, d, h, groups) for m in multipliers]


def _kv_heads(values: Values, heads: Sequence[int]) -> Sequence[int]:
    if "num_kv_heads" not in values:
        return [q // values.get("num_gqa_groups", 1) for q in heads]
    listed: Sequence[int] | None = values["num_kv_heads"]
    if listed is None:
        raise RefusesError("stops at a TypeError: num_kv_heads is null", ("num_kv_heads",))
    return listed


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
