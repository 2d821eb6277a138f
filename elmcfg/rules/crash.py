"""ELM503: a program that takes its process with it. Found by :mod:`elmcfg.portability`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM503",
    name="crash",
    severity=Severity.ERROR,
    what="""
        A program asked about with --target dies at this config: a fault in native code, which
        cannot be caught.
    """,
    why="""
        With 0 KV heads mlx-lm dies of SIGFPE at its first forward pass, and takes a server or a
        notebook with it.
    """,
    bad="num_kv_heads: [3, 0, 4]",
    good="num_kv_heads: [3, 3, 4]",
    source="mlx-lm 0.32.2 on MLX 0.32.4, tried in a child process",
)
