"""The files of a model folder that hold weights: which are read, which are not, and why."""

from __future__ import annotations

import os
from pathlib import Path

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz")
"""Endings of files that hold, or may hold, Python pickles; they are never opened."""
PICKLED = "a pickle runs code when it is opened"
SUFFIXES = (".gguf", ".safetensors", ".safetensors.index.json", *PICKLES)

_CONFIG = "config.json"
# Hugging Face's trainers save these beside a model; they are no weights.
_OTHERS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def weights_named_by(source: str) -> Path | None:
    """Return the first file of weights that a config argument comes with, readable or not.

    Args:
        source: A file of weights, a model folder, or the ``config.json`` in it.
    """
    path = Path(source)
    try:
        if path.is_dir():
            return _first(path)
        if path.name == _CONFIG and path.is_file():
            return _first(path.parent)
        return path if path.name.lower().endswith(SUFFIXES) and path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have, a folder that may not be listed
        return None


def _first(folder: Path) -> Path | None:
    from elmcfg.formats import safetensors  # a config that is no config.json needs none of it

    files = sorted(
        file
        for file in folder.iterdir()
        if file.name.lower().endswith(SUFFIXES) and file.name not in _OTHERS
    )
    ranked = sorted(files, key=lambda file: not file.name.endswith(".safetensors"))
    return safetensors.find(folder) or next(iter(ranked), None)


def why_unread(file: Path) -> str | None:
    """Return why the headers of a file of weights are not read; None of safetensors."""
    if file.name.endswith(".index.json"):
        return f"{file} names shards, and none of them is there"
    if file.suffix.lower() == ".gguf":
        return f"{file} is not compared with a config by its headers; use 'elmcfg diff' for that"
    if file.suffix.lower() in PICKLES:
        return f"{file} is not read: {PICKLED}; save it as safetensors"
    return None


def is_config(path: str) -> bool:
    """Return whether a path is that of a ``config.json``, as a model folder has it."""
    return os.path.basename(path) == _CONFIG  # noqa: PTH119
