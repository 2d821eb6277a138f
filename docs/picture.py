"""Draws the README's pictures: what ``elmcfg validate`` prints, on a light and a dark terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
COMMAND = ["validate", "docs/examples/broken.yaml"]
WIDTH = 118

Colour = tuple[int, int, int]


def _theme(background: Colour, foreground: Colour, ansi: list[Colour]) -> TerminalTheme:
    return TerminalTheme(background, foreground, ansi, ansi)


# black, red, green, yellow, blue, magenta, cyan, white
THEMES = {
    "dark": _theme(
        (24, 26, 31),
        (214, 217, 222),
        [
            (24, 26, 31), (255, 107, 107), (126, 211, 120), (240, 196, 90),
            (110, 168, 254), (200, 140, 255), (90, 205, 220), (214, 217, 222),
        ],
    ),
    "light": _theme(
        (255, 255, 255),
        (36, 41, 47),
        [
            (36, 41, 47), (193, 30, 45), (26, 127, 55), (154, 103, 0),
            (9, 105, 218), (130, 80, 223), (0, 120, 140), (110, 119, 129),
        ],
    ),
}  # fmt: skip

# rich's own template asks a server for its font; this one uses what the reader has.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def output() -> str:
    """What the command prints, in colour."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", "elmcfg", *COMMAND],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    return done.stdout


def draw(theme: str, text: str) -> str:
    """The terminal as SVG."""
    console = Console(
        record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="standard"
    )
    console.print(Text.from_ansi(f"$ elmcfg {' '.join(COMMAND)}\n{text}"), soft_wrap=True)
    return console.export_svg(
        title="", theme=THEMES[theme], code_format=TEMPLATE, unique_id="elmcfg"
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    printed = output()
    for name in THEMES:
        (IMAGES / f"diagnostic-{name}.svg").write_text(draw(name, printed))
