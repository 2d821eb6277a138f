"""Text to tokens, with the bytes that each held-out token stands for.

Bits per byte compares models across tokenizers only if the bytes are counted right. A byte token
is one byte. A SentencePiece token stands for the stretch of text that it was made from (its
surface), so their bytes add up to the text's, whatever the model normalises or prefixes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.document import read_regular
from elmcfg.training.corpora import read_text
from elmcfg.training.errors import TokenizerError
from elmcfg.training.results import CorpusFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elmcfg.training.settings import CorpusSpec

BYTES = 256
MAX_TOKENIZER_BYTES = 64 * 2**20
"""Largest SentencePiece model that is read."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text as tokens.

    Attributes:
        train: Token ids to learn from.
        validation: Token ids held out.
        validation_bytes: How many bytes each of these stands for.
        vocabulary: Every id is below this.
        facts: Which text it is.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    validation_bytes: NDArray[Any]
    vocabulary: int
    facts: CorpusFacts


def read_corpus(spec: CorpusSpec) -> Corpus:
    """Read a text, hold its end out, and make tokens of both parts.

    Args:
        spec: Which text, which tokenizer, and how much is held out.

    Raises:
        CorpusError: If the text cannot be used; :class:`TokenizerError` if it is the tokenizer.
    """
    import numpy as np  # A study's plan asks for the hashes alone.

    text = read_text(spec.source)
    cut = _character_before(text.content, round(len(text.content) * (1 - spec.validation)))
    parts = text.content[:cut], text.content[cut:]
    if spec.tokenizer == "bytes":
        name, sha256, vocabulary = "bytes", None, BYTES
        train, validation = (np.frombuffer(part, dtype=np.uint8) for part in parts)
        lengths = np.ones(len(validation), dtype=np.int64)
    else:
        path = Path(spec.tokenizer)
        model = _model_bytes(path)
        name, sha256 = path.name, hashlib.sha256(model).hexdigest()
        processor = _sentencepiece(path, model)
        vocabulary = processor.vocab_size()
        train, validation, lengths = _pieces(processor, *parts)
        if len(lengths) and not lengths.any():
            raise TokenizerError(f"tokenizer {path}: knows no character of the held-out text")
    return Corpus(
        train,
        validation,
        lengths,
        vocabulary,
        CorpusFacts(
            name=text.name,
            sha256=text.sha256,
            bytes=len(text.content),
            tokenizer=name,
            tokenizer_sha256=sha256,
            train_tokens=len(train),
            validation_tokens=len(validation),
            validation_bytes=len(parts[1]),
        ),
    )


def by_content(spec: CorpusSpec) -> dict[str, Any]:
    """A corpus by what it says: SHA-256 in place of names and paths.

    So an edited text is another one, and so is one that another version of its package gives.

    Args:
        spec: Its files are read.

    Raises:
        CorpusError: If the text cannot be; :class:`TokenizerError` if it is the tokenizer.
    """
    said = spec.model_dump(mode="json")
    said["source"] = read_text(spec.source).sha256
    if spec.tokenizer != "bytes":
        said["tokenizer"] = hashlib.sha256(_model_bytes(Path(spec.tokenizer))).hexdigest()
    return said


def _character_before(content: bytes, cut: int) -> int:
    """The nearest cut, at or before this one, that splits no character."""
    while 0 < cut < len(content) and content[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _model_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_TOKENIZER_BYTES)
    except OSError as error:
        raise TokenizerError(f"tokenizer {path}: cannot be read: {error.strerror}") from error


def _sentencepiece(path: Path, model: bytes) -> Any:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise TokenizerError(
            f"tokenizer {path}: needs the package sentencepiece; "
            "run: pip install 'elmcfg[study]', or use bytes"
        ) from error
    try:
        return SentencePieceProcessor(model_proto=model)
    except (OSError, RuntimeError) as error:
        raise TokenizerError(f"tokenizer {path}: not a SentencePiece model") from error


def _pieces(
    processor: Any, train: bytes, validation: bytes
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    import numpy as np

    ids: list[int] = []
    for line in train.decode().splitlines(keepends=True):
        ids += processor.encode(line)
    held_out: list[int] = []
    lengths: list[int] = []
    unknown: Callable[[int], bool] = processor.is_unknown
    for line in validation.decode().splitlines(keepends=True):
        found = processor.encode_as_offset_mapping(line)
        for piece, (begin, end) in zip(found["ids"], found["offsets"], strict=True):
            held_out.append(piece)
            # An unknown character is not told by its token, so its bytes are not counted as said.
            lengths.append(0 if unknown(piece) else len(line[begin:end].encode()))
    return np.array(ids, np.int32), np.array(held_out, np.int32), np.array(lengths, np.int64)
