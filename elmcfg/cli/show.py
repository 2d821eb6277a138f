"""``elmcfg show``."""

from __future__ import annotations

import click

from elmcfg.cli.common import config_argument, format_option, out_style, say, width
from elmcfg.costs import cost
from elmcfg.geometry import geometry
from elmcfg.render import machine, tables
from elmcfg.sources import shipped


@click.command("show")
@click.argument("source", required=False, metavar="CONFIG")
@click.option(
    "--context-length",
    type=click.IntRange(min=1),
    help="Tokens of context for the KV cache and the FLOPs.  [default: max_context_length]",
)
@format_option("text", "json")
def command(source: str | None, context_length: int | None, format_: str) -> None:
    """Show a config layer by layer, with its costs; without CONFIG, list the shipped variants.

    Multipliers are shown as asked → as got where rounding moved them.

    \b
    Examples:
      elmcfg show
      elmcfg show openelm-270m
      elmcfg show config.json --context-length 4096
      elmcfg show mine.yaml --format json
    """
    if source is None:
        say("\n".join(shipped()))
        return
    config = config_argument(source)
    shape, spent = geometry(config), cost(config, context_length=context_length)
    if format_ == "json":
        say(machine.text(machine.shown(config, shape, spent)))
        return
    style, columns = out_style(), width()
    say(tables.title(config, shape, source, columns))
    say("\n" + tables.layers(shape, spent, style, columns))
    say("\n" + tables.costs(spent, config.torch_dtype, style, columns))
