"""Values to YAML text, and text to files without ever leaving half of one."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from elmcfg.escaping import escaped


def dump_yaml(values: Mapping[str, Any]) -> str:
    """YAML text with the keys in the given order and each list on lines of its own.

    Text that would garble a terminal is written with escapes, so that it is the same on one.

    Args:
        values: Plain dicts, lists and scalars.
    """
    import yaml  # as in reading: only who writes YAML pays for PyYAML

    # libyaml's emitter takes a fifth of the time of the one in Python.
    dump = partial(
        yaml.dump,
        dict(values),
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        default_flow_style=None,
        width=100,
    )
    text = str(dump(allow_unicode=True))
    return text if escaped(text) == text else str(dump(allow_unicode=False))


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A file to fill, which gets its name when the block ends well and is gone otherwise.

    One that replaces another has that one's permissions.

    Args:
        path: Where it shall be.
        overwrite: Whether a file that is there already may be replaced.

    Raises:
        FileExistsError: If the file is there and ``overwrite`` is false.
        OSError: If it cannot be written.
    """
    mode = None
    if path.exists():
        if not overwrite:
            raise FileExistsError(errno.EEXIST, "the file exists already", str(path))
        mode = stat.S_IMODE(path.stat().st_mode)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    # A new file has what the umask leaves; what replaces one is private until it is whole.
    temporary.touch(0o666 if mode is None else 0o600, exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        if mode is not None:
            temporary.chmod(mode)
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


def write_back(path: Path, before: str, after: str) -> None:
    """Replace the text of a file that was read, as a whole or not at all.

    A byte order mark, the permissions and, where the path is a link, the link stay.

    Args:
        path: The file.
        before: The text that was read from it.
        after: The text that it gets.

    Raises:
        OSError: If it may not be written, or is no longer what was read.
    """
    target = path.resolve()
    raw = target.read_bytes()
    if raw.decode("utf-8-sig", "replace") != before:
        raise OSError("it has changed meanwhile")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    mark = "\ufeff" if raw.startswith(codecs.BOM_UTF8) else ""
    write_atomically(target, mark + after, overwrite=True)
