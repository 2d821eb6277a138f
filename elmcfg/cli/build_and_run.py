"""``elmcfg build-and-run``."""

from __future__ import annotations

import sys
from typing import Any

import click

from elmcfg.backend import BackendError
from elmcfg.cli.common import (
    config_argument,
    fail,
    format_option,
    note,
    out_style,
    quiet_option,
    say,
)
from elmcfg.config import Config
from elmcfg.costs import DTYPE_BYTES
from elmcfg.proof import CHECKS, NotEnoughMemoryError, Report, prove
from elmcfg.render import machine, tables


def _list_checks(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        width = max(len(check.name) for check in CHECKS)
        say("\n".join(f"{check.name.ljust(width)}  {check.description}" for check in CHECKS))
        ctx.exit()


@click.command("build-and-run")
@click.argument("source", metavar="CONFIG")
@click.option("--shapes-only", is_flag=True, help="Evaluate nothing: needs no memory and no time.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where to run.",
)
@click.option(
    "--dtype",
    type=click.Choice(list(DTYPE_BYTES)),
    default="float32",
    show_default=True,
    help="Type of the weights.",
)
@click.option(
    "--seq-len",
    type=click.IntRange(min=1),
    help="Tokens per sequence.  [default: 128, or the context length if that is shorter]",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**64 - 1),
    default=0,
    show_default=True,
    help="Of weights and tokens.",
)
@click.option("--check", multiple=True, metavar="NAME", help="Run only this check; repeatable.")
@click.option("--skip", multiple=True, metavar="NAME", help="Leave this check out; repeatable.")
@click.option(
    "--list-checks",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_checks,
    help="Show the checks and what each proves.",
)
@format_option("text", "json")
@quiet_option
def command(source: str, format_: str, quiet: bool, **options: Any) -> None:
    """Build the MLX model of a config with random weights, run it, and prove it.

    It must have the tensors of the released checkpoints, as many parameters as the closed form
    says, the right shape in every layer, finite numbers, and the same logits with and without a
    KV cache. A model that does not fit into memory is refused before it is built.

    \b
    Examples:
      elmcfg build-and-run tiny
      elmcfg build-and-run openelm-3b --shapes-only
      elmcfg build-and-run config.json --dtype bfloat16 --seq-len 512
      elmcfg build-and-run mine.yaml --skip cache --format json

    Exit codes: 0 proven, 1 not proven or does not fit, 2 called wrongly.
    """
    config = config_argument(source)
    report = _prove(config, quiet, options)
    if format_ == "json":
        say(machine.text(machine.proof(config, report)))
    else:
        say(tables.report(report, out_style()))
    sys.exit(0 if report.passed else 1)


def _prove(config: Config, quiet: bool, options: dict[str, Any]) -> Report:
    names = {key: options.pop(key) or None for key in ("check", "skip")}
    try:
        return prove(
            config,
            check=names["check"],
            skip=names["skip"] or (),
            progress=None if quiet else lambda step: note(f"elmcfg: {step} ..."),
            **options,
        )
    except (BackendError, NotEnoughMemoryError) as error:
        fail(str(error), 1)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
