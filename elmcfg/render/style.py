"""Colour, where the reader's terminal has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

MARK = os.urandom(16).hex()
"""Stands for the two characters that begin a terminal's codes, in text on its way there.

Nobody who writes a file knows it, so that :mod:`elmcfg.cli.terminal` can tell our codes from those
that a stranger put into a name.
"""

ERASE_LINE = f"{MARK}G{MARK}K"
"""Moves to the beginning of the line and erases it."""

BREAK = f"{MARK}|"
"""Stands for a line break of ours, in a message of several lines that may quote others."""

_CODES = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
    "bold": "1",
    "dim": "2",
}


class Style:
    """Wraps text in marked ANSI sequences (:data:`MARK`), or leaves it alone."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def __call__(self, text: str, *styles: str) -> str:
        """``text`` in the given colours and weights."""
        if not self.colour or not text or not styles:
            return text
        return f"{MARK}{';'.join(_CODES[style] for style in styles)}m{text}{MARK}0m"


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour: NO_COLOR and FORCE_COLOR decide, and else whether it is a terminal.

    See no-color.org and force-color.org; both count only when not empty.
    """
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"
