"""Folders of configs: what lies in them, minus what ``.gitignore`` leaves out.

Nothing is read here but directories and ``.gitignore`` files. The rules of ``.gitignore`` are
those of git, by way of ``pathspec``: a file of rules applies at and below its folder, a deeper one
wins, and what lies in an ignored folder stays ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import RegexPattern

SUFFIXES = (".yaml", ".yml", ".json")
_IGNORE_FILE = ".gitignore"

# The folder that rules belong to, with a slash at the end, and the rules, the last one first;
# outermost folder first.
_Rules = tuple[tuple[str, "tuple[RegexPattern, ...]"], ...]


def walk(folder: str) -> Iterator[str]:
    """YAML and JSON files in and below a folder, sorted within each folder.

    Hidden folders, links to folders and what ``.gitignore`` names are passed by; a folder that
    may not be listed is itself given, so that reading it says why.

    Args:
        folder: As the user named it; the paths begin with it.
    """
    # Not by recursion: folders can be nested deeper than Python's calls.
    pending = [(folder, _outer_rules(folder))]
    while pending:
        here, rules = pending.pop()
        try:
            with os.scandir(here) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError:
            yield here
            continue
        if any(entry.name == _IGNORE_FILE for entry in entries):
            rules += _rules_of(here)
        folders = []
        for entry in entries:
            if entry.name.endswith(SUFFIXES) and not _is_folder(entry):
                if not _ignored(entry.path, rules):
                    yield entry.path
            elif not entry.name.startswith(".") and _is_folder(entry):
                folders.append(entry.path)
        pending += [(p, rules) for p in reversed(folders) if not _ignored(p + "/", rules)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _outer_rules(folder: str) -> _Rules:
    """The rules of the folders above, as far up as the repository goes.

    A folder that they leave out, yet the user has named, is taken without them.
    """
    inner = Path(folder).absolute()
    root = next((p for p in (inner, *inner.parents) if (p / ".git").exists()), None)
    if root is None:
        return ()
    between = [p for p in reversed(inner.parents) if p == root or root in p.parents]
    rules: _Rules = tuple(rule for path in between for rule in _rules_of(str(path)))
    steps = [p for p in (*between, inner) if p != root]
    return () if any(_ignored(f"{p}/", rules) for p in steps) else rules


def _rules_of(folder: str) -> _Rules:
    try:
        text = Path(folder, _IGNORE_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    absolute = Path(folder).absolute().as_posix().rstrip("/") + "/"
    patterns = [pattern for line in text.splitlines() for pattern in _patterns(line)]
    return ((absolute, tuple(p for p in reversed(patterns) if p.include is not None)),)


def _patterns(line: str) -> Sequence[RegexPattern]:
    """The pattern of a line; none where git passes it by, as a lone ``!``."""
    from pathspec import GitIgnoreSpec  # only who has such a file pays for it

    try:
        return GitIgnoreSpec.from_lines([line]).patterns
    except ValueError:
        return ()


def _ignored(path: str, rules: _Rules) -> bool:
    """Whether the innermost and last rule that speaks of a path leaves it out."""
    if not rules:
        return False
    absolute = Path(path).absolute().as_posix() + ("/" if path.endswith("/") else "")
    for folder, patterns in reversed(rules):
        relative = absolute.removeprefix(folder)
        for pattern in patterns:
            found = pattern.match_file(relative)
            if found is not None and _speaks_of(found.match, relative):
                return bool(pattern.include)
    return False


def _speaks_of(match: re.Match[str], path: str) -> bool:
    """Whether a pattern matches a path itself, rather than a folder that it is in.

    The folders above have been asked already; git does not let a ``!folder/`` reach further down.
    """
    if match.groupdict().get("ps_d") is not None:
        return match.end("ps_d") == len(path)
    # ``folder/**`` is about what is in the folder; its match takes the slash at the end.
    return not (path.endswith("/") and match.end() == len(path))
