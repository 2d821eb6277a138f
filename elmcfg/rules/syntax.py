"""ELM002: text that is neither YAML nor JSON. Found by the readers in :mod:`elmcfg.document`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM002",
    name="syntax",
    severity=Severity.ERROR,
    what="""
        The text is not valid YAML or JSON. NaN and Infinity are no JSON either, though Python's
        json, and with it mlx-lm, reads them.
    """,
    why="""
        Programs that keep to the standard stop at it. Where the text can be read on in one way
        (NaN, a comma too many or missing, comments, other quotes), everything else in the file is
        checked too; else nothing is before this is mended.
    """,
    bad='{"model_dim": 1280,}',
    good='{"model_dim": 1280}',
    source="RFC 8259 (JSON), yaml.org/spec/1.1 (YAML as PyYAML reads it)",
)
