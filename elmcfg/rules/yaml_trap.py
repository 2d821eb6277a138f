"""ELM007: YAML that means something else. Found by :mod:`elmcfg.document.yaml_reader`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM007",
    name="yaml-trap",
    severity=Severity.ERROR,
    what="""
        YAML 1.1 reads this value as something else than it looks like: 010 is 8 (octal), 1:30 is
        90 (base 60), a tag like !!python/object asks for code (which is never run).
    """,
    why="""
        Readers of YAML 1.2 disagree with readers of YAML 1.1, so the same file would build
        different models.
    """,
    bad="num_transformer_layers: 010",
    good="num_transformer_layers: 10",
    source="yaml.org/type (YAML 1.1) against yaml.org/spec/1.2.2, section 10.3.2",
)
