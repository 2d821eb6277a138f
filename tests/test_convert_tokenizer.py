"""A real tokenizer: read as its own library reads it, used by llama.cpp, and trained with."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import models
import pytest
from conftest import Run

import elmcfg
from elmcfg.conversion.tokenizer import sentencepiece
from elmcfg.conversion.weights import ConversionError

TEXT = "In the beginning God created the heaven and the earth."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = pytest.importorskip("mistral_common")
    source = Path(package.__file__).parent / "data" / "tokenizer.model.v1"
    return Path(shutil.copy(source, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"))


def small() -> elmcfg.Config:
    return models.config(vocab_size=32_000, model_dim=64)


def test_pieces_are_those_of_the_library(tokenizer: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    theirs = library.SentencePieceProcessor(str(tokenizer))
    ours = sentencepiece(tokenizer, 32_128)
    assert ours.tokens[:32_000] == [theirs.id_to_piece(i) for i in range(32_000)]
    assert ours.scores[:32_000] == [theirs.get_score(i) for i in range(32_000)]
    assert ours.kinds[:4] == [2, 3, 3, 6]
    assert set(ours.kinds[32_000:]) == {5}
    with pytest.raises(ConversionError, match="32,000 pieces"):
        sentencepiece(tokenizer, 31_999)


def test_llama_cpp_cuts_text_as_the_library_does(run: Run, tmp_path: Path, tokenizer: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    library = pytest.importorskip("sentencepiece")
    ids = library.SentencePieceProcessor(str(tokenizer)).encode(TEXT)
    config, file = small(), tmp_path / "model.gguf"
    weights = models.tensors(config)
    source = models.save(tmp_path / "model", config, weights)
    given = ("--tokenizer", str(tokenizer))
    assert run("convert", str(source), str(file), *given).code == 0
    got = models.llama_cpp(file, TEXT)
    expected = models.log_probabilities(config, weights, [1, *ids])
    assert got == pytest.approx({token: float(expected[token]) for token in got}, abs=1e-4)


def test_mlx_lm_trains_from_random_weights(run: Run, tmp_path: Path, tokenizer: Path) -> None:
    pytest.importorskip("mlx_lm")
    source, model, data = (tmp_path / name for name in ("small.yaml", "model", "data"))
    source.write_text(elmcfg.dump(small().model_copy(update={"initializer_range": 0.02})))
    given = ("--tokenizer", str(tokenizer.parent))
    assert run("convert", str(source), str(model), *given).code == 0
    data.mkdir()
    for name in ("train", "valid"):
        (data / f"{name}.jsonl").write_text((json.dumps({"text": TEXT}) + "\n") * 4)
    program = [sys.executable, "-m", "mlx_lm", "lora", "--train", "--fine-tune-type", "full"]
    program += ["--num-layers", "-1", "--iters", "10", "--batch-size", "2"]
    program += ["--learning-rate", "1e-2"]
    program += ["--val-batches", "1", "--model", str(model), "--data", str(data)]
    program += ["--adapter-path", str(tmp_path / "adapters")]
    # ortools lets in an older protobuf only than the one sentencepiece was made with.
    environment = os.environ | {"TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK": "true"}
    done = subprocess.run(
        program, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    losses = [float(loss) for loss in re.findall(r"[Vv]al(?: loss)?\s+(\d+\.\d+)", plain)]
    assert losses[-1] < losses[0] - 0.2


def fast_tokenizer(path: Path, size: int = 300) -> Path:
    """A ``tokenizer.json`` as huggingface/tokenizers trains and writes it."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel()
    made.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator([TEXT], trainer)
    made.save(str(path))
    return path


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.model.v1", "any.json", "tokenizer"])
@pytest.mark.parametrize("kind", ["tokenizer.model", "tokenizer.json"])
def test_a_tokenizer_is_known_by_its_content(
    run: Run, tmp_path: Path, tokenizer: Path, name: str, kind: str
) -> None:
    pytest.importorskip("mlx_lm")
    given, made, file = tmp_path / name, tmp_path / "made", tmp_path / "made.gguf"
    if kind == "tokenizer.model":
        shutil.copy(tokenizer, given)
    else:
        fast_tokenizer(given)
    source = tmp_path / "small.yaml"
    source.write_text(elmcfg.dump(small()))
    outcome = run("convert", str(source), str(made), "--tokenizer", str(given))
    assert outcome.code == 0, outcome.err
    assert (made / kind).read_bytes() == given.read_bytes()
    assert {p.name for p in made.glob("tok*")} == {kind, "tokenizer_config.json"}
    said = json.loads((made / "tokenizer_config.json").read_text())
    assert (said["bos_token"], said["eos_token"], said["unk_token"]) == ("<s>", "</s>", "<unk>")
    assert "mlx_lm.lora stop" not in outcome.err
    assert "mlx_lm.lora stop" not in (made / "README.md").read_text()
    outcome = run("convert", str(source), str(file), "--tokenizer", str(given))
    assert (outcome.code == 0) == (kind == "tokenizer.model"), outcome.err
    assert kind == "tokenizer.model" or "SentencePiece model" in outcome.err


