"""ELM502: a program that will not build the model. Found by :mod:`elmcfg.portability`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM502",
    name="refused",
    severity=Severity.WARNING,
    what="""
        A program asked about with --target stops with an error of its own at this config, or has
        no way to say this model.
    """,
    why="""
        It is a warning, not an error, because the program tells its user. llama.cpp requires QK
        norms, a gated feed-forward and a tied output head, and has room for 512 layers. CoreNet
        and the hub's code take one or two QKV multipliers; three stop at an UnboundLocalError.
        mlx-lm needs nine keys. In transformers 5 the hub's code stops at every config, with a
        TypeError in OpenELMConfig.__post_init__; verdicts on hf are for transformers 4.39 to 4.57.
    """,
    bad="share_input_output_layers: false   # llama.cpp",
    good="share_input_output_layers: true",
    source="as ELM501",
)
