"""The ``elmcfg`` group: its commands are imported when they are called, not before."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from elmcfg import __version__
from elmcfg.cli import signals
from elmcfg.cli.terminal import OutputError, guarded
from elmcfg.escaping import printable

_COMMANDS = {
    "validate": "Check configs: every problem, at its line, with a remedy.",
    "scale": "Make a layer-wise-scaled variant, from a recipe or to a budget.",
    "build-and-run": "Build the MLX model of a config and prove it.",
    "show": "Show configs layer by layer, with their costs.",
    "diff": "Show what two configs differ in, by layer and in cost.",
    "convert": "Write a model in the form that another program reads.",
    "report": "Report a study: verdict, page, CSV and JSON.",
    "explain": "Explain a diagnostic code.",
    "doctor": "Say what this machine has for building models, and what it lacks.",
    "study": "Compare variants: costs, proofs, speed, short trainings.",
}
"""What each command does; it is imported from the module of its name when it is called."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"elmcfg.cli.{name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="elmcfg")
def cli() -> None:
    """Check, design and prove layer-wise-scaled (OpenELM-style) transformers.

    \b
    Examples:
      elmcfg validate config.json            every problem at its line
      elmcfg validate variants/              all configs of a folder
      elmcfg show openelm-270m               layers and costs
      elmcfg scale --layers 16 --model-dim 1280 -o mine.yaml
      elmcfg scale --target-params 600M --max-kv-cache 48MiB
      elmcfg build-and-run mine.yaml         build it in MLX and prove it
      elmcfg convert mine.yaml mine.gguf     for llama.cpp, with random weights
      elmcfg explain ELM203                  what a code means

    A CONFIG is a path, - for standard input, or the name of a shipped variant; of a safetensors or
    GGUF file the headers are read.
    Exit codes: 0 fine, 1 a problem was found, 2 called wrongly; 128 and the number of the signal
    where one ended the command: 130 for Ctrl-C, 143 for SIGTERM.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    # Processes that a library starts for us take nothing from the working directory either.
    os.environ["PYTHONSAFEPATH"] = "1"
    with guarded():
        code = _run()
    sys.exit(code)


def _run() -> int:
    """Run the command line, and return its exit code."""
    try:
        with signals.as_interrupts():
            return int(cli.main(standalone_mode=False, prog_name="elmcfg") or 0)
    except click.exceptions.Abort:
        # CPython ends by the signal, though the interrupt was caught, if that passed through an
        # exec() of text, as where dataclasses are made; unless another exec() comes after it.
        exec("")
        return signals.exit_code()
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except BrokenPipeError:  # The reader of our output has gone.
        return 1
    except OutputError as error:
        click.echo(printable(f"elmcfg: {error}"), err=True)
        return 2
    except MemoryError:
        click.echo("elmcfg: out of memory", err=True)
        return 1
    except Exception as error:
        return _unexpected(error)


def _show(error: click.ClickException) -> None:
    """Show how a command was called wrongly, on one line whatever the words were."""
    shown = printable(error.format_message())
    error.format_message = lambda: shown  # type: ignore[method-assign]
    error.show()


def _unexpected(error: Exception) -> int:
    """Say what has ended a command that nobody thought of, and return its exit code."""
    if os.environ.get("ELMCFG_TRACEBACK"):
        from traceback import print_exception

        print_exception(error)
        return 1
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        click.echo("elmcfg: the working directory was deleted; change to another one", err=True)
        return 2
    click.echo(
        printable(f"elmcfg: internal error: {type(error).__name__}: {error}") + "\n"
        "This is a fault of elmcfg, not of your input. Set ELMCFG_TRACEBACK=1 to see where, "
        "and please report it.",
        err=True,
    )
    return 1


def _has_working_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True
