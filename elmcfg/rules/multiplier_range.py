"""ELM205: a multiplier out of range. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM205",
    name="multiplier-range",
    severity=Severity.ERROR,
    what="""
        A multiplier is a finite number above zero, and below 1,000, beyond which nothing can be
        built.
    """,
    why="""
        mlx-lm silently gives a layer with a multiplier of zero or less one divisor of width.
    """,
    bad="ffn_multipliers: [0.5, -0.73, 0.97]",
    good="ffn_multipliers: [0.5, 0.73, 0.97]",
    source="mlx-lm models/openelm.py (make_divisible)",
)
