"""ELM601: a checkpoint whose headers cannot be read. Found by :mod:`elmcfg.comparison`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM601",
    name="weights-unreadable",
    severity=Severity.ERROR,
    what="""
        The checkpoint given with --weights has no readable safetensors headers: there is no file,
        it is cut short, it is something else, or the index names a shard that is not there.
    """,
    why="""
        Only headers are read, so a file that is whole but for its weights passes. Pickled
        checkpoints (*.bin, *.pt) are not opened: reading them can run code.
    """,
    source="huggingface/safetensors, Format",
)
