"""One variant for every program: model folders, GGUF files, CoreNet's recipe, and variant files.

:func:`convert` writes a model in the form that another program reads. Weights stream through it one
tensor at a time; what a form cannot say is refused with the reason, and nothing is left half
written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.conversion.weights import ConversionError, Weights
from elmcfg.formats import safetensors
from elmcfg.formats.folder import FolderError, FolderTakenError
from elmcfg.formats.safetensors import SHARD_BYTES, CheckpointError

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.conversion.slicing import Cut

__all__ = [
    "DTYPES",
    "FORMATS",
    "TEXTS",
    "CheckpointError",
    "ConversionError",
    "FolderError",
    "FolderTakenError",
    "Options",
    "convert",
    "guess_format",
]

FORMATS = ("hub", "mlx-lm", "gguf", "corenet", "elmcfg")
"""A model folder for mlx-lm and the code that transformers needs, or for mlx-lm alone; llama.cpp's
file; the recipe for CoreNet's trainer; a variant file."""

TEXTS = ("corenet", "elmcfg")
"""The forms that are a config alone, without weights."""

_QUANTIZED = "q8_0"
DTYPES = (*safetensors.DTYPES.values(), _QUANTIZED)
"""Types of the weights; the last one is GGUF's alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert.

    Attributes:
        dtype: Of the matrices; the weights' own where None. ``q8_0`` is GGUF's alone.
        seed: Of random weights.
        tokenizer: A SentencePiece model or a ``tokenizer.json``, whatever the file is called, or
            a folder with a tokenizer; the one beside the weights, if any, where None.
        overwrite: Whether what is there may be replaced.
        shard_bytes: Most bytes of weights in one file of a folder.
        cut: The smaller model to make of the weights, if any.
    """

    dtype: str | None = None
    seed: int = 0
    tokenizer: Path | None = None
    overwrite: bool = False
    shard_bytes: int = SHARD_BYTES
    cut: Cut | None = None


def guess_format(target: str) -> str:
    """The form that a name asks for.

    Raises:
        ConversionError: If it asks for one that is not written.
    """
    suffix = Path(target).suffix.lower()
    if suffix == ".gguf":
        return "gguf"
    if suffix in (".yaml", ".yml", ".json"):
        return "elmcfg"
    if suffix in (".safetensors", ".bin", ".pt", ".npz", ".py"):
        raise ConversionError(f"{target}: no form is called {suffix}; name a folder, or use --to")
    return "hub"


def convert(
    config: Config, target: Path, form: str, *, checkpoint: Path | None, options: Options
) -> list[str]:
    """Write a model in the form that a program reads.

    Args:
        config: A valid config.
        target: The file or folder to write.
        form: One of :data:`FORMATS`.
        checkpoint: The model's weights: a safetensors file, an index of shards, a folder of
            several without one, or a GGUF file. Random weights are made where None.
        options: How.

    Returns:
        What the user should know: where the weights are from, who will not read the result as it
        is meant, and which keys it has no place for.

    Raises:
        ConversionError: If it cannot be done; nothing is left of it then.
        CheckpointError: If the weights cannot be read.
        FolderError: If a folder is there and may not be replaced, or cannot be written.
        FolderTakenError: If another program has written the folder meanwhile.
        FileExistsError: If a file is there and may not be replaced; TargetTakenError if another
            program has written it meanwhile.
        OSError: If it cannot be written.
        BackendError: If random weights are wanted and MLX is missing.
    """
    writers: dict[str, Callable[..., list[str]]] = {
        "hub": _folder,
        "mlx-lm": _folder,
        "gguf": _gguf,
        "corenet": _text,
        "elmcfg": _text,
    }
    _check(form, options)
    from elmcfg.conversion import losses

    remarks = writers[form](config, target, form, checkpoint, options)
    written = config if options.cut is None else options.cut.config
    return [*remarks, *losses.remarks(written, form)]


def _check(form: str, options: Options) -> None:
    """Refuse what would have no effect."""
    if form in TEXTS:
        given = {
            "--dtype": options.dtype, "--tokenizer": options.tokenizer, "--slice": options.cut
        }  # fmt: skip
        for flag, value in given.items():
            if value is not None:
                raise ConversionError(
                    f"{flag} is for weights, and the form {form} is the config alone; name a "
                    "folder or a .gguf file"
                )
    elif options.dtype == _QUANTIZED and form != "gguf":
        raise ConversionError(
            f"{_QUANTIZED} is a type of GGUF files; quantize a folder with mlx_lm.convert -q"
        )


