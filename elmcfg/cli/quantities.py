"""Options that take a quantity with a unit: bytes and seconds, as people write them."""

from __future__ import annotations

import re
from typing import Any

import click

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


class _Quantity(click.ParamType[float]):
    """A number and a unit."""

    def __init__(self, name: str, units: dict[str, int], example: str) -> None:
        self.name, self._units, self._example = name, units, example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return value
        found = _QUANTITY.fullmatch(str(value).strip())
        factor = found and self._units.get(found[2].lower())
        if not found or not factor or float(found[1]) == 0:
            self.fail(f"{value!r} is not a positive amount such as {self._example}", param, ctx)
        return float(found[1]) * factor


BYTES = _Quantity("BYTES", _BYTES, "8GiB or 500MB")
SECONDS = _Quantity("TIME", _SECONDS, "90s or 10min")
