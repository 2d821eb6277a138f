"""What would move, colour or garble a terminal, in text that leaves for one, made visible."""

from __future__ import annotations

import re

# Control characters but the newline, the tab and the carriage return of a Windows line; the line
# and paragraph separators; what turns the direction of writing or cannot be seen (but not the
# joiners inside Persian words and emoji); halves of surrogate pairs, and what is no character.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e00ff]|\r(?!\n)"
)


def escaped(text: str) -> str:
    r"""Return the text with unsafe characters as Python writes them, such as ``\x1b``.

    Line breaks and tabs stay, since a layout is made of them: a name that goes into a line has to
    be :func:`printable` before.
    """
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def printable(text: str) -> str:
    """Return a text that is to be part of one line with all that cannot be seen there escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
