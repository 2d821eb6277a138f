"""The keys and values of tokens already seen, so that a new token costs one token's work.

Interchangeable with mlx-lm's caches, in both directions: the model here takes anything that has
the two members of :class:`AttentionCache`, and :class:`KVCache` here serves any model that takes
mlx-lm's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import mlx.core as mx

if TYPE_CHECKING:
    from elmcfg.model.transformer import Model


class AttentionCache(Protocol):
    """What attention asks of a cache.

    A cache may also have ``make_mask(length, return_array=, window_size=)``, which then decides
    what new tokens may look at (padded batches, windows), and ``bits`` and ``group_size``, which
    say that it hands back quantized keys and values.
    """

    @property
    def offset(self) -> int | mx.array:
        """Tokens seen so far: one number, or one per row of the batch."""

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[Any, Any]:
        """Append the keys and values of new tokens, (B, K, L, H) each, and return all of them.

        All of them are (B, K, S, H) each; a quantized cache returns their packed parts instead.
        """


class KVCache:
    """Keys and values of one layer, in buffers that grow in steps.

    Attributes:
        step: Tokens by which the buffers grow. mlx-lm's step too, so that a cache allocates what
            :mod:`elmcfg.costs` says times its length rounded up to this.
        keys: Buffer (B, K, capacity, H), or None while empty.
        values: The same.
        offset: Tokens seen; the buffers hold nothing meaningful beyond.
    """

    step = 256

    def __init__(self) -> None:
        self.keys: mx.array | None = None
        self.values: mx.array | None = None
        self.offset = 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append and return all.

        Args:
            keys: Keys of L new tokens, (B, K, L, H).
            values: Their values, (B, K, L, H).

        Returns:
            Keys and values of all tokens seen, (B, K, offset, H) each.
        """
        start, end = self.offset, self.offset + keys.shape[2]
        self.keys = self._grown(self.keys, keys, end)
        self.values = self._grown(self.values, values, end)
        self.keys[..., start:end, :] = keys
        self.values[..., start:end, :] = values
        self.offset = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def _grown(self, buffer: mx.array | None, new: mx.array, needed: int) -> mx.array:
        """``buffer``, or a longer copy of it that has room for ``needed`` tokens."""
        if buffer is not None and buffer.shape[2] >= needed:
            return buffer
        held = 0 if buffer is None else buffer.shape[2]
        batch, heads, _, width = new.shape
        missing = -(-(needed - held) // self.step) * self.step
        room = mx.zeros((batch, heads, missing, width), new.dtype)
        return room if buffer is None else mx.concatenate([buffer, room], axis=2)

    @property
    def state(self) -> tuple[mx.array | None, mx.array | None]:
        """The buffers, for ``mx.eval``."""
        return self.keys, self.values

    @property
    def nbytes(self) -> int:
        """Bytes allocated, room for future tokens included."""
        return sum(buffer.nbytes for buffer in self.state if buffer is not None)


def make_cache(model: Model) -> list[KVCache]:
    """An empty cache for each layer of a model."""
    return [KVCache() for _ in model.layers]
