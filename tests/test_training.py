"""Training runs: pairing, bits per byte, the start, going on after a kill, and bad input."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elmcfg.backend import import_mlx

import_mlx()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from models import config  # noqa: E402

import elmcfg  # noqa: E402
from elmcfg.training import (  # noqa: E402
    CheckpointError,
    CorpusError,
    CorpusSpec,
    Progress,
    TrainingSettings,
    read_corpus,
    train,
)
from elmcfg.training.batches import training_batch, validation_batches  # noqa: E402
from elmcfg.training.initialisation import initialise  # noqa: E402

SHAPE: dict[str, Any] = {"num_transformer_layers": 2, "model_dim": 32, "head_dim": 16}
TINY = config(**SHAPE, vocab_size=256, ffn_dim_divisor=8)


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusSpec:
    file = tmp_path / "text.txt"
    file.write_text("the cat sat on the mat. " * 200)
    return CorpusSpec(source=str(file), validation=0.1)


def settings(**changes: Any) -> TrainingSettings:
    keys = {"steps": 12, "batch_size": 2, "seq_len": 8, "log_every": 2, "eval_every": 6}
    return TrainingSettings(**{**keys, "checkpoint_every": 3, "learning_rate": 1e-2, **changes})


def test_the_loss_falls(corpus: CorpusSpec) -> None:
    result = train(TINY, settings(), corpus, seed=0)
    assert result.curve[-1][1] < result.curve[0][1] - 0.5
    assert result.tokens == 12 * 2 * 8
    assert result.parameters == elmcfg.cost(TINY).parameters.total


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from elmcfg.training import CorpusSpec, train
from test_training import TINY, settings
def progress(told):
    if told.step >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
spec = CorpusSpec(source=sys.argv[2], validation=0.1)
train(TINY, settings(), spec, seed=1, folder=Path(sys.argv[3]), progress=progress)
"""


@pytest.mark.parametrize("step", [2, 8])
def test_a_killed_run_ends_with_the_same_numbers(
    step: int, corpus: CorpusSpec, tmp_path: Path
) -> None:
    folder, tests = tmp_path / "kept", str(Path(__file__).parent)
    root = str(Path(elmcfg.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tests, corpus.source, str(folder), str(step)],
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    steps: list[Progress] = []
    again = train(TINY, settings(), corpus, seed=1, folder=folder, progress=steps.append)
    # The kill came before the checkpoint of its own step: 2 has none yet, 8 the one of 6.
    assert steps[0].step == step
    whole = train(TINY, settings(), corpus, seed=1)
    assert (again.curve, again.validation) == (whole.curve, whole.validation)


def test_a_checkpoint_of_another_run_is_refused(corpus: CorpusSpec, tmp_path: Path) -> None:
    train(TINY, settings(steps=3), corpus, seed=0, folder=tmp_path / "kept")
    with pytest.raises(CheckpointError, match="another config, settings"):
        train(TINY, settings(steps=3), corpus, seed=1, folder=tmp_path / "kept")


def test_batches_are_windows_of_the_text_and_depend_on_the_seed(corpus: CorpusSpec) -> None:
    tokens = read_corpus(corpus)
    batch = training_batch(tokens, settings(), seed=3, step=5)
    text = tokens.train.tobytes()
    assert all(bytes(row.tolist()) in text for row in batch)
    assert np.array_equal(batch, training_batch(tokens, settings(), seed=3, step=5))
    assert not np.array_equal(batch, training_batch(tokens, settings(), seed=4, step=5))


def test_bits_per_byte_by_brute_force(corpus: CorpusSpec) -> None:
    still = settings(steps=1, learning_rate=1e-30, warmup_steps=0, weight_decay=0.0)
    found = train(TINY, still, corpus, seed=7).bits_per_byte
    model = elmcfg.build(TINY)
    initialise(model, 7)
    held = Path(corpus.source).read_bytes()[4320:]
    nats = count = 0.0
    for start in range(0, len(held) - 8, 8):
        logits = np.array(model(mx.array([list(held[start : start + 8])])), np.float64)[0]
        for row, target in zip(logits, held[start + 1 : start + 9], strict=True):
            nats += math.log(np.exp(row).sum()) - row[target]
            count += 1
    assert found == pytest.approx(nats / math.log(2) / count, rel=1e-5)


def test_held_out_windows_tell_each_token_once(corpus: CorpusSpec) -> None:
    tokens = read_corpus(corpus)
    batches = list(validation_batches(tokens, settings()))
    told = b"".join(bytes(row[1:].tolist()) for batch, _ in batches for row in batch)
    assert tokens.validation.tobytes()[1:].startswith(told)
    assert sum(size for _, size in batches) == len(told) == 472


def test_each_matrix_has_the_variance_of_its_own_fan_in() -> None:
    model = elmcfg.build(config(vocab_size=256))
    initialise(model, 0)
    for name, value in dict(tree_flatten(model.parameters())).items():
        if value.ndim == 2:
            last = name.endswith(("out_proj.weight", "proj_2.weight"))
            wanted = 1 / value.shape[1] / (8 if last else 1)
            assert float(mx.var(value)) == pytest.approx(wanted, rel=0.1), name


def test_a_divergence_is_told_and_raises_nothing(corpus: CorpusSpec) -> None:
    result = train(TINY, settings(learning_rate=1e30, warmup_steps=0), corpus, seed=0)
    assert result.diverged_at is not None
    assert result.bits_per_byte is None
    assert all(math.isfinite(loss) for _, loss in result.curve)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\xff\xfe", "not UTF-8: byte 0"), (b"short", "a smaller seq_len")],
)
def test_a_corpus_that_is_no_use(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        train(TINY, settings(), CorpusSpec(source=str(tmp_path / "text.txt")), seed=0)


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file"):
        read_corpus(CorpusSpec(source=str(tmp_path / "gone")))
