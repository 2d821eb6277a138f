"""ELM202: a head count that is not positive. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM202",
    name="head-count",
    severity=Severity.ERROR,
    what="""
        A head count is a positive whole number.
    """,
    why="""
        With 0 KV heads mlx-lm dies of SIGFPE (a division by zero in native code, no Python
        traceback); with 0 query heads it stops at a ZeroDivisionError.
    """,
    bad="num_kv_heads: [3, 0, 4]",
    good="num_kv_heads: [3, 3, 4]",
    source="mlx-lm 0.32.2 on MLX 0.32.4, tried",
)
