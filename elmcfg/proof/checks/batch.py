"""A row of a batch is what it would be alone, with padding or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elmcfg.proof.subject import Subject
from elmcfg.proof.tolerance import expect_close, share_of_difference

if TYPE_CHECKING:
    import mlx.core as mx


def check(subject: Subject) -> str:
    """Run a sequence beside another one, and its beginning behind padding: as if it were alone.

    Padding is hidden by the mask of a cache, as mlx-lm's batched caches do: padded positions are
    looked at by nobody, and a row's positions begin after its padding.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`.

    Raises:
        CheckFailedError: Saying in which company the logits changed.
    """
    import mlx.core as mx

    model, row = subject.evaluated_model, subject.short_tokens
    length = row.shape[1]
    padding = min(3, length - 1)
    alone = subject.short_logits
    share = share_of_difference(subject.paired_logits[:1], alone)
    expect_close("a row changes with its neighbour", share, subject.dtype)
    subject.note("padded")
    filler = mx.zeros((1, padding), row.dtype)
    padded = mx.concatenate([filler, row[:, : length - padding]], axis=1)
    caches = [PaddedCache([0, padding]) for _ in model.layers]
    other = (row[:, ::-1] + 1) % subject.config.vocab_size
    hidden = model(mx.concatenate([other, padded]), caches)[1:, padding:]
    padded_share = share_of_difference(hidden, alone[:, : length - padding])
    expect_close(f"a row changes with {padding} tokens of padding", padded_share, subject.dtype)
    return (
        f"beside another row within {share:.1g}, behind {padding} padding within {padded_share:.1g}"
    )


class PaddedCache:
    """A cache whose rows begin at different tokens; what is before is padding.

    Args:
        padding: Tokens of padding of each row.
    """

    def __init__(self, padding: list[int]) -> None:
        import mlx.core as mx

        from elmcfg.model import KVCache

        self._padding = mx.array(padding)
        self._cache = KVCache()

    @property
    def offset(self) -> mx.array:
        """Position of the next token of each row; negative within the padding."""
        return self._cache.offset - self._padding

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[Any, Any]:
        """Append keys and values; see :class:`elmcfg.model.KVCache`."""
        return self._cache.update_and_fetch(keys, values)

    def make_mask(self, length: int, **_: Any) -> mx.array:
        """Which of the tokens held each of ``length`` new ones may look at: (B, 1, L, S)."""
        import mlx.core as mx

        seen = self._cache.offset
        new, held = mx.arange(seen, seen + length)[:, None], mx.arange(seen + length)
        real = held >= self._padding[:, None, None, None]
        # Padding looks at itself, because a row of attention must look at something.
        return (new >= held) & (real | (new == held))
