"""ELM001: a file that cannot be read as text. Found by :mod:`elmcfg.document.reading`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM001",
    name="unreadable",
    severity=Severity.ERROR,
    what="""
        The file could not be read: it does not exist, is not a regular file, may not be opened,
        or is not UTF-8 text (a picture, an archive, UTF-16, NUL bytes).
    """,
    why="""
        A config is UTF-8 text in YAML or JSON. For UTF-16, save it again as UTF-8.
    """,
    source="RFC 8259, section 8.1 (JSON between programs is UTF-8)",
)
