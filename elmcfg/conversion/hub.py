"""A model folder as the hub has them: what mlx-lm and transformers load.

The two read one folder, but not in the same way. mlx-lm goes by the lists. The hub's remote code
makes the query heads from the recipe and knows no other recipe than two end points rounded to two
decimals, or one number, so that a model has to follow such a recipe to mean the same in both.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elmcfg.config import resolve
from elmcfg.conversion.recipes import end_points
from elmcfg.conversion.tokenizer import SENTENCEPIECE, recognize
from elmcfg.conversion.weights import DTYPES, ConversionError, Weights, cast, pieces
from elmcfg.document import is_file, open_regular, read_regular
from elmcfg.formats import folder, safetensors
from elmcfg.formats.hub import foreign_code

if TYPE_CHECKING:
    from elmcfg.config import Config

TOKENIZER_FILES = (
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip


_MAX_TOKENIZER_BYTES = 2**28  # one of 262,144 tokens, the most known, has 33 MB
_MAX_TOKENIZER_CONFIG_BYTES = 16 * 2**20


def with_recipe(config: Config) -> Config:
    """The same model with the recipe for its heads, which the hub's code wants, if there is one."""
    found = end_points(config)
    if isinstance(found, str):
        return config
    recipe = {"qkv_multipliers": found.qkv, "num_gqa_groups": found.queries_per_kv_head}
    # Resolved first: the schedule's other options would be read into the recipe.
    return resolve(config).model_copy(update=recipe)


def prepared(config: Config, target: Path, form: str) -> Config:
    """The config as a folder has it: with the recipe that the hub's code wants, and with a name."""
    if form == "hub":
        config = with_recipe(config)
    return config if config.name else config.model_copy(update={"name": target.resolve().name})


def warnings(config: Config, form: str) -> list[str]:
    """What is left out of a folder, and what its readers would build that is not this model.

    Args:
        config: As it is written.
        form: ``hub``, which transformers and mlx-lm read, or ``mlx-lm``.
    """
    from elmcfg import portability

    readers = ("hf", "mlx-lm") if form == "hub" else ("mlx-lm",)
    found = portability.violations(config, readers, {}, as_json=False)
    wrong = [v for v in found if v.code != "ELM500"]
    return [*code_warnings(config), *(f"warning: {v.message} ({v.help})" for v in wrong)]


def code_warnings(config: Config) -> list[str]:
    """That the config.json will not name code which no released one names."""
    foreign = ", ".join(f"{name} {code!r}" for name, code in foreign_code(config).items())
    if not foreign:
        return []
    return [
        f"warning: auto_map is left out: {foreign} is not the released models' code; add it by "
        "hand if you trust it"
    ]


