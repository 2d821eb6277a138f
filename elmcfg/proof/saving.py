"""Writes a proven model as a folder that mlx-lm loads, by the writer of ``elmcfg convert``.

The weights are those of ``elmcfg.build(config, dtype=..., seed=...)``: independent random numbers,
fit to be trained, not the quick ones of the proof. They are made and written in the child.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.costs import cost
from elmcfg.formats import folder

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.proof.child import Child
    from elmcfg.proof.options import Options

_FORM = "hub"


@contextlib.contextmanager
def save(
    config: Config,
    options: Options,
    place: Path,
    child: Child,
    timeout: float | None,
    tokenizer: Path | None = None,
) -> Iterator[Callable[[str], list[str]]]:
    """Make sure that a folder can be written, and give what writes it in a dtype.

    What that gives is what the user should know of the folder.

    Args:
        config: A valid config.
        options: For the seed, and the dtypes there may be.
        place: The folder.
        child: Writes it.
        timeout: Most seconds for that.
        tokenizer: A SentencePiece model, a ``tokenizer.json``, or a folder with a tokenizer.

    Raises:
        FolderError: If it cannot be written, or there is no such tokenizer; nothing is left of it
            then.
    """
    from elmcfg import conversion  # brings NumPy, which a proof in the parent does not need
    from elmcfg.conversion import hub

    try:
        files = (
            ()
            if tokenizer is None
            else hub.tokenizer_files(tokenizer, vocab_size=config.vocab_size)
        )
    except (conversion.ConversionError, conversion.CheckpointError) as error:
        raise folder.FolderError(str(error)) from error
    config = hub.prepared(config, place, _FORM)
    largest = config.model_copy(update={"torch_dtype": options.dtypes()[0]})
    with folder.new_folder(place, cost(largest).weight_bytes) as temporary:

        def write(dtype: str) -> list[str]:
            stored = config.model_copy(update={"torch_dtype": dtype})
            child.save(stored, options, temporary, files, timeout=timeout)
            needs = folder.needs(stored, _FORM, tokenizer=bool(files))
            return [*(f"missing: {line}" for line in needs), *hub.warnings(stored, _FORM)]

        yield write


def write_folder(config: Config, options: Options, place: Path, tokenizer: Sequence[Path]) -> None:
    """Fill a folder with a new model; imports MLX.

    Raises:
        OSError: If something cannot be written.
    """
    from elmcfg.conversion import hub, weights
    from elmcfg.formats.safetensors import SHARD_BYTES

    made = weights.random(config, seed=options.seed)
    hub.write(place, config, made, tuple(tokenizer), SHARD_BYTES, _FORM)