@pytest.mark.parametrize("kind", ["tokenizer.model", "tokenizer.json"])
def test_the_card_of_a_folder_with_a_tokenizer_works_as_printed(
    run: Run, tmp_path: Path, tokenizer: Path, kind: str
) -> None:
    pytest.importorskip("mlx_lm")
    given = tokenizer if kind == "tokenizer.model" else fast_tokenizer(tmp_path / "fast")
    source, made = tmp_path / "small.yaml", tmp_path / "made"
    source.write_text(elmcfg.dump(small()))
    assert run("convert", str(source), str(made), "--tokenizer", str(given)).code == 0
    said = models.run_card(made)
    assert said["python"] == "(1, 1, 32000)\n"
    assert "Generation: " in said["sh"]


@pytest.mark.parametrize("kind", ["tokenizer.model", "tokenizer.json"])
def test_a_tokenizer_with_more_tokens_than_rows_is_refused(
    run: Run, tmp_path: Path, tokenizer: Path, kind: str
) -> None:
    given = tokenizer if kind == "tokenizer.model" else fast_tokenizer(tmp_path / "fast")
    source = tmp_path / "small.yaml"
    source.write_text(elmcfg.dump(models.config(vocab_size=200)))
    for target in ("made", "made.gguf"):
        arguments = ("convert", str(source), str(tmp_path / target))
        outcome = run(*arguments, "--tokenizer", str(given))
        assert outcome.code == 1
        assert "the model only 200 rows of embeddings" in outcome.err
        assert not (tmp_path / target).exists()


def field(number: int, wire: int, value: bytes) -> bytes:
    return bytes([number << 3 | wire]) + value


def piece(text: bytes, kind: int = 1) -> bytes:
    inner = field(1, 2, bytes([len(text)]) + text) + field(2, 5, struct.pack("<f", -1.5))
    inner += field(3, 0, bytes([kind]))
    return field(1, 2, bytes([len(inner)]) + inner)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "text": lambda raw: b"not a model",
    "cut": lambda raw: raw[:-1],
    "length beyond the end": lambda raw: raw + field(1, 2, b"\xff\xff\x7f"),
    "endless number": lambda raw: raw + b"\xff" * 20,
    "unknown type": lambda raw: raw + piece(b"a", 9),
    "not UTF-8": lambda raw: raw + piece(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_models(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "tokenizer.model"
    whole = piece(b"<unk>", 2) + piece("\u2581a".encode())
    file.write_bytes(whole)
    read = sentencepiece(file, 3)
    assert read.tokens == ["<unk>", "\u2581a", "[unused 2]"]
    assert (read.scores, read.kinds) == ([-1.5, -1.5, 0.0], [2, 1, 5])
    file.write_bytes(damage(whole))
    with pytest.raises(ConversionError, match="not a SentencePiece model"):
        sentencepiece(file, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such tokenizer"),
        ("other.json", "neither a SentencePiece model (tokenizer.model) nor a tokenizer.json"),
        ("empty", "holds no"),
    ],
)
def test_no_tokenizer(run: Run, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for target in ("made", "made.gguf"):
        outcome = run(
            "convert", "tiny", str(tmp_path / target), "--tokenizer", str(tmp_path / name)
        )
        assert outcome.code == 1
        assert message in outcome.err
        assert not (tmp_path / target).exists()
