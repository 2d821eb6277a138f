"""Paths as reports for other programs have them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def relative(shown: str) -> str:
    """A path from the working directory, with slashes, where the file lies below that."""
    if not os.path.isabs(shown):  # noqa: PTH117
        return Path(shown).as_posix()
    try:
        return Path(shown).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(shown).as_posix()


def uri(shown: str) -> str:
    """The path as a URI reference (RFC 3986), relative where :func:`relative` is."""
    path = relative(shown)
    text = quote(os.fsencode(path), safe="/~")
    return f"file://{text}" if path.startswith("/") else text
