"""ELM408: an input width that MLX's default quantization group does not divide, though 32 does."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.unquantizable_width import SMALLEST_GROUP, group_size, unfit

PAGE = Page(
    code="ELM408",
    name="quantization-group",
    severity=Severity.INFO,
    what="""
        The input width of a projection is a multiple of 32, but not of 64, the group that mlx-lm
        quantizes with unless told otherwise.
    """,
    why="""
        With the default group mlx-lm silently leaves the layer unquantized; --q-group-size 32
        makes it fit, at half a bit per weight more.
    """,
    bad="""
        model_dim: 1280
        ffn_dim_divisor: 32
        ffn_multipliers: [0.525]       # 672 channels
    """,
    good="""
        model_dim: 1280
        ffn_dim_divisor: 64
        ffn_multipliers: [0.525]       # 704 channels
    """,
    source="mlx-lm utils.py (quantize_model) and convert.py (--q-group-size)",
)

_DEFAULT_GROUP = 64


def check(draft: Draft) -> Iterator[Violation]:
    """The default group fits every input; where none fits, ELM407 has said so."""
    if group_size(draft.foreign):
        return
    odd = unfit(draft, _DEFAULT_GROUP)
    if odd and not unfit(draft, SMALLEST_GROUP):
        loc, what, width, more = odd
        yield Violation(
            "ELM408",
            loc,
            f"{what} is {width:,} channels, a multiple of {SMALLEST_GROUP} but not of "
            f"{_DEFAULT_GROUP}, mlx-lm's default quantization group"
            + (f", and {more} more inputs too" if more else ""),
            "quantize with --q-group-size 32, or choose a multiple of 64",
        )
