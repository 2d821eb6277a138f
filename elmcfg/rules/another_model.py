"""ELM501: a program that builds another model. Found by :mod:`elmcfg.portability`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM501",
    name="another-model",
    severity=Severity.ERROR,
    what="""
        A program asked about with --target builds another model than the config means, without a
        word. The finding names the first layer that differs.
    """,
    why="""
        mlx-lm and llama.cpp take the lists. The hub's code (hf) recomputes the query heads from
        the recipe, and takes QK norm as off unless the file says otherwise; transformers ties the
        output head by tie_word_embeddings (ELM415), and of a text with more tokens than vocab_size
        the hub's code gives the logits of the first ones alone.
        CoreNet knows recipes only. mlx-swift ignores lists and recipe and always computes 0.5 to
        1.0 and 0.5 to 4.0 with 4 queries per KV head. mlx-lm ignores ffn_with_glu. All but mlx-lm
        fix the epsilon of RMSNorm at 1e-6.
    """,
    bad="""
        num_query_heads: [16, 16, 16]  # hf, from a recipe: 12, 16, 20
        num_kv_heads: [4, 4, 4]
    """,
    good="""
        qkv_multipliers: 0.8
        num_gqa_groups: 4
        num_query_heads: [16, 16, 16]
        num_kv_heads: [4, 4, 4]
    """,
    source="""
        mlx-lm models/openelm.py; apple/OpenELM configuration_openelm.py; ggml-org/llama.cpp
        src/models/openelm.cpp and its converter; apple/corenet general_gpt.py;
        ml-explore/mlx-swift-lm OpenELM.swift
    """,
)
