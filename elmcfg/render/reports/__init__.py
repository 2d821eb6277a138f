"""The forms that ``validate --format`` gives its findings, one module each.

A module has one function, ``report``, from checked files, as they come, to the text of the report,
in pieces: what can be said of one file alone is said at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from elmcfg.render.style import Style

if TYPE_CHECKING:
    from elmcfg.checking import Checked

FORMATS = ("text", "concise", "json", "sarif", "github", "gitlab", "junit")
"""The forms, the default one first."""

# Where the module is not named like the form; ``diff`` is a form of its own, that of ``--diff``.
_MODULES = {"json": "json_object"}


@dataclass(frozen=True, slots=True)
class View:
    """How to show findings to a person.

    Attributes:
        style: Colours.
        width: Columns of the terminal.
    """

    style: Style
    width: int


Report = Callable[[Iterable["Checked"], View], Iterator[str]]


def report_of(form: str) -> Report:
    """The function that makes a form; only that form's module is imported."""
    report: Report = import_module(f"{__name__}.{_MODULES.get(form, form)}").report
    return report
