"""Folders of configs: what lies in them, minus what ``.gitignore`` leaves out.

Nothing is read here but directories and ``.gitignore`` files. The rules of ``.gitignore`` are
those of git, by way of ``pathspec``: a file of rules applies at and below its folder, a deeper one
wins, and what lies in an ignored folder stays ignored. A ``.gitignore`` that is a link, no regular
file or too large is not applied, which is what git does, and reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.document import LinkError, read_regular, require_inside

if TYPE_CHECKING:
    from pathspec import RegexPattern

SUFFIXES = (".yaml", ".yml", ".json")
_IGNORE_FILE = ".gitignore"
_MODEL = "config.json"

MAX_IGNORE_BYTES = 2**20
"""Largest ``.gitignore`` that is read."""
MAX_PATTERNS = 5_000
"""Most patterns that the ``.gitignore`` files of a folder may have together: every path is compared
with all of them."""
MAX_WILDCARDS, MAX_DOUBLE_STARS = 8, 3
"""Most ``*`` of a pattern, and most ``**``."""

_STAR = r"\[\^/\]\*"
# A star and what must follow it, up to the next star of the same folder level.
_STAR_AND_TEXT = re.compile(
    rf"{_STAR}(?P<text>(?:\[\^/\]|\[\^?[\w-]+\]|\\.|[^\[\](){{}}?*+.^$|\\/])*)(?={_STAR})"
)

Report = Callable[[str, str], None]
"""Called with the path of a ``.gitignore`` that is not applied, and why."""

# The folder that rules belong to, with a slash at the end, and the rules, the last one first;
# outermost folder first.
_Rules = tuple[tuple[str, "tuple[RegexPattern, ...]"], ...]


def walk(folder: str, report: Report = lambda _, __: None) -> Iterator[str]:
    """YAML and JSON files in and below a folder, sorted within each folder.

    Hidden folders, links out of the folder, links to folders and what ``.gitignore`` names are
    passed by. A ``config.json`` that is a link out of the folder, and a folder that may not be
    listed, are themselves given, so that reading them says why.

    Args:
        folder: As the user named it; the paths begin with it.
        report: Called with each ``.gitignore`` that is not applied.
    """
    ignore = _IgnoreFiles(report)
    # Not by recursion: folders can be nested deeper than Python's calls.
    pending = [(folder, _outer_rules(folder, ignore))]
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
        files = [e for e in entries if e.name.endswith(SUFFIXES) and not _is_folder(e)]
        folders = [e.path for e in entries if not e.name.startswith(".") and _is_folder(e)]
        if (files or folders) and any(entry.name == _IGNORE_FILE for entry in entries):
            rules += ignore.rules(here)
        for entry in files:
            passed_by = (
                entry.is_symlink() and entry.name != _MODEL and leads_out(entry.path, folder)
            )
            if not passed_by and not _ignored(entry.path, rules):
                yield entry.path
        pending += [(p, rules) for p in reversed(folders) if not _ignored(p + "/", rules)]


def leads_out(path: str, folder: str) -> bool:
    """Return whether a file is a link out of the folder that it was found in."""
    try:
        require_inside(Path(path), Path(folder))
    except LinkError:
        return True
    except OSError:  # reading it says why
        return False
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _outer_rules(folder: str, ignore: _IgnoreFiles) -> _Rules:
    """Return the rules of the folders above, as far up as the repository goes.

    A folder that they leave out, yet the user has named, is taken without them.
    """
    inner = Path(folder).absolute()
    root = next((p for p in (inner, *inner.parents) if (p / ".git").exists()), None)
    if root is None:
        return ()
    between = [p for p in reversed(inner.parents) if p == root or root in p.parents]
    rules: _Rules = tuple(rule for path in between for rule in ignore.rules(str(path)))
    steps = [p for p in (*between, inner) if p != root]
    return () if any(_ignored(f"{p}/", rules) for p in steps) else rules


class _IgnoreFiles:
    """Reads ``.gitignore`` files, as long as they have no more patterns together than is allowed.

    Args:
        report: Called with each that is not applied.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._patterns_left = MAX_PATTERNS

    def rules(self, folder: str) -> _Rules:
        """Return the rules of a folder's own file; none where it is missing or not applied."""
        path = Path(folder, _IGNORE_FILE)
        try:
            if path.is_symlink():
                self._report(str(path), "a link, which git does not follow either")
                return ()
            raw = read_regular(path, MAX_IGNORE_BYTES, links=False)
        except FileNotFoundError:
            return ()
        except OSError as error:
            self._report(str(path), f"cannot be read: {error.strerror}")
            return ()
        lines = [
            line
            for line in raw.decode("utf-8", "replace").splitlines()
            if line.strip() and not line.startswith("#")
        ]
        if problem := self._excess(lines):
            self._report(str(path), problem)
            return ()
        self._patterns_left -= len(lines)
        absolute = Path(folder).absolute().as_posix().rstrip("/") + "/"
        patterns = [pattern for line in lines for pattern in _patterns(line)]
        return ((absolute, tuple(p for p in reversed(patterns) if p.include is not None)),)

    def _excess(self, lines: list[str]) -> str:
        if len(lines) > self._patterns_left:
            return (
                f"{len(lines):,} patterns are too many: the .gitignore files of a folder may have "
                f"{MAX_PATTERNS:,} together"
            )
        return next(filter(None, map(too_wild, lines)), "")


@lru_cache(maxsize=MAX_PATTERNS)
def _patterns(line: str) -> tuple[RegexPattern, ...]:
    """Return the pattern of a line; none where git passes it by, as a lone ``!``."""
    try:
        return compiled(line)
    except ValueError:
        return ()


def compiled(line: str) -> tuple[RegexPattern, ...]:
    """Return the pattern of a line of a ``.gitignore``, which takes little time to match.

    Raises:
        ValueError: If it is none.
    """
    from pathspec import GitIgnoreSpec  # only who has such a file pays for it

    return tuple(map(_without_backtracking, GitIgnoreSpec.from_lines([line]).patterns))


def too_wild(line: str) -> str:
    """Return what is wrong with a pattern that has too many wildcards; empty where nothing is."""
    if line.count("*") <= MAX_WILDCARDS and line.count("**") <= MAX_DOUBLE_STARS:
        return ""
    return (
        f"the pattern {line[:80]!r} has more than {MAX_WILDCARDS} times * or "
        f"{MAX_DOUBLE_STARS} times **"
    )


def _without_backtracking(pattern: RegexPattern) -> RegexPattern:
    """Return a pattern that matches the same in time linear in the length of a name.

    A star that another star follows need not match more than the least: the other can take the
    rest (as in the standard library's ``fnmatch``).
    """
    if pattern.regex is None:
        return pattern
    text = pattern.regex.pattern
    atomic = _STAR_AND_TEXT.sub(r"(?>[^/]*?\g<text>)", text)
    if atomic == text:
        return pattern
    return type(pattern)(re.compile(atomic), pattern.include)


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
