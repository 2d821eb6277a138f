"""Weights that are quick to make are as good as independent ones for what a proof does."""

from __future__ import annotations

import numpy as np
import pytest

from elmcfg.backend import import_mlx
from elmcfg.config import Config

mx = import_mlx()
from elmcfg.proof import subject, weights  # noqa: E402


def config(vocab_size: int) -> Config:
    return Config(
        num_transformer_layers=2,
        model_dim=512,
        head_dim=64,
        vocab_size=vocab_size,
        num_query_heads=(4, 8),
        num_kv_heads=(2, 4),
        ffn_multipliers=(1.0, 2.0),
        ffn_dim_divisor=64,
        share_input_output_layers=False,
    )


def made(vocab_size: int, *, dtype: str = "float32", seed: int = 0) -> subject.Subject:
    made = subject.Subject(config(vocab_size), dtype, seq_len=4, batch_size=1, seed=seed)
    made.evaluate()
    return made


@pytest.mark.parametrize("vocab_size", [300, 20_000])
def test_no_two_rows_are_alike(vocab_size: int) -> None:
    """Neither in one matrix, nor in two of the same shape; with 20,000 the stream begins again."""
    model = made(vocab_size)
    assert (model.counted > weights.PERIOD) == (vocab_size > 300)
    tables = [
        np.array(model.parameters[name])[-300:]
        for name in ("transformer.token_embeddings.weight", "lm_head.weight")
    ]
    rows = np.concatenate(tables)
    among = np.corrcoef(rows) - np.eye(len(rows))
    # The correlation of independent rows of 512 has a standard deviation of 512**-0.5 = 0.044.
    assert np.abs(among).max() < 6 * 512**-0.5
    assert among.std() == pytest.approx(512**-0.5, rel=0.1)


def test_numbers_are_as_spread_out_as_the_config_says() -> None:
    for name, tensor in made(300).parameters.items():
        numbers = np.array(tensor)
        if numbers.ndim == 2:
            assert numbers.mean() == pytest.approx(0, abs=0.001), name
            assert numbers.std() == pytest.approx(0.02, rel=0.05), name
        else:
            assert 0.9 <= numbers.min() < 1 < numbers.max() <= 1.1, name
            assert len(set(numbers.tolist())) > 1, name


def test_a_seed_gives_its_own_weights_and_a_dtype_the_same_ones_rounded() -> None:
    one, again, other, half = (
        made(300).parameters,
        made(300).parameters,
        made(300, seed=1).parameters,
        made(300, dtype="float16").parameters,
    )
    for name, tensor in one.items():
        assert mx.array_equal(tensor, again[name])
        assert not mx.array_equal(tensor, other[name])
        assert mx.allclose(tensor, half[name].astype(mx.float32), rtol=1e-3, atol=1e-6)


def test_weights_have_memory_of_their_own() -> None:
    """A model of views of one small pool would be read faster than any real one."""
    before = mx.get_active_memory()
    model = made(8_000)
    assert mx.get_active_memory() - before >= 4 * model.counted
