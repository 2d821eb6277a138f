"""Values to YAML text, and text to files without ever leaving half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def dump_yaml(values: Mapping[str, Any]) -> str:
    """YAML text with the keys in the given order and each list on lines of its own.

    Args:
        values: Plain dicts, lists and scalars.
    """
    import yaml  # as in reading: only who writes YAML pays for PyYAML

    return yaml.safe_dump(
        dict(values), sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )


def write_atomically(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        path: Where to.
        text: What, as UTF-8.
        overwrite: Whether a file that is there already may be replaced.

    Raises:
        FileExistsError: If the file is there and ``overwrite`` is false.
        OSError: If it cannot be written.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, "the file exists already", str(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp's mode is private; a config gets what the user's umask gives any new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        Path(temporary).unlink(missing_ok=True)
