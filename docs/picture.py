"""Draws the documentation's pictures with the tool itself, on a light and on a dark ground.

A finding as ``elmcfg validate`` prints it, and charts as ``--plot`` draws them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
COMMAND = ["validate", "docs/examples/broken.yaml"]
WIDTH = 118
CHARTS = {
    "layers": ["show", "openelm-270m", "uniform-270m"],
    "schedules": [
        "show", "lws-18l-vanilla", "lws-18l-framed", "lws-18l-reverse", "lws-18l-crown",
    ],
    "pareto": ["scale", "--max-params", "600M", "--pareto", "params,kv-cache"],
}  # fmt: skip

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


def chart(name: str, theme: str) -> None:
    """Draw a chart; its colours are matplotlib's settings, which the tool leaves as they are."""
    ground, ink = (
        "#{:02x}{:02x}{:02x}".format(*colour)
        for colour in (THEMES[theme].background_color, THEMES[theme].foreground_color)
    )
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    grounded = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    settings = dict.fromkeys(inked, ink) | dict.fromkeys(grounded, ground)
    picture = IMAGES / f"{name}-{theme}.svg"
    with tempfile.NamedTemporaryFile("w", suffix=".matplotlibrc") as file:
        file.write("".join(f'{key}: "{value}"\n' for key, value in settings.items()))
        file.flush()
        subprocess.run(
            [sys.executable, "-m", "elmcfg", *CHARTS[name], "--plot", str(picture), "--force"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | {"MATPLOTLIBRC": file.name},
        )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    printed = output()
    for theme_name in THEMES:
        (IMAGES / f"diagnostic-{theme_name}.svg").write_text(draw(theme_name, printed))
        for chart_name in CHARTS:
            chart(chart_name, theme_name)
