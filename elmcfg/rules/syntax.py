"""ELM002: text that is neither YAML nor JSON. Found by the readers in :mod:`elmcfg.document`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM002",
    name="syntax",
    severity=Severity.ERROR,
    what="""
        The text is not valid YAML or JSON.
    """,
    why="""
        No program can read the file, and nothing else in it can be checked before this is mended.
    """,
    bad='{"model_dim": 1280,}',
    good='{"model_dim": 1280}',
    source="RFC 8259 (JSON), yaml.org/spec/1.1 (YAML as PyYAML reads it)",
)
