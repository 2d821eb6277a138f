"""ELM003: a key that stands twice. Found by the readers in :mod:`elmcfg.document`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM003",
    name="duplicate-key",
    severity=Severity.ERROR,
    what="""
        A key stands twice in the same mapping.
    """,
    why="""
        Every common reader (json, PyYAML, pydantic, orjson) keeps the last one silently, so a
        part of the file says something that no program does.
    """,
    bad="""
        model_dim: 1280
        model_dim: 1536
    """,
    good="model_dim: 1280",
    source="RFC 8259, section 4 (names within an object should be unique)",
)
