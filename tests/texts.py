"""Reading places back out of a text."""

from elmcfg.diagnostics import Span


def slice_of(text: str, span: Span) -> str:
    """The characters that a span covers."""
    lines = text.split("\n")[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)
