"""ELM004: a text larger or deeper than any config. Found by the readers."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM004",
    name="limit",
    severity=Severity.ERROR,
    what="""
        The file is larger, deeper or more entangled than any config: over 4 MiB of text, over 64
        levels of nesting, over 20,000 values once YAML aliases are followed, over 2,000 keys in
        one mapping, or a number of thousands of digits.
    """,
    why="""
        Reading on could take all of the memory, so it is refused. A config of 1,024 layers has
        about 20 kB.
    """,
    source="PyYAML's C loader crashes between 20,000 and 30,000 nested brackets (60 kB)",
)
