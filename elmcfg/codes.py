"""The registry of diagnostic codes, each with the manual page that ``elmcfg explain`` prints.

``ELM0xx`` the text, ``1xx`` structure, ``2xx`` the lists and their ranges, ``3xx`` the recipe
against the lists, ``4xx`` advice, ``5xx`` portability, ``6xx`` weights against the config. A code,
once released, keeps its meaning. The pages stand in the modules of :mod:`elmcfg.rules`; one is
imported when it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from elmcfg.rules import MODULES
from elmcfg.rules.page import Page

FAMILIES: Mapping[str, str] = {
    "0": "The text",
    "1": "Structure",
    "2": "The lists and their ranges",
    "3": "The recipe against the lists",
    "4": "Advice",
    "5": "Portability",
    "6": "Weights against the config",
}
"""What the first digit of a code stands for."""


class _Codes(Mapping[str, Page]):
    def __getitem__(self, code: str) -> Page:
        page: Page = import_module(f"elmcfg.rules.{MODULES[code]}").PAGE
        return page

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


ALWAYS_REPORTED = frozenset({"ELM001", "ELM002", "ELM004", "ELM005", "ELM006"})
"""Codes of texts that cannot be read as they are: no setting and no comment leaves them out."""

CODES: Mapping[str, Page] = _Codes()
"""The page of every code, in the order of the manual."""
