"""Amounts as people write them: ``600M`` parameters, ``48MiB`` of cache, ``2e18`` FLOPs, ``0.5%``.

Decimal prefixes are powers of 1,000 and binary ones (``Ki``, ``Mi``, ...) powers of 1,024, for
bytes and counts alike (IEC 80000-13); ``B`` alone is a thousand million where things are counted
("a 3B model") and a byte where bytes are. Arithmetic is exact: no figure passes through a float.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_BINARY = {f"{prefix}i": 1024**power for power, prefix in enumerate("kmgtpe", start=1)}
_PREFIXES = {**_DECIMAL, **_BINARY}
_COUNTED = {**_PREFIXES, "b": 10**9}
_FORM = re.compile(
    r"([0-9][0-9_,]*(?:\.[0-9]*)?|\.[0-9]+)(?:e([+-]?[0-9]{1,2}))?\s*([a-z%/]*)", re.I
)


# No amount has more: training the largest models takes some 1e27 FLOPs. All of them fit a float.
MOST = 10**36
_MOST_CHARACTERS = 60


def _parse(text: str, example: str) -> tuple[Fraction, str]:
    match = _FORM.fullmatch(text.strip()) if len(text) <= _MOST_CHARACTERS else None
    if match is None:
        shown = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "..."
        raise ValueError(f"{shown!r} is not an amount such as {example}")
    digits, exponent, unit = match.groups()
    number = Fraction(digits.replace("_", "").replace(",", "").rstrip("."))
    number *= Fraction(10) ** int(exponent or 0)
    return in_range(number), unit.lower()


def in_range(number: Fraction) -> Fraction:
    """Return an amount as it is.

    Raises:
        ValueError: If it is beyond every amount that there is.
    """
    if abs(number) > MOST or 0 < abs(number) < Fraction(1, MOST):
        raise ValueError("an amount is 0, or from 1e-36 to 1e36")
    return number


def _whole(number: Fraction, text: str) -> int:
    if number.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number")
    return int(number)


def count(text: str) -> int:
    """A count: ``600M``, ``1.1B``, ``2e18``, ``271,527,168``.

    Raises:
        ValueError: If it is not a whole number with a known prefix.
    """
    number, unit = _parse(text, "600M, 1.1B or 2e18")
    if unit not in _COUNTED:
        raise ValueError(f"{text!r}: unknown unit {unit!r}; use k, M, B (or G), T, P or E")
    return _whole(number * _COUNTED[unit], text)


def size(text: str) -> int:
    """Bytes: ``48MiB``, ``2GB``, ``1048576``.

    Raises:
        ValueError: If it is not a whole number of bytes with a known unit.
    """
    number, unit = _parse(text, "48MiB, 2GB or 1048576")
    if unit.removesuffix("b") not in _PREFIXES:
        raise ValueError(
            f"{text!r}: unknown unit {unit!r}; use kB, MB, GB, TB or KiB, MiB, GiB, TiB"
        )
    return _whole(number * _PREFIXES[unit.removesuffix("b")], text)


def rate(text: str) -> int:
    """Bytes or operations per second: ``400GB/s``, ``14TFLOPS``, ``990 TFLOP/s``.

    Raises:
        ValueError: If it is not a number with a known unit.
    """
    number, unit = _parse(text, "400GB/s or 14TFLOPS")
    prefix = re.sub(r"(b|flops?|ops?)?(/s|ps)?$", "", unit) if unit not in _PREFIXES else unit
    if prefix not in _PREFIXES or not number:
        raise ValueError(f"{text!r}: unknown rate; write 400GB/s or 14TFLOPS, and more than zero")
    return _whole(number * _PREFIXES[prefix], text)


def fraction(text: str) -> Fraction:
    """A share: ``0.5%`` or ``0.005``.

    Raises:
        ValueError: If it is not a number with or without a percent sign.
    """
    number, unit = _parse(text, "0.5%")
    if unit not in ("", "%"):
        raise ValueError(f"{text!r}: unknown unit {unit!r}; write 0.5% or 0.005")
    return number / 100 if unit else number


def percent(share: Fraction) -> str:
    """Return a share as people write it: 1/1000 is ``0.1%``; a long one is cut to six digits."""
    return f"{float(share * 100):.6g}%"


def amount(text: str, unit: str) -> Fraction:
    """An amount of a cost, or a share such as ``60%``.

    Args:
        text: What was written.
        unit: ``bytes``, ``channels/layer``, or anything that is counted.

    Raises:
        ValueError: If it is none.
    """
    if text.endswith("%") or unit == "channels/layer":
        return fraction(text)
    return Fraction(size(text) if unit == "bytes" else count(text))


def binary(size: float) -> str:
    """Bytes with a binary prefix: 1,572,864 is ``1.5 MiB``."""
    for prefix in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or prefix == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {prefix}" if prefix == "B" else f"{size:.4g} {prefix}"


_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """Seconds: ``90s``, ``10min``, ``1.5h``.

    Raises:
        ValueError: If it is not a number with a known unit, or not more than zero.
    """
    number, unit = _parse(text, "90s, 10min or 1h")
    if unit not in _SECONDS or not number:
        raise ValueError(f"{text!r} is not a positive time such as 90s, 10min or 1h")
    return float(number * _SECONDS[unit])
