"""Numbers in the words of messages."""

from __future__ import annotations

import json
from typing import Any

_IRREGULAR = {"entry": "entries", "query": "queries", "vocabulary": "vocabularies"}


def count(number: int, noun: str) -> str:
    """``1 entry``, ``3 entries``."""
    return f"{number:,} {noun if number == 1 else _IRREGULAR.get(noun, noun + 's')}"


def layers(first: int, last: int) -> str:
    """``layer 3``, ``layers 3 to 5``."""
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def others(number: int) -> str:
    """What follows a message about the first of several layers."""
    return f", and {count(number, 'later layer')} too" if number else ""


def number(value: float) -> str:
    """A multiplier as one would write it."""
    return f"{value:.6g}"


def shown(value: Any) -> str:
    """Return a value as JSON would have it, in at most 40 characters."""
    try:
        text = json.dumps(value, ensure_ascii=True, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."
