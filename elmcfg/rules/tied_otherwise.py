"""ELM415: two keys that say whether the output head is the embedding, and do not agree."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM415",
    name="tied-otherwise",
    severity=Severity.WARNING,
    what="""
        A config.json whose share_input_output_layers and tie_word_embeddings do not say the same
        about the output head.
    """,
    why="""
        mlx-lm, llama.cpp and CoreNet go by share_input_output_layers. transformers goes by
        tie_word_embeddings, which is true unless the file says otherwise: it ties a model that has
        an output head of its own, and of a checkpoint with both matrices one is lost when it is
        loaded (the head in 4.45 to 4.57, the embedding in 4.39 and 4.41), without an error.
    """,
    bad="""
        {"share_input_output_layers": false}
    """,
    good="""
        {"share_input_output_layers": false, "tie_word_embeddings": false}
    """,
    source="transformers 4.39.3 to 4.57.6, PreTrainedModel.tie_weights, with apple/OpenELM's code",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Check that the keys of transformers and of OpenELM agree on the output head."""
    shared, tied = draft.values.get("share_input_output_layers"), draft.ties_in_transformers
    if tied is None or (shared is None and "share_input_output_layers" in draft.values):
        return
    here = (("tie_word_embeddings",), "what transformers goes by")
    related = (here,) if "tie_word_embeddings" in draft.foreign else ()
    if shared is False and tied:
        why = "is true" if related else "is true unless the file says otherwise"
        yield Violation(
            "ELM415",
            ("share_input_output_layers",),
            "share_input_output_layers is false, but transformers ties the output head to the "
            f"embedding by tie_word_embeddings, which {why}: a checkpoint with both matrices loses "
            "one of them there",
            "set tie_word_embeddings to false",
            related,
        )
    elif shared and draft.foreign.get("tie_word_embeddings") is False:
        yield Violation(
            "ELM415",
            ("tie_word_embeddings",),
            "tie_word_embeddings is false, but share_input_output_layers is true, and every "
            "program ties the output head to the embedding by it",
            "set tie_word_embeddings to true, or share_input_output_layers to false",
        )
    elif shared is None and not tied:
        yield Violation(
            "ELM415",
            ("tie_word_embeddings",),
            "transformers builds an output head of its own, but without share_input_output_layers "
            "mlx-lm ties it to the embedding",
            "add share_input_output_layers: false for a head of its own, true for a tied one",
        )
