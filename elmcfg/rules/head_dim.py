"""ELM204: an odd head width. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM204",
    name="head-dim",
    severity=Severity.ERROR,
    what="""
        head_dim is even and positive.
    """,
    why="""
        Rotary position embedding (RoPE) turns channels in pairs; MLX refuses an odd width at the
        first forward pass.
    """,
    bad="head_dim: 63",
    good="head_dim: 64",
    source="arXiv 2104.09864; MLX 0.32.4, tried",
)