def _weights(config: Config, checkpoint: Path | None, options: Options) -> tuple[Config, Weights]:
    """The weights, and the config with the dtype that they shall have."""
    from elmcfg.conversion import weights
    from elmcfg.conversion.slicing import cut_weights

    asked = None if options.dtype == _QUANTIZED else options.dtype
    if checkpoint is None and options.cut is not None:
        raise ConversionError("there are no weights to cut: name a model folder or a checkpoint")
    if checkpoint is None:
        config = config.model_copy(update={"torch_dtype": asked or config.torch_dtype})
        return config, weights.random(config, seed=options.seed)
    found = weights.of_file(checkpoint, config)
    if options.cut is not None:
        config, found = options.cut.config, cut_weights(found, config, options.cut)
    return config.model_copy(update={"torch_dtype": asked or found.dtype}), found


def _folder(
    config: Config, target: Path, form: str, checkpoint: Path | None, options: Options
) -> list[str]:
    from elmcfg.conversion import hub
    from elmcfg.costs import cost
    from elmcfg.formats.folder import needs, new_folder

    tokenizer = _tokenizer(checkpoint, options, config)
    config, weights = _weights(config, checkpoint, options)
    config = hub.prepared(config, target, form)
    with new_folder(target, cost(config).weight_bytes, replace=options.overwrite) as place:
        hub.write(place, config, weights, tokenizer, options.shard_bytes, form)
    copied = [f"tokenizer: {', '.join(map(str, tokenizer))}"] if tokenizer else []
    missing = [f"missing: {line}" for line in needs(config, form, tokenizer=bool(tokenizer))]
    return [f"weights: {weights.origin}", *copied, *missing, *hub.warnings(config, form)]


def _tokenizer(checkpoint: Path | None, options: Options, config: Config) -> tuple[Path, ...]:
    """Return the files of the tokenizer that is named, or else of the one beside the weights."""
    from elmcfg.conversion import hub

    if options.tokenizer is not None:
        return hub.tokenizer_files(options.tokenizer, vocab_size=config.vocab_size)
    if checkpoint is None or checkpoint.suffix.lower() == ".gguf":
        return ()
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return hub.tokenizer_files(folder, needed=False)


def _gguf(
    config: Config, target: Path, form: str, checkpoint: Path | None, options: Options
) -> list[str]:
    from elmcfg.conversion import gguf, tokenizer
    from elmcfg.document import new_file

    found = gguf.obstacles(config)
    if found:
        raise ConversionError("GGUF cannot express this model: " + "; ".join(found))
    files = _tokenizer(checkpoint, options, config)
    pieces = next((f for f in files if tokenizer.is_sentencepiece(f)), None)
    if pieces is not None:
        vocabulary = tokenizer.sentencepiece(pieces, config.vocab_size)
        remark = f"vocabulary: {pieces}"
    elif options.tokenizer is not None:
        raise ConversionError(
            f"{options.tokenizer}: holds no SentencePiece model (tokenizer.model), which GGUF needs"
        )
    else:
        vocabulary = tokenizer.placeholder(config.vocab_size)
        remark = (
            "vocabulary: a placeholder; prompts must be token ids (--tokenizer gives a real one)"
        )
    config, weights = _weights(config, checkpoint, options)
    file_type = _QUANTIZED if options.dtype == _QUANTIZED else config.torch_dtype
    with new_file(target, overwrite=options.overwrite) as place:
        gguf.write(place, config, weights, vocabulary, file_type)
    return [f"weights: {weights.origin}, as {file_type}", remark]


def _text(
    config: Config, target: Path, form: str, checkpoint: Path | None, options: Options
) -> list[str]:
    from elmcfg.conversion import corenet
    from elmcfg.conversion.hub import code_warnings
    from elmcfg.document import write_atomically
    from elmcfg.formats import hub, variant

    remarks = ["the config alone, without weights"]
    if form == "corenet":
        text = corenet.dump(config, config.name or target.name.partition(".")[0])
    elif target.suffix.lower() == ".json":
        text = hub.dump(config)
        remarks += code_warnings(config)
    else:
        text = variant.dump(config)
    write_atomically(target, text, overwrite=options.overwrite)
    return remarks