def write(
    place: Path,
    config: Config,
    weights: Weights,
    tokenizer: tuple[Path, ...],
    shard_bytes: int,
    form: str = "hub",
) -> None:
    """Fill a folder.

    Args:
        place: The folder, which is there.
        config: As :func:`prepared`; its ``torch_dtype`` is what the weights are written in.
        weights: Of the same model.
        tokenizer: Files to copy.
        shard_bytes: Most bytes of weights in a file.
        form: ``hub`` or ``mlx-lm``, as for :func:`warnings`.

    Raises:
        ConversionError: If a weight does not fit the dtype.
        OSError: If something cannot be written.
    """
    dtype = DTYPES[config.torch_dtype]
    width = safetensors.DTYPE_BYTES[dtype]
    sizes = {name: math.prod(shape) * width for name, shape in weights.shapes.items()}
    files = safetensors.shards(sizes, shard_bytes)
    for file, names in files:
        with (place / file).open("wb") as stream:
            safetensors.write_header(stream, {n: (dtype, weights.shapes[n]) for n in names})
            for name in names:
                for part in pieces(weights.read(name)):
                    stream.write(np.ascontiguousarray(cast(part, weights.dtypes[name], dtype)).data)
    if len(files) > 1:
        text = safetensors.index(files, sum(sizes.values()))
        (place / safetensors.INDEX).write_text(text, encoding="utf-8")
    _write_tokenizer(place, config, tokenizer)
    folder.write_texts(
        place,
        config,
        config.name or "model",
        weights=None if weights.is_random else weights.origin,
        tokenizer=bool(tokenizer),
        form=form,
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file of a tokenizer, without the code that its config may name."""
    if source.name == "tokenizer_config.json":
        raw = read_regular(source, _MAX_TOKENIZER_CONFIG_BYTES)
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(raw)
            if isinstance(values, dict) and values.pop("auto_map", None) is not None:
                target.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
                return
    with open_regular(source, _MAX_TOKENIZER_BYTES) as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy)


def _require_readable(file: Path) -> None:
    """Find out before anything is written whether a file of a tokenizer can be copied.

    Raises:
        ConversionError: If it cannot.
    """
    config = file.name == "tokenizer_config.json"
    try:
        with open_regular(file, _MAX_TOKENIZER_CONFIG_BYTES if config else _MAX_TOKENIZER_BYTES):
            pass
    except OSError as error:
        raise ConversionError(f"{file}: cannot be read: {error.strerror}") from error


def _write_tokenizer(place: Path, config: Config, files: tuple[Path, ...]) -> None:
    """Copy the files of a tokenizer; one by itself gets the config that transformers wants."""
    if len(files) != 1:
        for source in files:
            _copy(source, place / source.name)
        return
    known = recognize(files[0])
    if known is None:
        _copy(files[0], place / files[0].name)
        return
    name, tokens = known
    _copy(files[0], place / name)
    # OpenELM uses Llama's, a SentencePiece model.
    values: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if name == SENTENCEPIECE:
        values = {"add_bos_token": True, "add_eos_token": False, "legacy": False,
                  "tokenizer_class": "LlamaTokenizer"}  # fmt: skip
    special = {"bos_token": config.bos_token_id, "eos_token": config.eos_token_id, "unk_token": 0}
    texts = {key: tokens.get(-1 if number is None else number) for key, number in special.items()}
    values |= {key: text for key, text in texts.items() if text is not None}
    text = json.dumps(dict(sorted(values.items())), indent=2) + "\n"
    (place / "tokenizer_config.json").write_text(text, encoding="utf-8")


def tokenizer_files(
    given: Path, *, needed: bool = True, vocab_size: int | None = None
) -> tuple[Path, ...]:
    """Return the files of a tokenizer: one in a single file, or those in a folder.

    Args:
        given: The file, whatever it is called, or the folder.
        needed: Whether a folder must hold one.
        vocab_size: Rows of the embedding table, which a tokenizer must not exceed; not compared
            where not given.

    Raises:
        ConversionError: If there are none, yet one is needed; if the file is no tokenizer, or has
            too many tokens.
        CheckpointError: If one is a link out of the folder, or a Git LFS pointer.
    """
    if os.path.isdir(given):  # noqa: PTH112  # any path may be given
        there = (given / name for name in TOKENIZER_FILES)
        found = tuple(file for file in there if os.path.lexists(file) and not file.is_dir())
        if not found and needed:
            raise ConversionError(f"{given}: holds no tokenizer ({', '.join(TOKENIZER_FILES)})")
        for file in found:
            safetensors.hold_inside(file)
    elif is_file(given):
        found = (given,)
    else:
        raise ConversionError(f"{given}: no such tokenizer")
    for file in found:
        _require_readable(file)
        safetensors.refuse_pointer(file)
    if given in found and recognize(given) is None:
        raise ConversionError(
            f"{given}: neither a SentencePiece model (tokenizer.model) nor a tokenizer.json; name "
            "one of these, or the folder of a tokenizer"
        )
    if vocab_size is not None:
        for file in found:
            _check_size(file, vocab_size)
    return found


def _check_size(file: Path, vocab_size: int) -> None:
    """Refuse a tokenizer whose tokens have no row of embeddings: they would read beyond the table.

    Raises:
        ConversionError: If it is such a one.
    """
    known = recognize(file)
    count = 0 if known is None else 1 + max(known[1])
    if count > vocab_size:
        raise ConversionError(
            f"{file}: has {count:,} pieces, the model only {vocab_size:,} rows of embeddings"
        )
