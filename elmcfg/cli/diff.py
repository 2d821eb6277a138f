"""``elmcfg diff``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from elmcfg.cli.common import (
    complete_config,
    document_argument,
    dtype_options,
    fail,
    format_option,
    out_style,
    say,
)
from elmcfg.cli.parameters import TOKENS
from elmcfg.differences import compare
from elmcfg.render import beside, machine
from elmcfg.sources import stored


@click.command("diff")
@click.argument("first", metavar="A", shell_complete=complete_config)
@click.argument("second", metavar="B", shell_complete=complete_config)
@click.option(
    "--context-length",
    type=TOKENS,
    help="Tokens of context for the KV cache and the FLOPs.  [default: the longer of the two]",
)
@dtype_options
@format_option("text", "json")
def command(first: str, second: str, format_: str, **assumed: Any) -> None:
    """Show what two configs differ in, by layer and in cost.

    The models are compared, not the files: a recipe and the lists it makes are the same. Keys that
    a checkpoint does not tell are not compared.

    \b
    Examples:
      elmcfg diff openelm-270m uniform-270m
      elmcfg diff openelm-1_1b mine.yaml --context-length 4096
      elmcfg diff model.gguf config.json
      elmcfg diff a.yaml b.yaml --format json

    Exit codes: 0 compared, alike or not, 1 a config is not valid, 2 no such file.
    """
    (a, read_a), (b, read_b) = document_argument(first), document_argument(second)
    unknown = {*read_a.assumed, *read_b.assumed}
    storages = stored(first, read_a, a), stored(second, read_b, b)
    try:
        result = compare(a, b, unknown=unknown, stored=storages, **assumed)
    except ValueError as error:
        fail(str(error), 2)
    if format_ == "json":
        say(machine.text({"same": result.is_empty, **dataclasses.asdict(result)}))
    else:
        say(beside.comparison(result, (first, second), out_style()))
