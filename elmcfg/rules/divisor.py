"""ELM206: a divisor that is not positive. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM206",
    name="divisor",
    severity=Severity.ERROR,
    what="""
        ffn_dim_divisor is a positive whole number.
    """,
    why="""
        Each feed-forward width is rounded to a multiple of it, never below one divisor; with 0,
        mlx-lm stops at a ZeroDivisionError.
    """,
    bad="ffn_dim_divisor: 0",
    good="ffn_dim_divisor: 256",
    source="apple/corenet math_utils.py; mlx-lm models/openelm.py",
)
