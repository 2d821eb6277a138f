"""Short training runs in MLX that compare variants fairly: :func:`train` gives a result.

    settings.py        how to train, on which text, checked before anything starts
    corpora.py         texts: the user's, a public-domain one, a made-up one
    tokens.py          text to tokens, held-out text, and how many bytes a token stands for
    batches.py         which tokens a step sees
    initialisation.py  weights to start from
    optimisation.py    one compiled step
    packing.py         tensors in few arrays, as a GPU likes them
    checkpoints.py     where a run stands, on disk
    loop.py            the run
    utilisation.py     what part of the device's speed was used
    results.py         what is told on the way, and the result
    errors.py          what can be wrong before a run starts

*What is paired.* Batches are a function of corpus, settings, seed and step alone, and so are the
initial values of tensors that have the same name and shape. Two variants with one seed see the same
tokens in the same order.

*What is held out.* The end of the text, in one piece, cut between characters before any
tokenizer sees it.

Importing this package does not import MLX; :func:`train` does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.backend import import_mlx
from elmcfg.training.errors import (
    CheckpointError,
    CorpusError,
    TokenizerError,
    TrainingError,
)
from elmcfg.training.results import CorpusFacts, Progress, TrainingResult
from elmcfg.training.settings import CorpusSpec, TrainingSettings
from elmcfg.training.tokens import Corpus, by_content, read_corpus

if TYPE_CHECKING:
    from elmcfg.config import Config

__all__ = [
    "CheckpointError",
    "Corpus",
    "CorpusError",
    "CorpusFacts",
    "CorpusSpec",
    "Progress",
    "TokenizerError",
    "TrainingError",
    "TrainingResult",
    "TrainingSettings",
    "by_content",
    "read_corpus",
    "train",
]


def train(
    config: Config,
    settings: TrainingSettings,
    corpus: CorpusSpec,
    *,
    seed: int,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Train a model from random weights, on MLX's default device.

    A run that diverges ends where it does, and says so in its result: it raises nothing.

    Args:
        config: A valid config, whose vocabulary holds the tokenizer's.
        settings: How to train.
        corpus: On which text.
        seed: Of the initial weights and the order of the data; not negative.
        folder: Where checkpoints are kept, made where it is not there. A run that was killed
            and is called again with the same arguments goes on from the last one, and ends with
            the same numbers: bit for bit on one CPU. None keeps none.
        progress: Called at each point of the learning curve.

    Returns:
        What was found; ``to_dict()`` makes JSON of it.

    Raises:
        TrainingError: If these cannot be trained together; :class:`CorpusError` if it is the text
            or the tokenizer, :class:`CheckpointError` if a checkpoint cannot be written or read, or
            is another run's.
        MissingBackendError: If MLX is not installed.
    """
    import_mlx()
    from elmcfg.training.loop import Run

    run = Run(config, settings, corpus, seed=seed, folder=folder, progress=progress)
    return run.to_the_end()
