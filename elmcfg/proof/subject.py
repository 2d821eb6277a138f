"""What is being proved: a config, and the model, tokens and logits made from it, once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from elmcfg.geometry import Geometry, geometry

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.config import Config
    from elmcfg.model import Model


class CheckFailedError(Exception):
    """A check found something wrong; the message is the check's detail, one line."""


@dataclass(frozen=True)
class Subject:
    """A config and how to run it, with everything that several checks need.

    Attributes:
        config: The config.
        dtype: Name of the weights' dtype.
        seq_len: Tokens per sequence (L).
        batch_size: Sequences (B).
        seed: Of weights and tokens.
    """

    config: Config
    dtype: str
    seq_len: int
    batch_size: int
    seed: int

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
    def model(self) -> Model:
        """The model, with nothing evaluated."""
        from elmcfg.model.build import build

        return build(self.config, dtype=self.dtype, seed=self.seed)

    @cached_property
    def parameters(self) -> dict[str, mx.array]:
        """Every tensor of the model by its name, as it was built."""
        from mlx.utils import tree_flatten

        return dict(tree_flatten(self.model.parameters()))

    @cached_property
    def counted(self) -> int:
        """Parameters in the built model."""
        return sum(tensor.size for tensor in self.parameters.values())

    @cached_property
    def evaluated_model(self) -> Model:
        """The model with its weights computed.

        One tensor at a time, so that no more than one is in the making: computing all at once
        lets MLX hold the random bits of many.
        """
        import mlx.core as mx

        for tensor in self.parameters.values():
            mx.eval(tensor)
        return self.model

    @cached_property
    def logits(self) -> mx.array:
        """Logits (B, L, vocab_size) of one pass without a cache, evaluated."""
        import mlx.core as mx

        logits = self.evaluated_model(self.tokens)
        mx.eval(logits)
        return logits


def expect_shape(what: str, tensor: mx.array, expected: Sequence[int]) -> None:
    """Require a tensor's shape.

    Raises:
        CheckFailedError: Naming ``what`` and both shapes.
    """
    if tuple(tensor.shape) != tuple(expected):
        raise CheckFailedError(
            f"{what} has shape {tuple(tensor.shape)}, expected {tuple(expected)}"
        )
