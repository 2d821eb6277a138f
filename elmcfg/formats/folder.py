"""A model folder as the hub has them: ``config.json``, ``model.safetensors`` and a model card.

The folder is there whole or not at all: it is made beside its place under another name, and renamed
when everything in it is written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elmcfg.config import Config
from elmcfg.costs import cost
from elmcfg.formats import hub
from elmcfg.geometry import geometry

WEIGHTS = "model.safetensors"
_SPARE_BYTES = 2**20


class FolderError(OSError):
    """A folder cannot be written; the message says why, in one line."""


@contextlib.contextmanager
def new_folder(place: Path, nbytes: int) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends with something in it.

    Args:
        place: Where it shall be; nothing, or an empty folder, may be there.
        nbytes: How much will be written.

    Raises:
        FolderError: If something is there, the disk has too little room, or it cannot be written.
    """
    temporary = None
    try:
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise FolderError(f"{place}: is there already; name a new folder")
        if not place.parent.is_dir():
            raise FolderError(f"{place}: there is no folder {place.parent}")
        free = shutil.disk_usage(place.parent).free
        if free < nbytes + _SPARE_BYTES:
            raise FolderError(f"{place}: needs {nbytes:,} bytes of disk, free are {free:,}")
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        yield temporary
        if any(temporary.iterdir()):
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o777 & ~umask)  # mkdtemp's mode is private.
            temporary.replace(place)
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{place}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_texts(folder: Path, config: Config, name: str) -> None:
    """Write ``config.json`` and the model card.

    Raises:
        OSError: If they cannot be written.
    """
    (folder / "config.json").write_text(hub.dump(config), encoding="utf-8")
    (folder / "README.md").write_text(model_card(config, name), encoding="utf-8")


def model_card(config: Config, name: str) -> str:
    """The README of a model folder: what the model is, layer by layer, and how to load it."""
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
        "**Random weights.** Made and proven by elmcfg; nobody has trained this model.",
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
        "```python",
        "from pathlib import Path",
        "from mlx_lm.utils import load_model",
        f'model, config = load_model(Path("{name}"))',
        "```",
        "",
        "No tokenizer is included.",
    ]
    return "\n".join(lines) + "\n"
