"""``elmcfg doctor``."""

from __future__ import annotations

import dataclasses
import sys

import click

from elmcfg.cli.common import format_option, out_style, say
from elmcfg.doctor import Health, examine
from elmcfg.render import machine
from elmcfg.render.tables import amount
from elmcfg.units import binary


@click.command("doctor")
@format_option("text", "json")
def command(format_: str) -> None:
    """Say what this machine has for building and proving models, and what it lacks.

    MLX and its backend, the device and its free memory, the BLAS in use, and how fast a matrix
    product and a copy are, measured here and now.

    \b
    Examples:
      elmcfg doctor
      elmcfg doctor --format json

    Exit codes: 0 models can be built and run here, 1 they cannot.
    """
    health = examine()
    if format_ == "json":
        say(machine.text(dataclasses.asdict(health)))
    else:
        say(_text(health))
    sys.exit(0 if health.usable else 1)


def _text(health: Health) -> str:
    style = out_style()
    rows = [
        ("system", health.system),
        ("MLX", health.mlx or "not installed"),
        ("backend", health.backend or "none found"),
        ("device", health.device or "none"),
        ("free memory", "unknown" if health.free_bytes is None else binary(health.free_bytes)),
        ("BLAS", health.blas),
        ("matmul", health.matmul_flops and amount(health.matmul_flops, "FLOP/s") + ", float32"),
        ("copy", health.copy_bytes and amount(health.copy_bytes, "B/s") + ", read and written"),
        ("mlx-lm", health.mlx_lm or "not installed"),
    ]
    lines = [f"{style(name.ljust(12), 'bold')}{value}" for name, value in rows if value]
    good = style("models can be built and run here", "green")
    bad = style("models cannot be built here", "bold", "red")
    lines += ["", good if health.usable else bad]
    return "\n".join([*lines, *(f"{style('to do', 'yellow')}: {text}" for text in health.advice)])
