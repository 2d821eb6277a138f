"""Values to YAML text, and text to files without ever leaving half of one."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from elmcfg.document.files import LinkError, read_regular
from elmcfg.document.temporary import beside
from elmcfg.document.tree import MAX_BYTES
from elmcfg.escaping import escaped


class TargetTakenError(FileExistsError):
    """Another program has written the target while we were at work; its content stays."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EEXIST, "another program has written it meanwhile", str(path))


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

    One that replaces another has that one's permissions. Of several runs that write a new file of
    one name at once, one does, and the others learn that they do not.

    Args:
        path: Where it shall be.
        overwrite: Whether a file that is there already may be replaced.

    Raises:
        TargetTakenError: If the file was not there before, and is now.
        FileExistsError: If the file is there and ``overwrite`` is false.
        OSError: If it cannot be written.
    """
    mode = None
    if path.exists() or (path.is_symlink() and not overwrite):
        if not overwrite:
            raise FileExistsError(errno.EEXIST, "the file exists already", str(path))
        mode = stat.S_IMODE(path.stat().st_mode)
    with beside(path) as temporary:
        # A new file has what the umask leaves; what replaces one is private until it is whole.
        temporary.touch(0o666 if mode is None else 0o600, exist_ok=False)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        if mode is not None:
            temporary.chmod(mode)
        if overwrite:
            temporary.replace(path)
        else:
            _name(temporary, path)


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name, unless there is one of that name.

    Raises:
        TargetTakenError: If there is.
    """
    try:
        try:
            path.hardlink_to(temporary)  # which replaces nothing, as renaming would
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: take the name first
            path.touch(exist_ok=False)
            temporary.replace(path)
    except FileExistsError as error:
        raise TargetTakenError(path) from error


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


def write_back(path: Path, before: str, after: str, folder: Path | None = None) -> None:
    """Replace the text of a file that was read, as a whole or not at all.

    A byte order mark, the permissions and, where the path is a link, the link stay. A link out of
    the folder is not written through: whoever names a link, or a folder with links in it, need not
    know which file they would lose.

    Args:
        path: The file.
        before: The text that was read from it.
        after: The text that it gets.
        folder: What a link must not lead out of; the one that it is in where None.

    Raises:
        LinkError: If it is a link out of the folder.
        OSError: If it may not be written, or is no longer what was read.
    """
    target = path.resolve()
    if (folder or path.parent).resolve() not in target.parents:
        raise LinkError(path, f"a link out of the folder; to change {target}, name it")
    raw = read_regular(target, MAX_BYTES)
    if raw.decode("utf-8-sig", "replace") != before:
        raise OSError("it has changed meanwhile")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    mark = "\ufeff" if raw.startswith(codecs.BOM_UTF8) else ""
    write_atomically(target, mark + after, overwrite=True)
