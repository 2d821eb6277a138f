"""Git LFS pointers: what lies in a clone in the place of large files until they are fetched.

A pointer is a text of some 130 bytes that begins with its version (git-lfs/git-lfs, docs/spec.md).
"""

from __future__ import annotations

from pathlib import Path

from elmcfg.document.files import read_regular

_BEGINNINGS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
LONGEST = 1024
"""A pointer has fewer bytes than this, by its specification."""

MESSAGE = "a Git LFS pointer, not the file itself"
HELP = "fetch the file: run 'git lfs pull' in its repository"


def is_pointer(raw: bytes) -> bool:
    """Return whether a file that begins with these bytes is a pointer."""
    return raw.startswith(_BEGINNINGS)


def is_pointer_file(file: Path) -> bool:
    """Return whether this is a pointer; a file that cannot be read is none."""
    try:
        return is_pointer(read_regular(file, LONGEST))
    except OSError:
        return False
