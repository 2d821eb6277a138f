"""What a training run tells while it runs, and what it found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """A word from a run.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        loss: Mean training loss since the last word, in nats per token.
        tokens_per_second: So far; None while the first steps, which compile, are running.
        bits_per_byte: Of the latest validation; None before the first.
    """

    step: int
    steps: int
    loss: float
    tokens_per_second: float | None
    bits_per_byte: float | None


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """Which text it was.

    Attributes:
        name: ``kjv``, ``synthetic``, or the name of the file or folder.
        sha256: Of the whole text, in UTF-8.
        bytes: Of the whole text.
        tokenizer: ``bytes``, or the name of the SentencePiece model's file.
        tokenizer_sha256: Of that file; None for bytes.
        train_tokens: Tokens to learn from.
        validation_tokens: Held-out tokens.
        validation_bytes: Bytes of the held-out text.
    """

    name: str
    sha256: str
    bytes: int
    tokenizer: str
    tokenizer_sha256: str | None
    train_tokens: int
    validation_tokens: int
    validation_bytes: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run found. Every number in it is finite.

    Attributes:
        curve: Step, and mean training loss up to it since the last point, in nats per token.
        validation: Step and bits per byte on held-out text.
        bits_per_byte: After the last step; None where the run diverged.
        steps: Steps done.
        tokens: Tokens learned from in these steps.
        tokens_per_second: Of training alone, in this process and without its first steps, which
            compile; None for shorter runs.
        peak_memory_bytes: What MLX had allocated at most, in this process.
        parameters: Of the model.
        learning_rate: As set.
        dtype: Of the computation.
        corpus: Which text it was.
        model_flops_utilisation: FLOPs of forward and backward pass (:mod:`elmcfg.costs`) per
            second, as a share of what one large matrix product reaches here; None where
            tokens_per_second is.
        diverged_at: The step whose loss was not finite or far too large; None for a good run.
    """

    curve: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]
    bits_per_byte: float | None
    steps: int
    tokens: int
    tokens_per_second: float | None
    peak_memory_bytes: int
    parameters: int
    learning_rate: float
    dtype: str
    corpus: CorpusFacts
    model_flops_utilisation: float | None
    diverged_at: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
