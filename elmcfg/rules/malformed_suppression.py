"""ELM009: a comment that would suppress something, but does not say what or why."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM009",
    name="malformed-suppression",
    severity=Severity.WARNING,
    what="""
        A comment that begins with "elmcfg:" names no known code, or gives no reason.
    """,
    why="""
        Whoever reads the file next should see what is left out, and why that is no problem here.
    """,
    bad="num_query_heads: [18, 18]  # elmcfg: ignore",
    good="num_query_heads: [18, 18]  # elmcfg: ignore[ELM301] our trainer reads the list alone",
    source="elmcfg",
)
