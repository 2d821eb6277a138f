"""The manual page of a rule: what it finds, why that matters, how it looks bad and good, whence."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

from elmcfg.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of finding, as ``elmcfg explain`` and ``docs/rules.md`` show it.

    Attributes:
        code: ``ELM`` and three digits. A code, once released, keeps its meaning.
        name: Short name in kebab case.
        severity: The severity its findings have unless the place softens it.
        what: What is found.
        why: Why it matters: what a named program does with such a file.
        bad: An example that is found; may be empty.
        good: The same, mended; may be empty.
        source: The program, paper or specification that the rule rests on.
    """

    code: str
    name: str
    severity: Severity
    what: str
    why: str
    bad: str = ""
    good: str = ""
    source: str = ""

    @property
    def explanation(self) -> str:
        """The whole page as plain text, without its heading."""
        parts = [tidy(self.what), tidy(self.why)]
        parts += [
            f"{label}:\n{indent(tidy(example), '    ')}"
            for label, example in (("Bad", self.bad), ("Good", self.good))
            if example
        ]
        if self.source:
            parts.append(f"Source: {tidy(self.source)}")
        return "\n\n".join(parts)


def tidy(text: str) -> str:
    """A triple-quoted text without the indentation of the code around it."""
    return dedent(text).strip()
