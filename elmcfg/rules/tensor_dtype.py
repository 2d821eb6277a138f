"""ELM605: weights of another type than the config names. Found by :mod:`elmcfg.comparison`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM605",
    name="tensor-dtype",
    severity=Severity.WARNING,
    what="""
        The file names a torch_dtype, and tensors of the checkpoint have another (for quantized
        matrices, their scales).
    """,
    why="""
        mlx-lm computes in the type of the file, transformers in torch_dtype, so memory and
        results differ between the two. OpenELM-3B overflows in float16.
    """,
    bad="torch_dtype: float16           # and weights in bfloat16",
    good="torch_dtype: bfloat16",
    source="mlx-lm utils.py (load_model); apple/OpenELM-3B",
)
