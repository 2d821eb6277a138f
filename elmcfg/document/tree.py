"""What both readers build: values, the place of each, and the limits they keep to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from elmcfg.diagnostics import Loc, Span

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 64
MAX_VALUES = 20_000
MAX_KEYS = 2_000
MAX_DIGITS = 4_000


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A fault of the text itself, before anything is known of its meaning."""

    code: str
    span: Span | None
    message: str
    help: str = ""
    loc: Loc = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """A key that stands twice: where, and what the first said, which the second replaced."""

    first_key: Span
    first_value: Span
    first_data: Any


@dataclass(slots=True)
class Tree:
    """A parsed text.

    Attributes:
        data: Dicts, lists, strings, numbers, booleans and ``None``; ``None`` too where the text
            could not be parsed.
        values: Place of each value.
        keys: Place of each key, by the path of its value.
        repeats: Keys that stand twice in one mapping, by the place of the second.
        problems: Faults of the text.
        fatal: Whether ``data`` is unusable.
    """

    data: Any = None
    values: dict[Loc, Span] = field(default_factory=dict)
    keys: dict[Loc, Span] = field(default_factory=dict)
    repeats: dict[Span, Repeat] = field(default_factory=dict)
    problems: list[TextProblem] = field(default_factory=list)
    fatal: bool = False


class UnusableTextError(Exception):
    """Reading stops here: carries the one problem that made the text unusable."""

    def __init__(self, problem: TextProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def duplicate_key(tree: Tree, key: str, loc: Loc, span: Span, first_data: Any) -> None:
    """Note that a key stands twice in one mapping.

    Args:
        tree: Still holds the places of the first.
        key: The key.
        loc: Its path.
        span: Where it stands the second time.
        first_data: What it said the first time.
    """
    first = tree.keys[loc]
    tree.repeats[span] = Repeat(first, tree.values[loc], first_data)
    tree.problems.append(
        TextProblem(
            "ELM003",
            span,
            f"duplicate key {key!r}: it stands in line {first.line} already",
            "remove one of the two; most programs silently keep the last",
            loc,
        )
    )


def too_many_values(span: Span | None) -> UnusableTextError:
    """The problem of a text with over :data:`MAX_VALUES` values, aliases followed."""
    message = f"over {MAX_VALUES:,} values"
    remedy = "a config needs some 30, and 4 for each layer"
    return UnusableTextError(TextProblem("ELM004", span, message, remedy))


def too_many_keys(span: Span | None) -> UnusableTextError:
    """The problem of a mapping with over :data:`MAX_KEYS` keys."""
    message = f"over {MAX_KEYS:,} keys in one mapping"
    return UnusableTextError(TextProblem("ELM004", span, message, "a config has some 30"))


def too_deep(span: Span | None) -> UnusableTextError:
    """The problem of a text nested over :data:`MAX_DEPTH` levels."""
    return UnusableTextError(
        TextProblem(
            "ELM004", span, f"nested deeper than {MAX_DEPTH} levels", "a config needs at most 3"
        )
    )


def number_too_long(span: Span | None) -> UnusableTextError:
    """The problem of an integer with more digits than Python converts."""
    return UnusableTextError(
        TextProblem("ELM004", span, "a number has thousands of digits", "write a shorter number")
    )
