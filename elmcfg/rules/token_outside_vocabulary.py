"""ELM410: a token id that the embedding table has no row for."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM410",
    name="token-outside-vocabulary",
    severity=Severity.WARNING,
    what="""
        bos_token_id, eos_token_id or pad_token_id is not below vocab_size.
    """,
    why="""
        MLX does not check ids: the model reads whatever lies behind the embedding table, and
        gives garbage or dies of a segmentation fault. An end token that cannot be predicted never
        ends a text. CoreNet trains with padding id 32000 and vocabulary 32128, but the released
        configs have 32000 rows, so a config that mixes the two has this fault.
    """,
    bad="""
        vocab_size: 32000
        pad_token_id: 32000
    """,
    good="""
        vocab_size: 32128
        pad_token_id: 32000
    """,
    source="MLX 0.32.4, tried; apple/corenet OpenELM training configs",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Every named token is in the vocabulary."""
    vocabulary = draft.values.get("vocab_size")
    if vocabulary is None:
        return
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        given = draft.foreign if key == "pad_token_id" else draft.values
        token = given.get(key)
        if isinstance(token, int) and not isinstance(token, bool) and token >= vocabulary:
            yield Violation(
                "ELM410",
                (key,),
                f"{key} is {token:,}, but the last token of vocab_size {vocabulary:,} is "
                f"{vocabulary - 1:,}",
                f"choose an id below {vocabulary:,}, or a larger vocab_size; mlx-lm would read "
                "beyond the embedding table",
                ((("vocab_size",), f"{vocabulary:,} tokens"),),
            )
