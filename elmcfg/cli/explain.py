"""``elmcfg explain``."""

from __future__ import annotations

import click

from elmcfg.cli.common import fail, say
from elmcfg.codes import CODES


@click.command("explain")
@click.argument("code", required=False, metavar="CODE")
def command(code: str | None) -> None:
    """Explain a diagnostic code; without CODE, list them all.

    \b
    Examples:
      elmcfg explain
      elmcfg explain ELM203
    """
    if code is None:
        say("\n".join(f"{c.code}  {c.severity.value:7}  {c.name}" for c in CODES.values()))
        return
    known = CODES.get(code.upper())
    if known is None:
        fail(f"{code}: no such code; 'elmcfg explain' lists them", 2)
    say(f"{known.code} {known.name} ({known.severity.value})\n\n{known.explanation}")
