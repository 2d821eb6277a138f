"""ELM005: a file without keys. Found by :mod:`elmcfg.document.reading`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM005",
    name="not-a-mapping",
    severity=Severity.ERROR,
    what="""
        The file is empty, or its top level is a list or a single value.
    """,
    why="""
        A config is one mapping of keys to values.
    """,
    bad="[16, 1280]",
    good="""
        num_transformer_layers: 16
        model_dim: 1280
    """,
    source="apple/OpenELM config.json",
)
