"""A model folder as the hub has them: ``config.json``, ``model.safetensors`` and a model card.

The folder is there whole or not at all: it is made beside its place under another name, and renamed
when everything in it is written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from elmcfg.config import Config
from elmcfg.costs import cost
from elmcfg.document import beside, replaced
from elmcfg.formats import hub
from elmcfg.geometry import geometry

_SPARE_BYTES = 2**20
_REPLACEABLE = (
    "config.json", "generation_config.json", "README.md", "*.safetensors",
    "*.safetensors.index.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    ".gitattributes", "vocab.json", "merges.txt",
)  # fmt: skip


class FolderError(OSError):
    """A folder cannot be written; the message says why, in one line."""


class FolderTakenError(FolderError):
    """Another program has written the folder while we were at work; its content stays."""


@contextlib.contextmanager
def new_folder(place: Path, nbytes: int, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends with something in it.

    Args:
        place: Where it shall be; nothing, or an empty folder, may be there.
        nbytes: How much will be written.
        replace: Whether a model folder that is there may be replaced; no other folder may be.

    Raises:
        FolderError: If something is there, the disk has too little room, or it cannot be written.
    """
    try:
        if place.is_symlink() or (place.exists() and not _is_empty(place)):
            if not replace:
                raise FolderError(f"{place}: is there already; name a new folder")
            _hold_model(place)
        if place.exists() and place.samefile(Path.cwd()):
            raise FolderError(f"{place}: is the folder you are in; name a new folder")
        if not place.parent.is_dir():
            raise FolderError(f"{place}: there is no folder {place.parent}")
        free = shutil.disk_usage(place.parent).free
        if free < nbytes + _SPARE_BYTES:
            raise FolderError(f"{place}: needs {nbytes:,} bytes of disk, free are {free:,}")
        with beside(place) as temporary:
            temporary.mkdir()  # unlike mkdtemp, with what the umask leaves
            yield temporary
            if written := list(temporary.iterdir()):
                for file in written:  # so that the name outlives no content, should the power fail
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
                _name(temporary, place, replace=replace)
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{place}: cannot be written: {error.strerror or error}") from error


def _name(temporary: Path, place: Path, *, replace: bool) -> None:
    """Give a folder its name, in place of a model folder where that is allowed."""
    if replace and place.exists() and not _is_empty(place):
        _hold_model(place)
        _exchange(temporary, place)
        return
    try:
        temporary.replace(place)  # which replaces no folder but an empty one
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise FolderTakenError(f"{place}: another program has written it meanwhile") from error


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _hold_model(place: Path) -> None:
    """Refuse to replace what is not a model folder and nothing else: it is somebody's work."""
    if place.is_symlink() or not place.is_dir():
        raise FolderError(f"{place}: is there already, and is no folder; name a new folder")
    foreign = sorted(
        entry.name
        for entry in place.iterdir()
        if entry.is_dir() or not any(entry.match(pattern) for pattern in _REPLACEABLE)
    )
    if foreign:
        raise FolderError(f"{place}: holds {foreign[0]}, which is no part of a model; not replaced")


def _exchange(new: Path, place: Path) -> None:
    """Put a folder in the place of another, which is there until the new one is."""
    old = replaced(new)
    try:
        place.replace(old)
        new.replace(place)
    finally:  # also when interrupted between the two
        if not place.exists() and old.exists():
            old.replace(place)
        shutil.rmtree(old, ignore_errors=True)


_GENERATE = 'mlx_lm.generate --model . --prompt "Once upon a time" --max-tokens 20'
_AUTO_MAP = json.dumps({"auto_map": hub.OWN_CODE}, indent=2)


