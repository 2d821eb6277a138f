"""ELM413: a KV cache larger than the model."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM413",
    name="large-kv-cache",
    severity=Severity.INFO,
    what="""
        The KV cache of one full context (2-byte dtype) takes more memory than the weights in
        2-byte dtype, and over 1 GiB.
    """,
    why="""
        Memory is then decided by the context, not by the parameter count, and decoding reads more
        cache than weights. Fewer KV heads (a larger num_gqa_groups) shrink it.
    """,
    bad="max_context_length: 131072         # OpenELM-270M: 2.1 GB of cache, 0.5 GB of weights",
    good="max_context_length: 8192",
    source="elmcfg cost formulas; arXiv 2305.13245",
)

# A cache that nobody minds, however small the model.
_SMALL = 2**30


def check(draft: Draft) -> Iterator[Violation]:
    """The cache of a full context is smaller than the model."""
    parameters, cache = draft.parameters, draft.cache_bytes
    if parameters is None or cache is None or cache <= max(2 * parameters, _SMALL):
        return
    context = draft.get("max_context_length")
    key = "max_context_length" if "max_context_length" in draft.values else "num_kv_heads"
    yield Violation(
        "ELM413",
        (key,),
        f"the KV cache of {context:,} tokens takes {cache / 1e9:.1f} GB (2-byte dtype), more than "
        f"the weights, {2 * parameters / 1e9:.1f} GB",
        "use fewer KV heads, or a shorter context",
    )
