"""ELM604: shapes that contradict the config. Found by :mod:`elmcfg.comparison`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM604",
    name="tensor-shape",
    severity=Severity.ERROR,
    what="""
        The shapes or names of the tensors say that a key, or an entry of a list, is another value
        than the config has: the depth from the names, widths from the norms, the query heads of a
        layer from the columns of its out_proj, its KV heads from the remaining rows of its
        qkv_proj, its feed-forward width from the columns of its proj_2.
    """,
    why="""
        Loading stops at the first tensor that does not fit, and names the tensor, not the entry
        that is wrong. Lists that were edited by hand and weights that were not go together so.
    """,
    bad="""
        num_query_heads: [12, 16, 16]  # layer 1 has an out_proj of 1280 x 768
        num_kv_heads: [3, 4, 4]
    """,
    good="""
        num_query_heads: [12, 12, 16]
        num_kv_heads: [3, 3, 4]
    """,
    source="the tensor names of apple/OpenELM checkpoints",
)
