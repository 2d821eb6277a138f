"""ELM603: tensors that the model does not have. Found by :mod:`elmcfg.comparison`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM603",
    name="tensor-unexpected",
    severity=Severity.ERROR,
    what="""
        The checkpoint has tensors that the model does not have, and no other finding explains it.
    """,
    why="""
        mlx-lm loads strictly and stops; transformers leaves them out with a warning.
    """,
    source="mlx-lm utils.py (load_model)",
)
