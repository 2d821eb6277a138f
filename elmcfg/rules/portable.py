"""ELM500: programs that build the model as it is meant. Found by :mod:`elmcfg.portability`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM500",
    name="portable",
    severity=Severity.INFO,
    what="""
        The programs asked about with --target that build exactly the model that the config means.
    """,
    why="""
        Said only when asked for. The verdicts rest on a model in code of each program's own rule:
        the lists or the recipe that it reads, its rounding, its defaults. What surrounds the
        shapes (tokenizer, auto_map, architectures) is not looked at. No other program reads YAML:
        a variant file is judged by the config.json that elmcfg scale --format hub writes for it.
        What is said of mlx-lm is said of 0.32.2 on MLX 0.32.4, and of hf for transformers 4.39 to
        4.57. Of a config.json that is not valid only mlx-lm is spoken of: "builds exactly what the
        lists say" means that what is wrong with the file does not change what mlx-lm builds.
    """,
    good="elmcfg validate --target all openelm-270m",
    source="the programs named; see ELM501",
)
