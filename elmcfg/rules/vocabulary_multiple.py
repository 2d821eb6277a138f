"""ELM409: a vocabulary that fills no tile."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM409",
    name="vocabulary-multiple",
    severity=Severity.INFO,
    what="""
        vocab_size is not a multiple of 64.
    """,
    why="""
        The output head is the largest matrix of a small model; GPUs compute it in tiles of 64 or
        128 rows, and padding the vocabulary (50,257 to 50,304) is measurably faster. The released
        models have 32,000 = 500 * 64.
    """,
    bad="vocab_size: 50257",
    good="vocab_size: 50304",
    source="NVIDIA, Matrix Multiplication Background User's Guide; karpathy/nanoGPT model.py",
)

_TILE = 64


def check(draft: Draft) -> Iterator[Violation]:
    """The vocabulary is a multiple of 64."""
    vocabulary = draft.values.get("vocab_size")
    if vocabulary is None or vocabulary % _TILE == 0:
        return
    padded = -(-vocabulary // _TILE) * _TILE
    yield Violation(
        "ELM409",
        ("vocab_size",),
        f"vocab_size {vocabulary:,} is not a multiple of {_TILE}",
        f"pad it to {padded:,}: the output head is then computed in whole tiles",
    )
