"""``elmcfg convert``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from elmcfg import conversion
from elmcfg.backend import BackendError
from elmcfg.cli.common import complete_config, config_argument, fail, note, quiet_option
from elmcfg.cli.parameters import INDICES
from elmcfg.conversion.slicing import KEEP, Cut
from elmcfg.document import TargetTakenError
from elmcfg.sources import weights_of


@click.command("convert")
@click.argument("source", metavar="CONFIG", shell_complete=complete_config)
@click.argument("target", metavar="TARGET")
@click.option(
    "--to",
    "form",
    type=click.Choice(conversion.FORMATS),
    help="Form to write.  [default: by the name of TARGET]",
)
@click.option(
    "--dtype",
    type=click.Choice(conversion.DTYPES),
    help="Type of the weights; q8_0 is for GGUF.  [default: torch_dtype]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**64 - 1),
    default=0,
    show_default=True,
    help="Of random weights, where CONFIG has none.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="A SentencePiece model or a tokenizer.json, by any name, or a folder with a tokenizer.  "
    "[default: that of CONFIG's folder]",
)
@click.option(
    "--slice", "smaller", metavar="CONFIG", help="Cut this smaller model out of the weights."
)
@click.option(
    "--slice-layers",
    type=INDICES,
    help="Layers to keep, such as 0,2,5.  [default: the only ones as wide as those of --slice]",
)
@click.option(
    "--slice-keep",
    type=click.Choice(KEEP),
    default="first",
    show_default=True,
    help="Heads and FFN channels to keep; largest is by the norm of their output weights.",
)
@click.option("--force", is_flag=True, help="Replace TARGET if it is there.")
@quiet_option
def command(
    source: str, target: str, form: str | None, force: bool, quiet: bool, **options: Any
) -> None:
    """Write a model in the form that another program reads.

    A TARGET called *.gguf is written for llama.cpp, *.yaml and *.json are the config alone, and any
    other name is a model folder. Weights come from CONFIG where that is a model folder, the
    config.json in it, a safetensors file or a GGUF file, and are random otherwise. With --slice
    they are those of a shallower or narrower model, cut out of them: a start for training. The
    layers are the same in every form, or it is refused; keys that a form has no place for are
    named.

    \b
    Forms:
      hub      a model folder for mlx-lm, and for transformers once it has the model's code
      mlx-lm   a model folder for mlx-lm, which goes by the lists
      gguf     a file for llama.cpp
      corenet  the recipe and the YAML block for CoreNet's trainer, without weights
      elmcfg   a variant file, or a config.json, without weights

    \b
    Examples:
      elmcfg convert openelm-270m my-model
      elmcfg convert my-model my-model.gguf --dtype q8_0
      elmcfg convert my-model.gguf mine.yaml
      elmcfg convert my-model smaller --slice smaller.yaml --slice-keep largest
      elmcfg convert mine.yaml mine-corenet.yaml --to corenet

    Exit codes: 0 written, 1 it cannot be expressed or read, 2 called wrongly.
    """
    config = config_argument(source)
    with _told(target):
        form = form or _guessed(target, quiet)
        remarks = conversion.convert(
            config,
            Path(target),
            form,
            checkpoint=None if source == "-" or form in conversion.TEXTS else weights_of(source),
            options=_options(options, force),
        )
    if not quiet:
        note(f"wrote {target} ({form})", *remarks)


@contextmanager
def _told(target: str) -> Iterator[None]:
    """Ends the command with a message where the target cannot be written as asked."""
    try:
        yield
    except (conversion.FolderTakenError, TargetTakenError):
        fail(f"{target}: another program has written it meanwhile; --force replaces it", 1)
    except FileExistsError:
        fail(f"{target}: there is a file already; --force replaces it", 2)
    except (conversion.ConversionError, conversion.CheckpointError, BackendError) as error:
        fail(str(error), 1)
    except conversion.FolderError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{target}: cannot be written: {error.strerror or error}", 2)


def _options(given: dict[str, Any], force: bool) -> conversion.Options:
    smaller, layers, keep = (given.pop(key) for key in ("smaller", "slice_layers", "slice_keep"))
    cut = None
    if smaller is not None:
        cut = Cut(config_argument(smaller), layers, keep)
    elif layers is not None or keep != KEEP[0]:
        raise click.UsageError("--slice-layers and --slice-keep go with --slice CONFIG")
    return conversion.Options(overwrite=force, cut=cut, **given)


def _guessed(target: str, quiet: bool) -> str:
    form = conversion.guess_format(target)
    if not quiet:
        note(f"elmcfg: {target} is written as {form}, by its name; --to chooses another form")
    return form
