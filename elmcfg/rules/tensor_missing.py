"""ELM602: tensors that the model needs and the checkpoint lacks.

Found by :mod:`elmcfg.comparison`.
"""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM602",
    name="tensor-missing",
    severity=Severity.ERROR,
    what="""
        The checkpoint lacks tensors of the model, and no other finding explains it (such as a
        depth that differs, or an output head that is tied).
    """,
    why="""
        mlx-lm loads strictly and stops; transformers only warns, and goes on with random numbers
        in their place.
    """,
    source="mlx-lm utils.py (load_model); transformers modeling_utils.py",
)
