"""Where configs come from: files, standard input, shipped variants, and folders full of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from elmcfg.document import Document, Format, decode, read_bytes
from elmcfg.document.tree import MAX_BYTES

Source = str | os.PathLike[str] | Mapping[str, Any]
"""A path, the name of a shipped variant, ``-`` for standard input, or a mapping of keys."""

VARIANT_SCHEMA = "variant.schema.json"
"""Name of the schema file in the ``schemas`` folder."""

_SUFFIXES = (".yaml", ".yml", ".json")
# What every config holds and other YAML and JSON files do not.
_MARK = b"num_transformer_layers"


class SourceNotFoundError(FileNotFoundError):
    """There is neither a file nor a shipped variant of that name."""


def data_folder(name: str) -> Path:
    """``variants`` or ``schemas``: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def shipped() -> dict[str, Path]:
    """The shipped variants by name."""
    return {path.stem: path for path in sorted(data_folder("variants").glob("*.yaml"))}


def read(source: Source) -> Document:
    """Read one config.

    A folder stands for the ``config.json`` in it, as a model folder of the hub has.

    Raises:
        SourceNotFoundError: If there is no such file and no such shipped variant.
    """
    if isinstance(source, Mapping):
        return Document("<mapping>", "", Format.YAML, dict(source), [])
    name = os.fspath(source)
    if name == "-":
        return decode(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
    path = Path(name)
    try:
        inside = path / "config.json"
        if path.is_dir() and inside.is_file():
            return read_bytes(inside, str(inside))
        if path.exists() or path.is_symlink():
            return read_bytes(path, name)
    except (OSError, ValueError):
        return read_bytes(path, name)
    variants = shipped()
    if name in variants:
        return read_bytes(variants[name], name)
    from difflib import get_close_matches  # only a mistake needs it

    close = get_close_matches(name, variants, n=1)
    hint = f"; did you mean {close[0]}?" if close else f" (shipped: {', '.join(variants)})"
    raise SourceNotFoundError(f"{name}: no such file, and no shipped variant of that name{hint}")


def discover(sources: Iterable[str]) -> Iterator[Document]:
    """Every config that the arguments of ``validate`` stand for, in order, read one at a time.

    A file named outright is always read. In a folder those YAML and JSON files are read that look
    like a config; hidden folders and links to folders are passed by.

    Raises:
        SourceNotFoundError: As :func:`read`, or if a folder holds no config.
    """
    for name in sources:
        path = Path(name)
        if name == "-" or not path.is_dir():
            yield read(name)
            continue
        found = False
        for file in _walk(path):
            document = read_bytes(file, str(file))
            if _MARK.decode() in document.text:
                found = True
                yield document
        if not found:
            raise SourceNotFoundError(
                f"{name}: no configs in this folder (YAML or JSON files with {_MARK.decode()})"
            )


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(_SUFFIXES):
                yield Path(root, name)


def checkpoint_beside(path: str) -> Path | None:
    """The folder of a ``config.json``, where a checkpoint lies beside it."""
    file = Path(path)
    if file.name != "config.json" or not any(file.parent.glob("*.safetensors")):
        return None
    return file.parent
