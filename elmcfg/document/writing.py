"""Values to YAML text, and text to files without ever leaving half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
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


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A file to fill, which gets its name when the block ends well and is gone otherwise.

    Args:
        path: Where it shall be.
        overwrite: Whether a file that is there already may be replaced.

    Raises:
        FileExistsError: If the file is there and ``overwrite`` is false.
        OSError: If it cannot be written.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, "the file exists already", str(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder", str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        # mkstemp's mode is private; a config gets what the user's umask gives any new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
