"""What several commands share: their options, and how a config argument is read."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import CompletionItem

from elmcfg.linter import check
from elmcfg.render import frames
from elmcfg.render.style import BREAK, Style, wants_colour
from elmcfg.sources import SourceNotFoundError, read, shipped, stored

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.costs import Cost
    from elmcfg.diagnostics import Diagnostic
    from elmcfg.document import Document

Function = Callable[..., None]

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but results.")


def complete_config(_: object, __: object, incomplete: str) -> list[CompletionItem]:
    """What a shell offers for a CONFIG: the shipped variants of that beginning, or else files."""
    names = [CompletionItem(name) for name in shipped() if name.startswith(incomplete)]
    return names if names and incomplete else [*names, CompletionItem(incomplete, type="file")]


def format_option(*names: str) -> Callable[[Function], Function]:
    """``--format`` with these choices, the first being the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        help="Form of the output.",
    )


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def out_style() -> Style:
    """Colours for standard output."""
    return Style(colour=wants_colour(sys.stdout))


def say(text: str, *, err: bool = False) -> None:
    """A result, on standard output; on standard error where something else has that."""
    click.echo(text, err=err, color=True)


def note(*lines: str) -> None:
    """Print anything that is not a result, on standard error.

    A line stays one, whatever a file has put into it.
    """
    say("\n".join(map(frames.printable, lines)), err=True)


def fail(message: str | Sequence[str], code: int) -> NoReturn:
    """End the command with a message on standard error, of one line or several."""
    first, *others = [message] if isinstance(message, str) else message
    note(f"elmcfg: {first}", *others)
    sys.exit(code)


def usage_error(error: Exception) -> click.UsageError:
    """Return the usage error that says the same, in as many lines."""
    return click.UsageError(BREAK.join(getattr(error, "lines", [str(error)])))


def framed(document: Document, found: Sequence[Diagnostic]) -> str:
    """Findings of a document in frames of its lines, for standard error."""
    style = Style(colour=wants_colour(sys.stderr))
    first, omitted = frames.first_of_each_code(found)
    more = [
        f"{frames.printable(document.path)}: and {count:,} more of {code}; 'elmcfg validate' "
        "shows them"
        for code, count in omitted.items()
    ]
    return "\n".join([frames.diagnostics(first, document.lines, style, width()), *more])


def config_argument(source: str) -> Config:
    """The config that an argument names; ends the command where there is none, or it has errors.

    So it does where the config is another family's: what is made of it would be an OpenELM.
    """
    config, document = document_argument(source)
    if document.family is not None:
        fail(f"{source} is a {document.family} model: only show, diff and validate read those", 1)
    return config


def document_argument(source: str) -> tuple[Config, Document]:
    """The config that an argument names, and what it was read from, as :func:`config_argument`.

    Of a checkpoint it is said which keys no checkpoint tells.
    """
    try:
        document = read(source)
    except SourceNotFoundError as error:
        fail(str(error), 2)
    config, found = check(document)
    if config is None:
        say(framed(document, found), err=True)
        fail(f"{document.path} is not a valid config", 1)
    if document.assumed:
        note(assumptions(config, document))
    return config, document


def dtype_options(function: Function) -> Function:
    """Add ``--weight-dtype`` and ``--cache-dtype``, in which costs count weights and KV cache."""
    from elmcfg.costs import STORED  # which the commands that count nothing do without

    kinds = click.Choice(STORED)
    cache = click.option(
        "--cache-dtype", type=kinds, help="Count the KV cache in this.  [default: 2-byte dtype]"
    )
    weights = click.option(
        "--weight-dtype",
        type=kinds,
        help="Count the weights in this; q8 and q4 are MLX's, in groups of 64.  "
        "[default: as the checkpoint or the config has them]",
    )
    return weights(cache(function))


def costs_arguments(sources: Sequence[str], **assumed: Any) -> tuple[list[Config], list[Cost]]:
    """Return the configs that arguments name, and what each costs as it is stored."""
    from elmcfg.costs import as_run

    configs, costs = [], []
    for source in sources:
        config, document = document_argument(source)
        try:
            storage = stored(source, document, config)
            costs.append(as_run(config, stored=storage, **assumed))
        except ValueError as error:
            fail(f"{source}: {error}", 2)
        configs.append(config)
    return configs, costs


def assumptions(config: Config, document: Document) -> str:
    """Which keys a checkpoint does not tell, and what is assumed of them."""
    said = [f"{key} {_written(getattr(config, key))}" for key in document.assumed]
    return f"elmcfg: {document.path} does not tell these keys; assumed: {', '.join(said)}"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
