"""ELM411: a context longer than the table of rotary positions."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM411",
    name="context-beyond-rope",
    severity=Severity.WARNING,
    what="""
        max_context_length is larger than rope_max_length.
    """,
    why="""
        CoreNet and the hub's code precompute rope_max_length positions; the released models have
        twice the context. MLX computes positions as it needs them, so the difference shows in one
        program and not in the other.
    """,
    bad="""
        max_context_length: 8192
        rope_max_length: 4096
    """,
    good="""
        max_context_length: 8192
        rope_max_length: 16384
    """,
    source="apple/corenet general_gpt.py; apple/OpenELM modeling_openelm.py",
)


def check(draft: Draft) -> Iterator[Violation]:
    """The table of positions is at least as long as the context."""
    context, table = draft.get("max_context_length"), draft.get("rope_max_length")
    if context is None or table is None or context <= table:
        return
    given = [key for key in ("max_context_length", "rope_max_length") if key in draft.values]
    by_default = "" if "rope_max_length" in draft.values else " by default"
    yield Violation(
        "ELM411",
        (given[0],),
        f"max_context_length is {context:,}, but rope_max_length is {table:,}{by_default}",
        f"set rope_max_length to {2 * context} (the released models have twice the context)",
        ((("rope_max_length",), f"{table:,} positions"),) if len(given) > 1 else (),
    )
