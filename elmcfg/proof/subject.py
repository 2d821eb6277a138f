"""What is being proved: a config, and the model, tokens and logits made from it, once each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from elmcfg.geometry import Geometry, geometry

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.config import Config
    from elmcfg.model import Model


class CheckFailedError(Exception):
    """A check found something wrong; the message is the check's detail, one line."""


class CheckSkippedError(Exception):
    """A check cannot be made on this config; the message says why, in one line."""


SHORT = 16
"""Tokens of the sequences that are enough for most checks: their layers have their real shapes."""


def _say_nothing(text: str) -> None:
    """What a subject notes where nobody listens."""


@dataclass(frozen=True)
class Subject:
    """A config and how to run it, with everything that several checks need.

    Attributes:
        config: The config.
        dtype: Name of the weights' dtype.
        seq_len: Tokens per sequence (L).
        batch_size: Sequences (B).
        seed: Of weights and tokens.
        note: Called with a few words on what a check is about to do.
    """

    config: Config
    dtype: str
    seq_len: int
    batch_size: int
    seed: int
    note: Callable[[str], None] = field(default=_say_nothing, repr=False, compare=False)

    @cached_property
    def shape(self) -> Geometry:
        """The final integers of every layer."""
        return geometry(self.config)

    @cached_property
    def tokens(self) -> mx.array:
        """Random token ids (B, L), lazy."""
        import mlx.core as mx

        return mx.random.randint(
            0,
            self.config.vocab_size,
            (self.batch_size, self.seq_len),
            key=mx.random.key(self.seed),
        )

    @cached_property
    def short_tokens(self) -> mx.array:
        """The beginning of the first sequence, (1, at most :data:`SHORT`)."""
        return self.tokens[:1, :SHORT]

    @cached_property
    def model(self) -> Model:
        """The model, with nothing evaluated."""
        from elmcfg.model.build import build

        return build(self.config, dtype=self.dtype, seed=self.seed)

    @property
    def parameters(self) -> dict[str, mx.array]:
        """Every tensor of the model by its name, as it is now."""
        from mlx.utils import tree_flatten

        return dict(tree_flatten(self.model.parameters()))

    def evaluate(self) -> None:
        """Have the weights computed, where nothing else asks for them."""
        self.evaluated_model  # noqa: B018

    def unevaluated_copy(self) -> Model:
        """Another model of the same config, whose weights are never computed."""
        from elmcfg.model.build import build

        return build(self.config, dtype=self.dtype)

    @cached_property
    def counted(self) -> int:
        """Parameters in the built model."""
        return sum(tensor.size for tensor in self.parameters.values())

    @cached_property
    def evaluated_model(self) -> Model:
        """The model with weights that are quick to make."""
        from elmcfg.proof.weights import quick_weights

        self.note("making the weights")
        quick_weights(self.model, self.config, dtype=self.dtype, seed=self.seed)
        return self.model

    @cached_property
    def short_logits(self) -> mx.array:
        """Logits (1, S, vocab_size) of the short tokens: of the streams after the last layer."""
        model = self.evaluated_model
        return model.head(model.transformer.norm(self.short_streams[-1]))

    @cached_property
    def paired_logits(self) -> mx.array:
        """Logits (2, S, vocab_size) of the short tokens, and of the same with another second half.

        In one pass without a cache, evaluated.
        """
        import mlx.core as mx

        tokens, half = self.short_tokens, self.short_tokens.shape[1] // 2
        other = (tokens[:, half:] + 1) % self.config.vocab_size
        changed = mx.concatenate([tokens[:, :half], other], axis=1)
        self.note("one pass over two rows")
        logits = self.evaluated_model(mx.concatenate([tokens, changed]))
        mx.eval(logits)
        return logits

    @cached_property
    def short_streams(self) -> list[mx.array]:
        """The residual stream (1, S, D) of the short tokens before each layer and after the last.

        Evaluated, layer by layer.
        """
        import mlx.core as mx

        transformer = self.evaluated_model.transformer
        streams = [transformer.token_embeddings(self.short_tokens)]
        for index, layer in enumerate(transformer.layers):
            self.note(f"layer {index}")
            streams.append(layer(streams[-1], "causal" if self.seq_len > 1 else None))
            mx.eval(streams)
        return streams

    @cached_property
    def logits(self) -> mx.array:
        """Logits (B, L, vocab_size) of one pass without a cache, evaluated."""
        return self._timed_logits[0]

    @property
    def prefill_seconds(self) -> float:
        """Wall time of the pass that made :attr:`logits`."""
        return self._timed_logits[1]

    @cached_property
    def _timed_logits(self) -> tuple[mx.array, float]:
        import mlx.core as mx

        model = self.evaluated_model
        self.note(f"one pass over {self.batch_size} x {self.seq_len} tokens")
        began = time.perf_counter()
        logits = model(self.tokens)
        mx.eval(logits)
        return logits, time.perf_counter() - began


def some(items: Sequence[str], most: int, joint: str) -> str:
    """The first few of many things, with how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return joint.join(items[:most]) + more


def expect_shape(what: str, tensor: mx.array, expected: Sequence[int]) -> None:
    """Require a tensor's shape.

    Raises:
        CheckFailedError: Naming ``what`` and both shapes.
    """
    if tuple(tensor.shape) != tuple(expected):
        raise CheckFailedError(
            f"{what} has shape {tuple(tensor.shape)}, expected {tuple(expected)}"
        )
