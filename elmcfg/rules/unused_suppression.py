"""ELM008: a comment that suppresses nothing."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM008",
    name="unused-suppression",
    severity=Severity.WARNING,
    what="""
        A comment "elmcfg: ignore[...]" leaves nothing out: what it was written for has been
        mended, or its code is another one.
    """,
    why="""
        Left in place it would hide the next real finding.
    """,
    bad="vocab_size: 32000  # elmcfg: ignore[ELM203] odd on purpose",
    good="vocab_size: 32000",
    source="elmcfg",
)
