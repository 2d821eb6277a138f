"""ELM407: an input width that no quantization group of the file, or of MLX, divides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elmcfg.diagnostics import Loc, Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM407",
    name="unquantizable-width",
    severity=Severity.WARNING,
    what="""
        The input width of a projection is not a multiple of the quantization group: of the
        group_size that the file's own quantization names, or, where it names none, of 32, the
        smallest group that MLX has.
    """,
    why="""
        mlx-lm silently leaves such a layer unquantized. The model is then larger and slower than
        its bits per weight say, and nothing reports it.
    """,
    bad="""
        model_dim: 1280
        ffn_dim_divisor: 24
        ffn_multipliers: [0.5]         # 648 channels
    """,
    good="""
        model_dim: 1280
        ffn_dim_divisor: 64
        ffn_multipliers: [0.5]         # 640 channels
    """,
    source="mlx-lm utils.py (quantize_model: weight.shape[-1] % group_size); MLX 0.32.4",
)

SMALLEST_GROUP = 32
"""The smallest group, in channels, that MLX quantizes."""


def check(draft: Draft) -> Iterator[Violation]:
    """Every projection can be quantized."""
    given = group_size(draft.foreign)
    group = given or SMALLEST_GROUP
    odd = unfit(draft, group)
    if odd:
        loc, what, width, more = odd
        yield Violation(
            "ELM407",
            loc,
            f"{what} is {width:,} channels, not a multiple of {group}"
            + (", the quantization group" if given else ", the smallest quantization group")
            + (f", and {more} more inputs too" if more else ""),
            "mlx-lm would silently leave what reads it unquantized; choose a multiple of 64",
            ((("quantization",), f"groups of {given}"),) if given else (),
        )


def group_size(foreign: Any) -> int | None:
    """The group size that a config.json's own quantization names."""
    quantization = foreign.get("quantization") or foreign.get("quantization_config")
    size = quantization.get("group_size") if isinstance(quantization, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def unfit(draft: Draft, group: int) -> tuple[Loc, str, int, int] | None:
    """The first input width that is no multiple: place, name, width, and how many more."""
    d, h = draft.values.get("model_dim"), draft.values.get("head_dim")
    found: list[tuple[Loc, str, int]] = []
    if d is not None and d % group:
        found.append((("model_dim",), "model_dim", d))
    if draft.heads is not None and h is not None and h % group:
        key = "num_query_heads" if "num_query_heads" in draft.values else "qkv_multipliers"
        found += [
            (_place(draft, key, i), f"layer {i}: the width of all query heads", q * h)
            for i, q in enumerate(draft.heads)
            if q * h % group
        ]
    if draft.ffn_widths is not None and draft.get("ffn_dim_divisor") % group:
        found += [
            (_place(draft, "ffn_multipliers", i), f"layer {i}: the feed-forward width", width)
            for i, width in enumerate(draft.ffn_widths)
            if width % group
        ]
    return (*found[0], len(found) - 1) if found else None


def _place(draft: Draft, key: str, layer: int) -> Loc:
    return (key, layer) if len(draft.values[key]) == draft.layers else (key,)
