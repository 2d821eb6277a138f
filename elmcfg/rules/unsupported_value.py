"""ELM104: a value the architecture does not have. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM104",
    name="unsupported-value",
    severity=Severity.ERROR,
    what="""
        The key is known, but its value names something that the OpenELM architecture does not
        have, such as another model_type, activation or normalization layer.
    """,
    why="""
        mlx-lm ignores activation and normalization and would build the released architecture
        whatever they say; another model_type makes it load another family's code.
    """,
    bad="activation_fn_name: gelu",
    good="activation_fn_name: swish",
    source="apple/OpenELM config.json; mlx-lm models/openelm.py",
)
