"""Types of options: text that a function of the package reads, as click wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from elmcfg import units
from elmcfg.costs import MAX_CONTEXT_LENGTH
from elmcfg.escaping import escaped
from elmcfg.hardware import machine

T = TypeVar("T")


class Written(click.ParamType[T]):
    """What a function reads from text.

    Args:
        name: What the help calls a value.
        read: The function; it says in a ``ValueError`` what is wrong.
    """

    def __init__(self, name: str, read: Callable[[str], T]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """What the text says, or a message that names the option."""
        if not isinstance(value, str):
            read: T = value  # Click may ask twice.
            return read
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def whole_number(text: str) -> int:
    """``16``.

    Raises:
        ValueError: If it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(whole_number(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{error}; write layers such as 0,4,8") from None


def _some_bytes(text: str) -> int:
    found = units.size(text)
    if not found:
        raise ValueError(f"{text!r} is not a positive amount such as 8GiB or 500MB")
    return found


def _one_line(text: str) -> str:
    unsafe = next((c for c in text if c in "\n\t" or escaped(c) != c), None)
    if unsafe is not None:
        raise ValueError(f"{text!r} holds {unsafe!r}, which would garble a terminal")
    return text


INDICES = Written("LAYERS", _indices)
HARDWARE = Written("NAME|BANDWIDTH,FLOPS", machine)
BYTES = Written("BYTES", _some_bytes)
ONE_LINE = Written("TEXT", _one_line)
TOKENS = click.IntRange(min=1, max=MAX_CONTEXT_LENGTH)
TIME = Written("TIME", units.duration)
