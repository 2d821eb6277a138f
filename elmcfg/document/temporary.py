"""Hidden files and folders beside a target, which get its name when they are whole.

Who fills one holds a lock on a file beside it, which the system gives up when the process ends,
however it ends. So the next run on the same target sees which of them nobody will finish, and
removes those, and only those: a name says on which machine it was made, and those of other machines
are left alone, since the locks of some shared disks do not reach that far. ::

    .NAME.3f9c11-77ab02-1d2e3f40.tmp     what is being written
    .NAME.3f9c11-77ab02-1d2e3f40.old     what it replaces, between two renamings
    .NAME.3f9c11-77ab02-1d2e3f40.lock    is locked as long as the process lives
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from elmcfg.document.files import read_regular

_LONGEST_LABEL = 200  # bytes; a name has at most 255
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_STEM = r"\.{label}\.(?P<host>[0-9a-f]{{6}})-(?P<boot>[0-9a-f]{{6}})-[0-9a-f]{{8}}"
_KINDS = r"\.(?:tmp|old|lock)"


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Give a hidden name beside a target, for a file or a folder that is to take its place.

    What runs that came to an untimely end have left there is removed first. What has the hidden
    name when the block ends is removed.

    Args:
        target: Where the file or folder shall be in the end.

    Raises:
        OSError: If nothing can be written there.
    """
    remove_dead(target)
    stem, handle = _locked_stem(target)
    try:
        yield target.parent / f"{stem}.tmp"
    finally:
        _remove(target.parent / f"{stem}.tmp")
        _remove(target.parent / f"{stem}.lock")
        os.close(handle)


def replaced(temporary: Path) -> Path:
    """Return where to keep what stands in the target's place until that is replaced."""
    return temporary.with_suffix(".old")


def is_temporary(name: str, target: str) -> bool:
    """Return whether a file of this name was written on its way to a target."""
    return _pattern(target, _KINDS).fullmatch(name) is not None


def remove_dead(target: Path) -> None:
    """Remove what runs on this machine left beside a target when they were killed.

    Where such a run had moved the old content of the target away, and the new one had not taken its
    place yet, the old one is put back.
    """
    pattern = _pattern(target.name, _KINDS)
    try:
        names = os.listdir(target.parent)  # noqa: PTH208
    except OSError:  # what is to be written will say so
        return
    for stem in {name.rpartition(".")[0] for name in names if _is_of_this_machine(pattern, name)}:
        with contextlib.suppress(OSError):
            _remove_if_dead(target, stem)


def _remove_if_dead(target: Path, stem: str) -> None:
    temporary, old, lock = (target.parent / f"{stem}.{kind}" for kind in ("tmp", "old", "lock"))
    # Made where it is not there: a lock goes last, so that what has none is nobody's.
    handle = os.open(lock, _FLAGS, 0o600)
    try:
        if _lock(handle, wait=False):
            if os.path.lexists(old) and not os.path.lexists(target):
                old.rename(target)
            for path in (temporary, old, lock):
                _remove(path)
    finally:
        os.close(handle)


def _locked_stem(target: Path) -> tuple[str, int]:
    """Return a stem that nobody has yet, and the open descriptor of its lock."""
    host, boot = _machine()
    while True:
        stem = f".{_label(target.name)}.{host}-{boot}-{os.urandom(4).hex()}"
        lock = target.parent / f"{stem}.lock"
        handle = os.open(lock, _FLAGS | os.O_EXCL, 0o600)
        _lock(handle, wait=True)
        # Another run may have taken it for a dead one's before it was locked.
        if os.path.lexists(lock):
            return stem, handle
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock a file; False where another process has it, or the file system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, as far as that can be done."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _label(name: str) -> str:
    return name if len(os.fsencode(name)) <= _LONGEST_LABEL else _digest(name)[:16]


def _pattern(target: str, kinds: str) -> re.Pattern[str]:
    return re.compile(_STEM.format(label=re.escape(_label(target))) + kinds)


def _is_of_this_machine(pattern: re.Pattern[str], name: str) -> bool:
    """Return whether the name says so: by the host, or the kernel that containers share."""
    match = pattern.fullmatch(name)
    host, boot = _machine()
    return match is not None and (match["host"] == host or match["boot"] == boot)


@cache
def _machine() -> tuple[str, str]:
    """Return what tells this host, and this start of its kernel, from others."""
    import platform

    host = platform.node()
    try:
        boot = read_regular(Path("/proc/sys/kernel/random/boot_id"), 100).decode()
    except (OSError, ValueError):  # other systems than Linux
        boot = host
    return _digest(host)[:6], _digest(boot)[:6]


def _digest(text: str) -> str:
    import hashlib  # this and the others here: only who writes a file pays for them

    return hashlib.sha256(os.fsencode(text)).hexdigest()
