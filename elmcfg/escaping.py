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

    Line breaks and tabs stay: of a layout they are meant, and what one line is made of has none
    (:func:`elmcfg.render.frames.printable`).
    """
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)
