"""The run itself: steps, validations and checkpoints, until the end or a divergence."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx.utils import tree_flatten

from elmcfg import __version__
from elmcfg.backend import on_gpu
from elmcfg.model import as_dtype, build
from elmcfg.speed import matmul_flops_per_second
from elmcfg.training import checkpoints
from elmcfg.training.batches import training_batch, validation_batches
from elmcfg.training.checkpoints import Standing
from elmcfg.training.errors import CorpusError, TokenizerError, TrainingError
from elmcfg.training.initialisation import initialise
from elmcfg.training.optimisation import Trainer
from elmcfg.training.results import Progress, TrainingResult
from elmcfg.training.tokens import read_corpus
from elmcfg.training.utilisation import model_flops_utilisation

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.training.settings import CorpusSpec, TrainingSettings
    from elmcfg.training.tokens import Corpus

_COMPILING_STEPS = 2
# A model that has learned nothing loses ln(vocabulary) nats per token by guessing; one at twice
# that, or twice its own start, over all steps of a point of the curve, has been blown up.
_DIVERGED = 2.0


class Run:
    """One training run; see :func:`elmcfg.training.train`, whose arguments it takes."""

    def __init__(
        self,
        config: Config,
        settings: TrainingSettings,
        corpus: CorpusSpec,
        *,
        seed: int,
        folder: Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.config, self.settings, self.seed = config, settings, seed
        self.folder, self.progress = folder, progress
        self.corpus = read_corpus(corpus)
        require_fit(config, settings, self.corpus, seed)
        self.dtype = compute_dtype(settings)
        mx.reset_peak_memory()
        model = build(config)
        initialise(model, seed)
        weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
        self.parameters = sum(value.size for value in weights.values())
        self.trainer = Trainer(model, settings, as_dtype(self.dtype))
        self.standing = Standing()
        self.seconds, self.timed_steps = 0.0, 0
        self.fingerprint = self._fingerprint()
        if folder is not None and (found := checkpoints.load(folder, self.fingerprint)):
            self.standing, self.trainer.state = found
        self.timed_from = self.standing.step + _COMPILING_STEPS

    def _fingerprint(self) -> str:
        """Of everything that the numbers depend on."""
        parts = {
            "config": self.config.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "corpus": [self.corpus.facts.sha256, self.corpus.facts.tokenizer_sha256],
            "validation": self.corpus.facts.validation_bytes,
            "seed": self.seed,
            "dtype": self.dtype,
            "elmcfg": __version__,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def to_the_end(self) -> TrainingResult:
        """Train until all steps are done, or the loss is no longer to be trusted."""
        standing, settings = self.standing, self.settings
        while standing.step < settings.steps:
            diverged_at = self._steps_until(self._next_stop())
            if diverged_at is not None:
                return self._result(diverged_at)
            step, last = standing.step, standing.step == settings.steps
            if last or step % settings.eval_every == 0:
                bits = self._bits_per_byte()
                if not math.isfinite(bits):
                    return self._result(step)
                standing.validation.append((step, bits))
            if self.folder is not None and (last or step % settings.checkpoint_every == 0):
                checkpoints.save(self.folder, self.fingerprint, standing, self.trainer.state)
        return self._result(None)

    def _next_stop(self) -> int:
        """The next step after which there is something to do but training."""
        step, settings = self.standing.step, self.settings
        every = (settings.log_every, settings.eval_every, settings.checkpoint_every)
        stops = [settings.steps, *((step // each + 1) * each for each in every)]
        if step < self.timed_from:
            stops.append(self.timed_from)
        return min(stops)

    def _steps_until(self, stop: int) -> int | None:
        """Train up to a step; returns the step at which the run diverged, if it did."""
        standing, settings = self.standing, self.settings
        first = standing.step
        began = time.perf_counter()
        # Each is begun before the one before is done, so that the device never waits for Python.
        begun = [self.trainer.step(self._batch(step)) for step in range(first, stop)]
        losses: Any = mx.stack(begun).tolist()
        mx.eval(self.trainer.state)
        if first >= self.timed_from:
            self.seconds += time.perf_counter() - began
            self.timed_steps += stop - first
        for step, loss in enumerate(losses, start=first + 1):
            standing.step = step
            if not math.isfinite(loss):
                return step
            standing.losses.append(loss)
        if stop % settings.log_every and stop != settings.steps:
            return None
        return self._point()

    def _point(self) -> int | None:
        """A point of the learning curve; returns its step if the run diverged."""
        standing = self.standing
        if not standing.curve:
            standing.first_loss = standing.losses[0]
        loss = statistics.fmean(standing.losses)
        standing.losses.clear()
        standing.curve.append((standing.step, loss))
        if self.progress is not None:
            latest = standing.validation[-1][1] if standing.validation else None
            rate = self._tokens_per_second()
            self.progress(Progress(standing.step, self.settings.steps, loss, rate, latest))
        start = max(standing.first_loss or 0.0, math.log(self.config.vocab_size))
        return standing.step if loss > _DIVERGED * start else None

    def _batch(self, step: int) -> mx.array:
        return mx.array(training_batch(self.corpus, self.settings, seed=self.seed, step=step))

    def _bits_per_byte(self) -> float:
        """Held-out bits per byte: nats of all targets, over ln 2, over the targets' bytes."""
        nats, count = 0.0, 0
        for tokens, size in validation_batches(self.corpus, self.settings):
            nats += self.trainer.total_loss(mx.array(tokens))
            count += size
        return nats / math.log(2) / count

    def _tokens_per_second(self) -> float | None:
        tokens = self.timed_steps * self.settings.batch_size * self.settings.seq_len
        return tokens / self.seconds if tokens else None

    def _result(self, diverged_at: int | None) -> TrainingResult:
        settings, standing = self.settings, self.standing
        rate, peak = self._tokens_per_second(), mx.get_peak_memory()
        utilisation = None
        if rate is not None:
            utilisation = model_flops_utilisation(
                self.config, settings.seq_len, rate, matmul_flops_per_second(dtype=self.dtype)
            )
        return TrainingResult(
            curve=tuple(standing.curve),
            validation=tuple(standing.validation),
            bits_per_byte=standing.validation[-1][1] if diverged_at is None else None,
            steps=standing.step,
            tokens=standing.step * settings.batch_size * settings.seq_len,
            tokens_per_second=rate,
            peak_memory_bytes=peak,
            parameters=self.parameters,
            learning_rate=settings.learning_rate,
            dtype=self.dtype,
            corpus=self.corpus.facts,
            model_flops_utilisation=utilisation,
            diverged_at=diverged_at,
        )


