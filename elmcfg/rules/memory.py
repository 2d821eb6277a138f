"""ELM412: a model that no machine with MLX could hold."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count

PAGE = Page(
    code="ELM412",
    name="memory",
    severity=Severity.WARNING,
    what="""
        The weights, in the checkpoint's dtype, with the KV cache of one full context take over
        512 GiB, the memory of the largest Mac.
    """,
    why="""
        Nothing that MLX runs on could load it; a digit too many in a size or a multiplier is the
        usual reason.
    """,
    bad="model_dim: 128000",
    good="model_dim: 1280",
    source="Apple, technical specifications of the Mac Studio (M3 Ultra, 512 GB)",
)

_GIB = 2**30
_LARGEST = 512 * _GIB
_CACHE_BYTES = 2


def check(draft: Draft) -> Iterator[Violation]:
    """Weights and cache fit into some machine."""
    parameters, cache = estimate(draft)
    if parameters is None or cache is None:
        return
    width = 4 if draft.get("torch_dtype") == "float32" else 2
    total = parameters * width + cache
    if total > _LARGEST:
        yield Violation(
            "ELM412",
            ("model_dim",),
            f"{count(parameters, 'parameter')} of {width} bytes and the KV cache of a full context "
            f"take {total / _GIB:,.0f} GiB",
            "the largest Mac has 512; is a digit too many in a size or a multiplier?",
        )


def estimate(draft: Draft) -> tuple[int | None, int | None]:
    """Parameters (norms left out), and bytes of the KV cache of one full context (2-byte dtype).

    The formulas are those of :mod:`elmcfg.costs`, on sums.
    """
    get, heads, kv_heads = draft.values.get, draft.heads, draft.kv_heads
    d, h, vocabulary = get("model_dim"), get("head_dim"), get("vocab_size")
    if heads is None or kv_heads is None or draft.ffn_widths is None:
        return None, None
    context = draft.get("max_context_length")
    if d is None or h is None or vocabulary is None or context is None:
        return None, None
    attention = 2 * (sum(heads) + sum(kv_heads)) * h * d
    ffn = (3 if draft.get("ffn_with_glu") else 2) * sum(draft.ffn_widths) * d
    tables = 1 if draft.get("share_input_output_layers") else 2
    cache = 2 * sum(kv_heads) * h * _CACHE_BYTES * context
    return tables * vocabulary * d + attention + ffn, cache
