"""ELM207: a size out of range. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM207",
    name="size-range",
    severity=Severity.ERROR,
    what="""
        A size (layers, model width, vocabulary, context, ...) or another number is outside the
        range in which a model can be built at all.
    """,
    why="""
        Programs do not check: a rope_freq_constant of 0, for instance, gives NaN in every logit
        of mlx-lm.
    """,
    bad="num_transformer_layers: 0",
    good="num_transformer_layers: 16",
    source="elmcfg's own limits (MAX_LAYERS, MAX_SIZE); mlx-lm 0.32.2, tried",
)
