"""What to report: the flags of ``validate`` and ``[tool.elmcfg]`` of a ``pyproject.toml``.

The file is the nearest ``pyproject.toml``, from the working directory upward, that has such a
table::

    [tool.elmcfg]
    select = ["ELM"]                  # codes, or the beginnings of codes; all when absent
    ignore = ["ELM409"]
    targets = ["mlx-lm", "hf"]
    strict = true                     # warnings count as errors

    [tool.elmcfg.per-file-ignores]    # patterns as in .gitignore, from this folder
    "archive/**" = ["ELM3", "ELM4"]

Flags go before the file: ``--select`` and ``--target`` replace what it says, ``--ignore`` and
``--per-file-ignores`` add to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.codes import CODES
from elmcfg.document import UnsuitableFileError, read_regular
from elmcfg.folders import compiled, too_wild

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = "pyproject.toml"
MAX_SETTINGS_BYTES = 2**20
"""Largest ``pyproject.toml`` that is read."""
MAX_PATTERNS = 1_000
"""Most patterns of ``per-file-ignores``: every file is compared with all of them."""
# What a file must hold to have the table at all; parsing TOML is slow.
_TABLE = re.compile(rb"tool[\"']?\s*\.\s*[\"']?elmcfg|\[\s*[\"']?tool[\"']?\s*\]")


class SettingsError(ValueError):
    """The settings cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class PerFileIgnore:
    """Codes that are not reported in some files.

    Attributes:
        pattern: As in ``.gitignore``.
        codes: Codes, or beginnings of codes.
        folder: What the pattern is relative to.
    """

    pattern: str
    codes: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What to report.

    Attributes:
        select: Report only these codes; all where there are none. Here and below a code may be
            the beginning of one: ``ELM4`` is all advice.
        ignore: Of those, do not report these.
        per_file_ignores: Nor these, in some files.
        targets: Programs that the config must be right for.
        strict: Whether warnings count as errors.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file_ignores: tuple[PerFileIgnore, ...] = ()
    targets: tuple[str, ...] = ()
    strict: bool = False

    def reports(self, code: str) -> bool:
        """Whether findings of this code are wanted at all."""
        return (not self.select or code.startswith(self.select)) and not code.startswith(
            self.ignore or "-"
        )

    def ignored_in(self, path: str) -> tuple[str, ...]:
        """What the per-file ignores say of one file."""
        codes: tuple[str, ...] = ()
        for entry in self.per_file_ignores:
            if _matches(path, entry):
                codes += entry.codes
        return codes

    def extended(
        self,
        *,
        select: Iterable[str] = (),
        ignore: Iterable[str] = (),
        per_file_ignores: Iterable[str] = (),
        targets: Iterable[str] = (),
        strict: bool = False,
    ) -> Settings:
        """These settings under the flags of a command, each list with commas allowed in it.

        Raises:
            SettingsError: If a flag names no code.
        """
        return replace(
            self,
            select=_codes(_split(select), "--select") or self.select,
            ignore=self.ignore + _codes(_split(ignore), "--ignore"),
            per_file_ignores=self.per_file_ignores + tuple(map(_from_flag, per_file_ignores)),
            targets=tuple(_split(targets)) or self.targets,
            strict=strict or self.strict,
        )


def load(folder: Path) -> Settings:
    """The settings that hold in a folder; the default ones where no file gives any.

    Raises:
        SettingsError: If the file cannot be read, or the table has an unknown key or a wrong value,
            or is not TOML.
    """
    inner = folder.absolute()
    for path in (place / FILE for place in (inner, *inner.parents)):
        try:
            raw = read_regular(path, MAX_SETTINGS_BYTES)
        except UnsuitableFileError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
        except OSError:
            continue
        if not _TABLE.search(raw):
            continue
        table = _table(path, raw)
        if table is not None:
            return _settings(table, path, raw.decode("utf-8", "replace"))
    return Settings()


