"""The one place where files are opened that may be a stranger's.

A file is opened without waiting, so that a named pipe does not block; the open descriptor must be a
regular file's, so that no device is read; and no more bytes are read than a limit, which the
message names. A test lists every other place in elmcfg that opens a file, each with its reason.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Opening a named pipe would wait for a writer that may never come.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class UnsuitableFileError(OSError):
    """A path leads to no file that is read; ``strerror`` says why, in words."""

    strerror: str

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


class FileTooLargeError(UnsuitableFileError):
    """A file has more bytes than are read."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, f"the file is too large: at most {max_bytes:,} bytes are read")


class LinkError(UnsuitableFileError):
    """A file in a folder is a link out of that folder."""


@contextlib.contextmanager
def open_regular(path: Path, max_bytes: int | None, *, links: bool = True) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Args:
        path: The file.
        max_bytes: Largest size that is opened; None where the reader keeps to a limit of its own.
        links: Whether the last part of the path may be a link.

    Raises:
        UnsuitableFileError: If it is no regular file or too large.
        IsADirectoryError: If it is a folder.
        OSError: If it cannot be opened, also where the path itself is impossible.
    """
    flags = _FLAGS if links else _FLAGS | getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(path, flags)
    except ValueError as error:  # NUL, or characters that no name can have
        raise UnsuitableFileError(path, f"not a usable path: {error}") from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise UnsuitableFileError(path, "not a regular file") from error
        raise
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise UnsuitableFileError(path, "not a regular file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise FileTooLargeError(path, max_bytes)
        yield stream


def read_regular(path: Path, max_bytes: int, *, links: bool = True) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        max_bytes: Most bytes that are read.
        links: Whether the last part of the path may be a link.

    Raises:
        UnsuitableFileError: If it is no regular file or has more bytes.
        OSError: If it cannot be read.
    """
    with open_regular(path, max_bytes, links=links) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(size + 1)
        # A file may grow while it is read, and those in /proc say that they are empty.
        while len(content) > size and len(content) <= max_bytes:
            size = len(content)
            content += stream.read(min(max(size, 2**16), max_bytes + 1 - size))
    if len(content) > max_bytes:
        raise FileTooLargeError(path, max_bytes)
    return content


def is_file(path: Path) -> bool:
    """Return whether this is a regular file; False also for a path that no file can have."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Return whether anything is there; False also for a path that nothing can have."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def require_inside(file: Path, folder: Path) -> None:
    """Make sure that a file found in a folder is in it, and not a link out of it.

    A folder of the hub's cache holds links into the ``blobs`` folder beside ``snapshots``: they
    count as inside.

    Args:
        file: The file, which the user has not named.
        folder: The folder that the user has named.

    Raises:
        LinkError: If it is a link out of the folder.
        OSError: If links lead in a circle.
    """
    try:
        inside, home = folder.resolve(), file.resolve().parent
    except RuntimeError as error:  # how Python before 3.13 says that links lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(file)) from error
    snapshots = (p for p in (inside, *inside.parents) if p.parent.name == "snapshots")
    blobs = next((p.parent.parent / "blobs" for p in snapshots), None)
    if inside not in (home, *home.parents) and home != blobs:
        raise LinkError(
            file,
            "a link out of the folder, which is not followed; name the file that it leads to",
        )