def needs(config: Config, form: str, *, tokenizer: bool) -> list[str]:
    """Return what has to be added to a folder for its readers, a line for each.

    Args:
        config: Of the model.
        form: ``hub``, which transformers and mlx-lm read, or ``mlx-lm``.
        tokenizer: Whether the folder has a tokenizer.
    """
    lines = []
    if not tokenizer:
        lines.append(
            "a tokenizer, without which mlx_lm.generate and mlx_lm.lora stop: convert with "
            "--tokenizer FILE, or copy one into the folder"
        )
    if form == "hub":
        lines.append(
            "the model's code, for transformers: configuration_openelm.py and modeling_openelm.py "
            "of apple/OpenELM-270M" + ("" if config.auto_map else ", and auto_map in config.json")
        )
    return lines


def write_texts(
    folder: Path,
    config: Config,
    name: str,
    *,
    weights: str | None = None,
    tokenizer: bool = False,
    form: str = "mlx-lm",
) -> None:
    """Write ``config.json``, ``generation_config.json`` and the model card.

    Args:
        folder: Where to.
        config: Of the model.
        name: What the model is called.
        weights: Where the weights come from; None for random ones.
        tokenizer: Whether a tokenizer is written too.
        form: As for :func:`needs`.

    Raises:
        OSError: If they cannot be written.
    """
    card = model_card(config, name, weights=weights, tokenizer=tokenizer, form=form)
    tokens = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id}
    known = {key: token for key, token in tokens.items() if token is not None}
    generation = json.dumps({"_from_model_config": True, **known}, indent=2) + "\n"
    (folder / "config.json").write_text(hub.dump(config), encoding="utf-8")
    (folder / "generation_config.json").write_text(generation, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def model_card(
    config: Config,
    name: str,
    *,
    weights: str | None = None,
    tokenizer: bool = False,
    form: str = "mlx-lm",
) -> str:
    """The README of a model folder: what the model is, layer by layer, and how to load it.

    Args:
        config: Of the model.
        name: What the model is called.
        weights: Where the weights come from; None for random ones.
        tokenizer: Whether the folder has a tokenizer.
        form: As for :func:`needs`.
    """
    shape, spent = geometry(config), cost(config)
    rows = [
        f"| {layer.index} | {layer.num_query_heads} | {layer.num_kv_heads} | {layer.ffn_dim:,} | "
        f"{each.parameters:,} | {each.kv_cache_bytes_per_token:,} |"
        for layer, each in zip(shape.layers, spent.layers, strict=True)
    ]
    described = [" ".join(config.description.split()), ""] if config.description else []
    lines = [
        *("---", "library_name: mlx", "tags:", "- openelm", "- layer-wise-scaling", "---", ""),
        *(f"# {name}", "", *described),
        "**Random weights**, made by elmcfg: nobody has trained this model."
        if weights is None
        else f"Converted by elmcfg from {weights}.",
        "",
        f"{spent.parameters.total:,} parameters in {config.torch_dtype}: {len(shape.layers)} "
        f"layers of width {shape.model_dim:,} with heads of {shape.head_dim}, vocabulary "
        f"{shape.vocab_size:,}, context {config.max_context_length:,} tokens. The KV cache takes "
        f"{spent.kv_cache_bytes_per_token:,} bytes per token in a 2-byte dtype.",
        "",
        "| layer | query heads | KV heads | FFN width | parameters | KV bytes/token |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        "In this folder, with mlx-lm installed:",
        "",
        "```python",
        "from pathlib import Path",
        "import mlx.core as mx",
        "from mlx_lm.utils import load_model",
        'model, config = load_model(Path("."))',
        "print(model(mx.array([[0]])).shape)  # batch, tokens, vocabulary",
        "```",
        *(["", "```sh", _GENERATE, "```"] if tokenizer else []),
        *(
            line
            for need in needs(config, form, tokenizer=tokenizer)
            for line in ("", f"**To add:** {need}.")
        ),
        *(["", "```json", _AUTO_MAP, "```"] if form == "hub" and not config.auto_map else []),
    ]
    return "\n".join(lines) + "\n"
