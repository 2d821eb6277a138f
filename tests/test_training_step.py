"""One step of training: the same whether tensors lie apart or together, and as written down."""

import importlib
from typing import Any

import pytest

from elmcfg.backend import import_mlx

import_mlx()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from models import config  # noqa: E402

from elmcfg.model import build  # noqa: E402
from elmcfg.training import TrainingSettings, optimisation  # noqa: E402
from elmcfg.training.initialisation import initialise  # noqa: E402
from elmcfg.training.packing import Packing  # noqa: E402

tree_flatten: Any = importlib.import_module("mlx.utils").tree_flatten

CONFIG = config(
    num_transformer_layers=2, model_dim=32, head_dim=16, vocab_size=64, ffn_dim_divisor=8
)
SETTINGS = TrainingSettings(
    steps=4, batch_size=3, seq_len=8, learning_rate=1e-2, gradient_clip_norm=0.5, dtype="float32"
)


def started() -> Any:
    model = build(CONFIG)
    initialise(model, 0)
    return model


@pytest.mark.parametrize("together", [False, True])
def test_what_is_packed_comes_back(together: bool) -> None:
    parameters = started().trainable_parameters()
    packing = Packing(parameters, together=together)
    packed = packing.pack(parameters)
    before = dict(tree_flatten(parameters))
    assert len(packed) == (2 if together else len(before))
    sizes = {True: 0, False: 0}
    for value in before.values():
        sizes[value.ndim > 1] += value.size
    assert sum(packed[key].size for key in packing.matrices) == sizes[True]
    assert sum(value.size for value in packed.values()) == sizes[True] + sizes[False]
    after: dict[str, Any] = dict(tree_flatten(packing.views(packed, mx.float32)))
    assert after.keys() == before.keys()
    assert all(mx.array_equal(after[name], before[name]).item() for name in before)


@pytest.mark.parametrize("together", [False, True])
def test_two_steps_are_adamw_on_clipped_gradients(
    together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against AdamW (arXiv 1711.05101, algorithm 2) in numpy, float64, on MLX's gradients."""

    def packing(parameters: Any, **_: Any) -> Packing:
        return Packing(parameters, together=together)

    monkeypatch.setattr(optimisation, "Packing", packing)
    trainer = optimisation.Trainer(started(), SETTINGS, mx.float32)
    model = started()
    weights = {name: np.array(v, np.float64) for name, v in tree_flatten(model.parameters())}
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    rates = optimisation.learning_rates(SETTINGS)

    def loss(parameters: Any, tokens: mx.array) -> mx.array:
        model.update(parameters)
        logits = model(tokens[:, :-1])
        chosen = mx.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
        return mx.mean(mx.logsumexp(logits, axis=-1) - chosen)

    for step in (1, 2):
        tokens = mx.random.randint(0, 64, (3, 9), key=mx.random.key(step))
        expected, tree = mx.value_and_grad(loss)(model.trainable_parameters(), tokens)
        assert trainer.step(tokens).item() == pytest.approx(expected.item(), rel=1e-5)
        gradients = {name: np.array(value, np.float64) for name, value in tree_flatten(tree)}
        norm = np.sqrt(sum((value**2).sum() for value in gradients.values()))
        assert norm > SETTINGS.gradient_clip_norm
        rate = float(rates(mx.array(step - 1)))
        for name, value in weights.items():
            gradient = gradients[name] * SETTINGS.gradient_clip_norm / norm
            first[name] = SETTINGS.beta1 * first[name] + (1 - SETTINGS.beta1) * gradient
            second[name] = SETTINGS.beta2 * second[name] + (1 - SETTINGS.beta2) * gradient**2
            decay = SETTINGS.weight_decay if value.ndim > 1 else 0.0
            moved = first[name] / (1 - SETTINGS.beta1**step)
            scale = np.sqrt(second[name] / (1 - SETTINGS.beta2**step)) + 1e-8
            weights[name] = value - rate * (moved / scale + decay * value)
        model.load_weights([(name, mx.array(each, mx.float32)) for name, each in weights.items()])
    held = trainer.state["weights"]
    parameters = model.trainable_parameters()
    packed = Packing(parameters, together=together).pack(parameters)
    assert held.keys() == packed.keys()
    for key, expected in packed.items():
        np.testing.assert_allclose(np.array(held[key]), np.array(expected), rtol=2e-4, atol=2e-6)
