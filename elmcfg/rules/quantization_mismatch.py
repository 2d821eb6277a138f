"""ELM606: quantized weights that the config describes otherwise.

Found by :mod:`elmcfg.comparison`.
"""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM606",
    name="quantization-mismatch",
    severity=Severity.ERROR,
    what="""
        The checkpoint is quantized for MLX (scales and biases beside the weights), and the
        quantization in config.json is missing or names another group_size or other bits; or it
        names one and the weights are not quantized.
    """,
    why="""
        mlx-lm unpacks with what config.json says: without it loading stops at unknown tensors,
        with wrong values at shapes that do not fit.
    """,
    bad='{"quantization": {"group_size": 32, "bits": 4}}     # and weights in groups of 64',
    good='{"quantization": {"group_size": 64, "bits": 4}}',
    source="mlx-lm utils.py (load_model); MLX quantize",
)
