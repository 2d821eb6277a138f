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


def check(draft: Draft) -> Iterator[Violation]:
    """Weights and cache fit into some machine."""
    parameters, cache = draft.parameters, draft.cache_bytes
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
