"""ELM102: a key that the format does not have. Found by :mod:`elmcfg.findings`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM102",
    name="unknown-key",
    severity=Severity.ERROR,
    what="""
        A key that is not part of the format. In a variant file (YAML) that is an error. A hub
        config.json may carry the keys of other programs: there a near miss of a known key is a
        warning, and any other unknown key is only named.
    """,
    why="""
        A misspelt key silently leaves its default in force. mlx-lm drops keys it does not know,
        and transformers keeps them as attributes that nothing reads.
    """,
    bad="num_kv_head: [3, 3, 4]",
    good="num_kv_heads: [3, 3, 4]",
    source="mlx-lm models/base.py (BaseModelArgs.from_dict)",
)
