"""What a reader makes of a config, in the terms that all share, and how two models differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from elmcfg.diagnostics import Loc
from elmcfg.geometry import geometry
from elmcfg.rules.wording import others

if TYPE_CHECKING:
    from elmcfg.config import Config

Values = Mapping[str, Any]
"""The keys and values of a ``config.json``."""

RELEASED_EPS = 1e-6
RELEASED_ROPE_BASE = 10_000


class Outcome(StrEnum):
    """What a program does with a config."""

    SAME = "same model"
    REFUSES = "refuses"
    CRASHES = "crashes the process"
    ANOTHER = "silently builds another model"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one program does with one config.

    Attributes:
        target: Name of the program.
        outcome: What it does.
        message: In what way, in a clause; empty where it builds the same model.
        notes: What else is worth knowing: versions it is said of, memory that it needs.
        layer: The first layer that it happens in, or ``None`` where it is not about a layer.
        loc: The entry of the config that it is about.
    """

    target: str
    outcome: Outcome
    message: str = ""
    layer: int | None = None
    loc: Loc = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """The integers of a layer, as some program has them."""

    num_query_heads: int
    num_kv_heads: int
    ffn_dim: int


@dataclass(frozen=True, slots=True)
class Built:
    """Everything about a model that a program could get from a config, and get otherwise.

    ``faults`` is what is wrong with its logits whatever its weights are, each in a clause, with the
    key of the config that it comes from.
    """

    vocab_size: int
    model_dim: int
    head_dim: int
    layers: tuple[Layer, ...]
    ffn_with_glu: bool
    normalize_qk_projections: bool
    share_input_output_layers: bool
    rms_norm_eps: float
    rope_freq_constant: float
    faults: tuple[tuple[str, str], ...] = ()


class RefusesError(Exception):
    """The program stops, with an error of its own.

    Args:
        message: A clause that the program's name goes before.
        loc: The entry of the config that it is about.
        layer: The layer that it happens in.
    """

    outcome = Outcome.REFUSES

    def __init__(self, message: str, loc: Loc = (), layer: int | None = None) -> None:
        super().__init__(message)
        self.message, self.loc, self.layer = message, loc, layer


class CrashesError(RefusesError):
    """The program takes its process with it: nothing can be caught."""

    outcome = Outcome.CRASHES


def meant(config: Config) -> Built:
    """The model that a config means."""
    shape = geometry(config)
    return Built(
        vocab_size=shape.vocab_size,
        model_dim=shape.model_dim,
        head_dim=shape.head_dim,
        layers=tuple(
            Layer(layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim)
            for layer in shape.layers
        ),
        ffn_with_glu=shape.ffn_with_glu,
        normalize_qk_projections=shape.normalize_qk_projections,
        share_input_output_layers=shape.share_input_output_layers,
        rms_norm_eps=config.rms_norm_eps,
        rope_freq_constant=config.rope_freq_constant,
    )


# How each part of a layer is called, and the list of the config that it comes from.
_PARTS = {
    "num_query_heads": ("query heads", "num_query_heads"),
    "num_kv_heads": ("KV heads", "num_kv_heads"),
    "ffn_dim": ("feed-forward channels", "ffn_multipliers"),
}
# The switches, the layer in which each first shows, and how each is worded.
_SWITCHES: dict[str, tuple[int | None, str, str]] = {
    "ffn_with_glu": (0, "a gated feed-forward", "a feed-forward without a gate"),
    "normalize_qk_projections": (0, "QK normalization", "no QK normalization"),
    "share_input_output_layers": (None, "a tied output head", "an output head of its own"),
}


def _zeros(layer: Layer) -> str:
    """Return what follows from fewer query heads than KV heads, if a program takes them."""
    fewer = layer.num_query_heads < layer.num_kv_heads
    return "; they are fewer than its KV heads, and its attention gives zeros" if fewer else ""


def differences(wanted: Built, got: Built) -> Iterator[tuple[str, int | None, Loc]]:
    """In what a model differs from the one wanted: clause, first layer, entry of the config."""
    for i, (a, b) in enumerate(zip(wanted.layers, got.layers, strict=False)):
        if a != b:
            part = next(name for name in _PARTS if getattr(a, name) != getattr(b, name))
            noun, key = _PARTS[part]
            later = sum(
                c != d for c, d in zip(wanted.layers[i + 1 :], got.layers[i + 1 :], strict=False)
            )
            yield (
                f"layer {i} gets {getattr(b, part):,} {noun}, not {getattr(a, part):,}"
                f"{others(later)}{_zeros(b)}",
                i,
                (key, i),
            )
            break
    for key, (layer, on, off) in _SWITCHES.items():
        if getattr(wanted, key) != getattr(got, key):
            yield f"it has {on if getattr(got, key) else off}", layer, (key,)
    for key, noun in (("rms_norm_eps", "RMSNorm epsilon"), ("rope_freq_constant", "RoPE base")):
        right, real = float(getattr(wanted, key)), float(getattr(got, key))
        if right != real:
            shown = [f"{value:g}" for value in (real, right)]
            if shown[0] == shown[1]:
                shown = [repr(value) for value in (real, right)]
            yield f"its {noun} is {shown[0]}, not {shown[1]}", 0, (key,)
    for clause, key in got.faults:
        yield clause, None, (key,)
