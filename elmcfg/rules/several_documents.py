"""ELM006: several YAML documents in a file. Found by :mod:`elmcfg.document.yaml_reader`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM006",
    name="several-documents",
    severity=Severity.ERROR,
    what="""
        A YAML file holds several documents, separated by "---".
    """,
    why="""
        A variant is one document: most readers would take the first and ignore the rest. Put each
        variant into a file of its own. The first is checked all the same.
    """,
    bad="""
        model_dim: 1280
        ---
        model_dim: 1536
    """,
    good="model_dim: 1280",
    source="yaml.org/spec/1.1, section 4.1.3",
)
