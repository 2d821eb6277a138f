"""Bytes to text to a :class:`Document`, whatever the bytes are."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from elmcfg.diagnostics import Diagnostic, Loc, Severity, Span
from elmcfg.document import json_reader
from elmcfg.document.tree import MAX_BYTES, TextProblem, Tree


class Format(StrEnum):
    """The two notations of a config."""

    YAML = "yaml"
    JSON = "json"


@dataclass(slots=True)
class Document:
    """A text and what it says.

    Attributes:
        path: The file as the user named it.
        text: The text; empty where it could not be read.
        format: YAML or JSON.
        data: The top-level mapping, or ``None`` where there is none to check further.
        diagnostics: Problems of the text itself.
        assumed: Keys that the source does not tell, as a checkpoint does not tell all of them.
    """

    path: str
    text: str
    format: Format
    data: dict[str, Any] | None
    diagnostics: list[Diagnostic]
    assumed: tuple[str, ...] = ()
    _locate: Callable[[], Tree] = field(repr=False, default=Tree)
    _tree: Tree | None = field(repr=False, default=None)

    def span(self, loc: Loc, *, of_key: bool = False) -> Span | None:
        """Place of a value, or of its key; of the nearest enclosing one where it has none.

        The whole document has no place of its own: pointing at all of a file points at nothing.
        """
        if self._tree is None:
            self._tree = self._locate()
        while loc:
            if of_key and loc in self._tree.keys:
                return self._tree.keys[loc]
            if loc in self._tree.values:
                return self._tree.values[loc]
            loc = loc[:-1]
        return None


def guess_format(path: str, text: str) -> Format:
    """By the file's ending, and where that does not tell, by the first character."""
    ending = path.rpartition(".")[2].lower()
    if ending in ("yaml", "yml"):
        return Format.YAML
    if ending == "json" or text.lstrip()[:1] == "{":
        return Format.JSON
    return Format.YAML


def parse(text: str, path: str, format: Format | None = None) -> Document:  # noqa: A002
    """Read a text.

    Args:
        text: YAML or JSON.
        path: What to call the file in findings.
        format: The notation; guessed from path and text where not given.
    """
    notation = format or guess_format(path, text)
    if not text.strip():
        problem = TextProblem(
            "ELM005", None, "the file is empty", "see 'elmcfg scale --help' to make a config"
        )
        return _document(path, text, notation, Tree(problems=[problem], fatal=True))
    if notation is Format.JSON:
        try:
            data = json_reader.fast_loads(text)
        except (ValueError, RecursionError):
            return _document(path, text, notation, json_reader.read(text))
        return _document(path, text, notation, Tree(data=data), lambda: json_reader.read(text))
    # Imported here: a JSON config is checked without paying for PyYAML.
    from elmcfg.document import yaml_reader

    return _document(path, text, notation, yaml_reader.read(text))


def _document(
    path: str,
    text: str,
    notation: Format,
    tree: Tree,
    locate: Callable[[], Tree] | None = None,
) -> Document:
    problems = list(tree.problems)
    if not tree.fatal and not isinstance(tree.data, dict):
        kind = {list: "a list", str: "a string", type(None): "nothing"}.get(
            type(tree.data), "a single value"
        )
        problems.append(
            TextProblem(
                "ELM005",
                tree.values.get(()),
                f"the file holds {kind} where a mapping of keys to values belongs",
                "begin with 'num_transformer_layers: ...'",
            )
        )
    return Document(
        path=path,
        text=text,
        format=notation,
        data=tree.data if isinstance(tree.data, dict) else None,
        diagnostics=[
            Diagnostic(path, p.span, p.code, Severity.ERROR, p.loc, p.message, p.help)
            for p in problems
        ],
        _locate=locate or (lambda: tree),
        _tree=None if locate else tree,
    )


def unreadable(path: str, message: str, remedy: str, code: str = "ELM001") -> Document:
    """A document for a file whose text cannot be had."""
    problem = Diagnostic(path, None, code, Severity.ERROR, (), message, remedy)
    return Document(path, "", guess_format(path, ""), None, [problem])


def decode(raw: bytes, path: str) -> Document:
    """Read bytes: they must be UTF-8, with or without a byte order mark."""
    if len(raw) > MAX_BYTES:
        return _too_large(path, len(raw))
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return unreadable(path, "the file is UTF-16, not UTF-8", "save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        document = unreadable(
            path,
            f"byte {error.start} (0x{raw[error.start]:02X}) is not UTF-8",
            "a config is UTF-8 text; is this a binary file?",
        )
        first = document.diagnostics[0]
        document.diagnostics[0] = Diagnostic(
            path,
            Span(line, column, line, column + 1),
            first.code,
            first.severity,
            (),
            first.message,
            first.help,
        )
        return document
    if "\0" in text:
        return unreadable(path, "the file holds NUL bytes", "is this a binary file?")
    return parse(text, path)


def read_bytes(path: Path, shown: str) -> Document:
    """Read a file, which may be missing, unreadable, or no file at all."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return unreadable(shown, "this is a folder", "name a file in it")
        if not stat.S_ISREG(status.st_mode):
            return unreadable(
                shown, "not a regular file", "name a file, or use - for standard input"
            )
        if status.st_size > MAX_BYTES:
            return _too_large(shown, status.st_size)
        raw = path.read_bytes()
    except FileNotFoundError:
        return unreadable(
            shown, "no such file", "check the path; 'elmcfg show' lists shipped names"
        )
    except OSError as error:
        return unreadable(shown, f"cannot be read: {error.strerror}", "check the permissions")
    except ValueError as error:
        return unreadable(shown, f"not a usable path: {error}", "")
    return decode(raw, shown)


def _too_large(path: str, size: int) -> Document:
    return unreadable(
        path,
        f"the file has {size:,} bytes; configs have at most {MAX_BYTES:,}",
        "is this a weights file or a log?",
        code="ELM004",
    )
