"""One step of training: loss, gradient, clipping, AdamW on a warm-up and a cosine; compiled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from elmcfg.backend import on_gpu
from elmcfg.training.packing import Packing

if TYPE_CHECKING:
    from elmcfg.model import Model
    from elmcfg.training.settings import TrainingSettings


def learning_rates(settings: TrainingSettings) -> Any:
    """The learning rate as a function of the step, from 0: linear up, then half a cosine down.

    With W steps of warm-up and T in all: rate * (1 + (W - 1) step / W) / W below W, and from there
    a cosine from the full rate to ``final_learning_rate_ratio`` of it at T.
    """
    rate, warmup = settings.learning_rate, settings.warmup
    end = rate * settings.final_learning_rate_ratio
    cosine = optim.cosine_decay(rate, settings.steps - warmup, end)
    if not warmup:
        return cosine
    return optim.join_schedules(
        [optim.linear_schedule(rate / warmup, rate, warmup), cosine], [warmup]
    )


class Trainer:
    """A model's weights and optimiser, and the compiled step that changes them.

    Args:
        model: Its weights are the start; afterwards it is a mere template.
        settings: See :class:`~elmcfg.training.settings.TrainingSettings`.
        dtype: Of the computation; weights and optimiser are float32 throughout.
    """

    def __init__(self, model: Model, settings: TrainingSettings, dtype: mx.Dtype) -> None:
        self._model, self._dtype = model, dtype
        schedule = learning_rates(settings)
        betas = [settings.beta1, settings.beta2]
        # Norms are not decayed, as in CoreNet (no_decay_bn_filter_bias) and elsewhere.
        decayed, plain = (
            optim.AdamW(schedule, betas=betas, weight_decay=decay, bias_correction=True)
            for decay in (settings.weight_decay, 0.0)
        )
        parameters = model.trainable_parameters()
        self._packing = packing = Packing(parameters, together=on_gpu())
        self._optimizer = optim.MultiOptimizer(
            [decayed, plain], [lambda key, _: key in packing.matrices]
        )
        self._held = {"weights": packing.pack(parameters)}
        self._optimizer.init(self._held["weights"])
        gradient = mx.value_and_grad(self._mean_loss)
        clip = partial(optim.clip_grad_norm, max_norm=settings.gradient_clip_norm)
        compiled = [self._held, self._optimizer.state]

        @partial(mx.compile, inputs=compiled, outputs=compiled)
        def step(tokens: mx.array) -> mx.array:
            loss, gradients = gradient(self._views(), tokens)
            clipped, _ = clip(packing.pack(gradients))
            updated = self._optimizer.apply_gradients(clipped, self._held["weights"])
            # In place: MultiOptimizer merges its parts in an order that changes from process to
            # process, and a compiled function knows its outputs by their order alone.
            self._held["weights"].update(updated)
            return loss

        self._step = step
        self._losses = mx.compile(self._total_loss)

    @property
    def state(self) -> dict[str, Any]:
        """Weights and optimiser: a tree of arrays."""
        return {"weights": self._held["weights"], "optimizer": self._optimizer.state}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._fill(self.state, state)

    def _fill(self, target: Any, source: Any) -> None:
        """Put arrays in place, since the compiled step holds on to the containers."""
        # By the source: modules without weights, such as RoPE, are not in a checkpoint.
        for key in source if isinstance(source, dict) else range(len(source)):
            if isinstance(target[key], mx.array):
                target[key] = source[key]
            else:
                self._fill(target[key], source[key])

    def step(self, tokens: mx.array) -> mx.array:
        """One update of the weights, begun but not waited for.

        Args:
            tokens: (B, L + 1).

        Returns:
            The mean loss before it, in nats per token.
        """
        loss: mx.array = self._step(tokens)
        mx.async_eval(loss, self.state)
        return loss

    def total_loss(self, tokens: mx.array) -> float:
        """The sum of the losses of all targets, in nats.

        Args:
            tokens: (B, L + 1).
        """
        total: Any = self._losses(self._views(), tokens).item()
        return float(total)

    def _views(self) -> Any:
        return self._packing.views(self._held["weights"], self._dtype)

    def _mean_loss(self, weights: dict[str, Any], tokens: mx.array) -> mx.array:
        return mx.mean(self._cross_entropy(weights, tokens))

    def _total_loss(self, weights: dict[str, Any], tokens: mx.array) -> mx.array:
        return mx.sum(self._cross_entropy(weights, tokens))

    def _cross_entropy(self, weights: dict[str, Any], tokens: mx.array) -> mx.array:
        """The loss of every target (B, L), float32, in nats."""
        self._model.update(weights)
        logits = self._model(tokens[:, :-1]).astype(mx.float32)
        return nn.losses.cross_entropy(logits, tokens[:, 1:])
