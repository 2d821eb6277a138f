"""``elmcfg explain``."""

from __future__ import annotations

import click

from elmcfg.cli.common import fail, out_style, say
from elmcfg.codes import CODES, FAMILIES
from elmcfg.render.frames import COLOURS
from elmcfg.render.style import Style
from elmcfg.rules.page import Page


@click.command("explain")
@click.argument("code", required=False, metavar="[CODE]")
def command(code: str | None) -> None:
    """Explain a diagnostic code: what it finds, why that matters, how to mend it.

    Without CODE, list them all. The name of a code does as well.

    \b
    Examples:
      elmcfg explain
      elmcfg explain ELM203
      elmcfg explain head-divisibility

    Exit codes: 0 explained, 2 no such code.
    """
    style = out_style()
    if code is None:
        say("\n\n".join(_family(digit, style) for digit in FAMILIES))
        return
    page = _find(code)
    if page is None:
        fail(f"{code}: no such code{_hint(code)}; 'elmcfg explain' lists them", 2)
    say(f"{_heading(page, style)}\n\n{page.explanation}")


def _find(code: str) -> Page | None:
    wanted = code.strip().upper()
    if wanted in CODES:
        return CODES[wanted]
    return next((page for page in CODES.values() if page.name.upper() == wanted), None)


def _hint(code: str) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    names = {page.name.upper(): page.name for page in CODES.values()}
    close = get_close_matches(code.upper(), [*names, *CODES], n=1, cutoff=0.7)
    return f"; did you mean {names.get(close[0], close[0])}?" if close else ""


def _heading(page: Page, style: Style) -> str:
    severity = style(page.severity, COLOURS[page.severity])
    return f"{style(page.code, 'bold')} {page.name} ({severity})"


def _family(digit: str, style: Style) -> str:
    pages = [page for code, page in CODES.items() if code[3] == digit]
    lines = [style(FAMILIES[digit], "bold")]
    for page in pages:
        severity = style(page.severity.ljust(7), COLOURS[page.severity])
        lines.append(f"  {page.code}  {severity}  {page.name}")
    return "\n".join(lines)