def compute_dtype(settings: TrainingSettings) -> str:
    """The name of the dtype to compute in, with ``auto`` resolved for MLX's default device."""
    if settings.dtype != "auto":
        return settings.dtype
    return "bfloat16" if on_gpu() else "float32"


def require_fit(config: Config, settings: TrainingSettings, corpus: Corpus, seed: int) -> None:
    """Refuse what cannot be trained together.

    Raises:
        CorpusError: If the text is too short for one sequence.
        TokenizerError: If it has tokens that the model lacks.
        TrainingError: If the sequences are longer than the model's context, or the seed is
            negative.
    """
    facts, length = corpus.facts, settings.seq_len
    if seed < 0:
        raise TrainingError(f"seed must not be negative, got {seed}")
    for key in ("max_context_length", "rope_max_length"):
        if length > getattr(config, key):
            raise TrainingError(
                f"seq_len is {length:,}, but the model's {key} is {getattr(config, key):,}"
            )
    if corpus.vocabulary > config.vocab_size:
        raise TokenizerError(
            f"tokenizer {facts.tokenizer}: has {corpus.vocabulary:,} tokens, but the model's "
            f"vocab_size is {config.vocab_size:,}"
        )
    for part, tokens, remedy in (
        ("training text", corpus.train, ""),
        ("held-out text", corpus.validation, ", a larger validation share"),
    ):
        if len(tokens) <= length:
            raise CorpusError(
                f"corpus {facts.name}: its {part} has {len(tokens):,} tokens, and a sequence with "
                f"its last target {length + 1:,}; use more text{remedy} or a smaller seq_len"
            )