def _table(path: Path, raw: bytes) -> Mapping[str, Any] | None:
    import tomllib  # only who has such a table pays for it

    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path}: nested too deeply") from None
    tools = values.get("tool", {})
    table = tools.get("elmcfg") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{path}: [tool.elmcfg] is not a table")
    return table


_KEYS = ("select", "ignore", "per-file-ignores", "targets", "strict")


def _settings(table: Mapping[str, Any], path: Path, text: str) -> Settings:
    def where(key: str) -> str:
        match = re.search(rf"^\s*\[?(?:tool\.elmcfg\.)?[\"']?{re.escape(key)}\b", text, re.M)
        line = f":{text.count(chr(10), 0, match.end()) + 1}" if match else ""
        return f"{path}{line}: [tool.elmcfg] {key}"

    def listed(key: str) -> tuple[str, ...]:
        return _strings(table.get(key, []), where(key))

    for key in table:
        if key not in _KEYS:
            raise SettingsError(f"{where(key)}: unknown key{_hint(key)}")
    strict = table.get("strict", False)
    if not isinstance(strict, bool):
        raise SettingsError(f"{where('strict')}: {strict!r} is neither true nor false")
    ignores = table.get("per-file-ignores", {})
    if not isinstance(ignores, dict):
        raise SettingsError(
            f"{where('per-file-ignores')}: not a table of patterns, each with a list of codes"
        )
    if len(ignores) > MAX_PATTERNS:
        raise SettingsError(
            f"{where('per-file-ignores')}: {len(ignores):,} patterns are too many: at most "
            f"{MAX_PATTERNS:,}"
        )
    return Settings(
        select=_codes(listed("select"), where("select")),
        ignore=_codes(listed("ignore"), where("ignore")),
        per_file_ignores=tuple(
            _per_file(pattern, _strings(codes, where(pattern)), path.parent, where(pattern))
            for pattern, codes in ignores.items()
        ),
        targets=listed("targets"),
        strict=strict,
    )


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingsError(f'{where}: {value!r} is not a list of strings, such as ["ELM409"]')
    return tuple(value)


def _codes(names: Iterable[str], where: str) -> tuple[str, ...]:
    codes = tuple(name.strip().upper() for name in names)
    for code in codes:
        if not is_code(code):
            raise SettingsError(f"{where}: {code!r} is not a code; 'elmcfg explain' lists them")
    return codes


def is_code(name: str) -> bool:
    """Whether this is a code or the beginning of one, from ``ELM`` on."""
    return name.startswith("ELM") and any(code.startswith(name) for code in CODES)


def _hint(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, _KEYS, n=1)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(_KEYS)})"


def _split(values: Iterable[str]) -> list[str]:
    parts = (part.strip() for value in values for part in value.split(","))
    return [part for part in parts if part]


def _from_flag(value: str) -> PerFileIgnore:
    pattern, colon, codes = value.rpartition(":")
    if not colon or not pattern:
        raise SettingsError(
            f"--per-file-ignores: {value!r} is not PATTERN:CODE, such as 'archive/**:ELM4'"
        )
    return _per_file(pattern, _split([codes]), Path.cwd(), "--per-file-ignores")


def _per_file(pattern: str, codes: Iterable[str], folder: Path, where: str) -> PerFileIgnore:
    if problem := too_wild(pattern):
        raise SettingsError(f"{where}: {problem}")
    try:
        _spec(pattern)
    except ValueError:
        raise SettingsError(
            f"{where}: {pattern!r} is not a pattern as in .gitignore, such as 'archive/**'"
        ) from None
    return PerFileIgnore(pattern, _codes(codes, where), folder)


@cache
def _spec(pattern: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # only who ignores by file pays for it

    patterns: tuple[Any, ...] = compiled(pattern)
    return GitIgnoreSpec(patterns)


def _matches(path: str, entry: PerFileIgnore) -> bool:
    try:
        relative = Path(path).absolute().relative_to(entry.folder).as_posix()
    except ValueError:
        return False
    return _spec(entry.pattern).match_file(relative)
