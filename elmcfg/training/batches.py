"""Which tokens a step sees: a function of corpus, settings, seed and step alone.

So every variant of a study sees the same tokens in the same order, and a run that goes on from a
checkpoint needs no state of a random generator. Training sequences begin at positions drawn
uniformly with replacement, as in nanoGPT (karpathy/nanoGPT, train.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from elmcfg.training.settings import TrainingSettings
    from elmcfg.training.tokens import Corpus

Batch = NDArray[np.int32]
"""(B, L + 1): the first L are the input, the last L the targets."""


def training_batch(corpus: Corpus, settings: TrainingSettings, *, seed: int, step: int) -> Batch:
    """The sequences of one step.

    Args:
        corpus: Tokens; more than ``seq_len`` to learn from.
        settings: ``batch_size`` (B) and ``seq_len`` (L).
        seed: The run's.
        step: From 0.
    """
    random = np.random.default_rng([seed, step])
    starts = random.integers(0, len(corpus.train) - settings.seq_len, settings.batch_size)
    return _windows(corpus.train, starts, settings.seq_len)


def validation_batches(corpus: Corpus, settings: TrainingSettings) -> Iterator[tuple[Batch, int]]:
    """Sequences of held-out tokens that do not overlap, and how many bytes their targets are.

    The first window starts at the first held-out token, and the next at the last one's last
    target, so each token but the first is predicted once; a rest shorter than a window is not.

    Args:
        corpus: Tokens; more than ``seq_len`` held out.
        settings: ``batch_size``, ``seq_len``, and ``validation_tokens`` at most.
    """
    length = settings.seq_len
    there = (len(corpus.validation) - 1) // length
    wanted = min(there, max(1, settings.validation_tokens // length))
    # wanted <= there, so that these differ from each other.
    starts = np.arange(wanted) * there // wanted * length
    for first in range(0, wanted, settings.batch_size):
        some = starts[first : first + settings.batch_size]
        targets = _windows(corpus.validation_bytes, some + 1, length - 1)
        yield _windows(corpus.validation, some, length), int(targets.sum())


def _windows(tokens: NDArray[Any], starts: NDArray[Any], length: int) -> Batch:
    return tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)
