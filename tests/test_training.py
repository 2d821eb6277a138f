"""Training runs: pairing, bits per byte, the start, going on after a kill, and bad input."""

import io
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
from elmcfg.training.optimisation import Trainer  # noqa: E402

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


def test_a_folder_without_a_text(tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / ".hidden.txt").write_text("not for others")
    with pytest.raises(CorpusError, match=r"no file in it ends in \.txt, \.md, \.rst"):
        read_corpus(CorpusSpec(source=str(tmp_path)))


def test_held_out_text_shorter_than_a_sequence(corpus: CorpusSpec) -> None:
    less = corpus.model_copy(update={"validation": 8 / 4800})
    with pytest.raises(CorpusError, match=r"held-out text has 8 tokens.* 9; .* validation share"):
        train(TINY, settings(), less, seed=0)


def test_variants_with_one_seed_see_the_same_tokens(
    corpus: CorpusSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[list[int]]] = []
    step = Trainer.step

    def watched(trainer: Trainer, tokens: mx.array) -> mx.array:
        seen.append(np.array(tokens).tolist())
        return step(trainer, tokens)

    monkeypatch.setattr(Trainer, "step", watched)
    other = config(num_transformer_layers=3, model_dim=48, head_dim=8, vocab_size=300)
    for variant in (TINY, other):
        train(variant, settings(steps=4), corpus, seed=2)
    assert seen[:4] == seen[4:]
    assert len({str(batch) for batch in seen}) == 4


def test_the_king_james_bible() -> None:
    spec = CorpusSpec(source="kjv")
    tokens = read_corpus(spec)
    whole = tokens.train.tobytes() + tokens.validation.tobytes()
    assert whole.startswith(b"In the beginning God created the heaven and the earth.")
    assert whole.endswith(b"The grace of our Lord Jesus Christ [be] with you all. Amen.")
    # As often as concordances count.
    assert whole.count(b"begat") == 225
    result = train(TINY, settings(steps=30, eval_every=30, validation_tokens=512), spec, seed=0)
    assert result.corpus.bytes == len(whole)
    assert result.curve[-1][1] < result.curve[0][1] - 1


@pytest.fixture(scope="module")
def pieces() -> Path:
    package = pytest.importorskip("mistral_common")
    pytest.importorskip("sentencepiece")
    return Path(package.__file__).parent / "data" / "tokenizer.model.v1"


def test_bytes_of_pieces_add_up_to_the_text(pieces: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    # What a tokenizer may swallow or make up: spaces, line ends, characters that it lacks.
    file.write_text("  two  spaces\t\r\nnaïve — 日本語 𓀀\n\n e\u0301 ﬁ\u2028x\n" * 20, newline="")
    tokens = read_corpus(CorpusSpec(source=str(file), tokenizer=str(pieces), validation=0.5))
    held = file.read_bytes()[-tokens.facts.validation_bytes :].decode()
    assert tokens.validation_bytes.sum() == len(held.encode())
    assert len(tokens.validation_bytes) == len(tokens.validation)


def test_bits_per_byte_of_pieces_by_brute_force(pieces: Path, tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    file = tmp_path / "text.txt"
    held = "Unquestionably, the cat sat on the mat; " * 6
    file.write_text("some other text. " * 60 + "\n" + held)
    share = len(held) / file.stat().st_size
    spec = CorpusSpec(source=str(file), tokenizer=str(pieces), validation=share)
    still = settings(steps=1, learning_rate=1e-30, warmup_steps=0, weight_decay=0.0)
    wide = config(**SHAPE, vocab_size=32_000, ffn_dim_divisor=8)
    found = train(wide, still, spec, seed=7).bits_per_byte
    model = elmcfg.build(wide)
    initialise(model, 7)
    processor = SentencePieceProcessor(model_file=str(pieces))
    ids = processor.encode(held)
    nats = size = 0.0
    for start in range(0, len(ids) - 8, 8):
        logits = np.array(model(mx.array([ids[start : start + 8]])), np.float64)[0]
        for row, target in zip(logits, ids[start + 1 : start + 9], strict=True):
            nats += math.log(np.exp(row).sum()) - row[target]
            size += len(processor.id_to_piece(target).replace("\u2581", " "))
    assert size < len(held) - 1
    assert found == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_a_tokenizer_larger_than_the_vocabulary(corpus: CorpusSpec, pieces: Path) -> None:
    for vocabulary, tokenizer, count in ((255, "bytes", "256"), (31_999, str(pieces), "32,000")):
        small = config(**SHAPE, vocab_size=vocabulary, ffn_dim_divisor=8)
        spec = corpus.model_copy(update={"tokenizer": tokenizer})
        with pytest.raises(CorpusError, match=f"has {count} tokens, but the model's vocab_size"):
            train(small, settings(), spec, seed=0)


def test_a_tokenizer_that_knows_nothing_of_what_is_held_out(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ab", "ba"] * 9), model_writer=model, vocab_size=5,
        model_type="char", add_dummy_prefix=False, minloglevel=2,
    )  # fmt: skip
    tokenizer, text = tmp_path / "ab.model", tmp_path / "text.txt"
    tokenizer.write_bytes(model.getvalue())
    for held_out, fails in (("cdcd", True), ("cdca", False)):
        text.write_text("abab" + held_out)
        spec = CorpusSpec(source=str(text), tokenizer=str(tokenizer), validation=0.5)
        if fails:
            with pytest.raises(CorpusError, match="knows no character of the held-out text"):
                read_corpus(spec)
        else:
            assert read_corpus(spec).validation_bytes.sum() == 1


def test_a_tokenizer_that_is_none(corpus: CorpusSpec) -> None:
    spec = corpus.model_copy(update={"tokenizer": corpus.source})
    with pytest.raises(CorpusError, match="not a SentencePiece model"):
        read_corpus(spec)
