"""Bytes to text to a :class:`Document`, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elmcfg.diagnostics import Diagnostic, Loc, Severity, Span, value_at
from elmcfg.document import git_lfs, json_reader
from elmcfg.document.files import (
    FileTooLargeError,
    UnsuitableFileError,
    read_regular,
    require_inside,
)
from elmcfg.document.lines import Format, Lines
from elmcfg.document.tree import MAX_BYTES, MAX_DEPTH, MAX_KEYS, MAX_VALUES, TextProblem, Tree


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
        family: Name of the other family whose config this was; ``None`` for an OpenELM's.
        place: From the path of a value in ``data`` to that of the same value in the text; they
            differ where the text is another family's.
    """

    path: str
    text: str
    format: Format
    data: dict[str, Any] | None
    diagnostics: list[Diagnostic]
    assumed: tuple[str, ...] = ()
    family: str | None = None
    place: Callable[[Loc], Loc] = field(repr=False, default=lambda loc: loc)
    _locate: Callable[[], Tree] = field(repr=False, default=Tree)
    _tree: Tree | None = field(repr=False, default=None)
    _lines: Lines | None = field(repr=False, default=None)

    @property
    def tree(self) -> Tree:
        """The values with their places; read when they are first asked for."""
        if self._tree is None:
            self._tree = self._locate()
        return self._tree

    @property
    def lines(self) -> Lines:
        """The lines of the text; found when they are first asked for."""
        if self._lines is None:
            self._lines = Lines(self.text, self.format)
        return self._lines

    def value(self, loc: Loc) -> Any:
        """The value at a path; ``None`` where there is none."""
        return value_at(self.data, loc)

    def span(self, loc: Loc, *, of_key: bool = False) -> Span | None:
        """Place of a value, or of its key; of the nearest enclosing one where it has none.

        The whole document has no place of its own: pointing at all of a file points at nothing.
        """
        while loc:
            if of_key and loc in self.tree.keys:
                return self.tree.keys[loc]
            if loc in self.tree.values:
                return self.tree.values[loc]
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
        return _read_json(text, path)
    return _read_yaml(text, path)


def _read_json(text: str, path: str) -> Document:
    # json has no limits of its own; what could exceed ours is left to the careful reader.
    if text.count(",") < MAX_VALUES and text.count("[") + text.count("{") <= MAX_DEPTH:
        try:
            data = json_reader.fast_loads(text)
            fits = not isinstance(data, dict) or len(data) <= MAX_KEYS
        except (ValueError, RecursionError):
            fits = False
        if fits:
            locate = lambda: json_reader.read(text)  # noqa: E731
            return _document(path, text, Format.JSON, Tree(data=data), locate)
    return _document(path, text, Format.JSON, json_reader.read(text))


def _read_yaml(text: str, path: str) -> Document:
    def locate() -> Tree:
        # Imported here: a clean file is checked without paying for PyYAML.
        from elmcfg.document import yaml_reader

        return yaml_reader.read(text)

    # Here too, what only YAML needs.
    from elmcfg.document import plain_yaml

    if text.count(",") + text.count("\n") < MAX_VALUES:
        data = plain_yaml.read(text)
        if data is not None and len(data) <= MAX_KEYS:
            return _document(path, text, Format.YAML, Tree(data=data), locate)
    return _document(path, text, Format.YAML, locate())


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


def unreadable(
    path: str,
    message: str,
    remedy: str,
    code: str = "ELM001",
    span: Span | None = None,
    severity: Severity = Severity.ERROR,
) -> Document:
    """A document for a file whose text cannot be had."""
    problem = Diagnostic(path, span, code, severity, (), message, remedy)
    return Document(path, "", guess_format(path, ""), None, [problem])


def refused(document: Document, loc: Loc, message: str, remedy: str) -> Diagnostic:
    """The problem of a text that is sound, but says what cannot be read."""
    span = document.span(loc)
    return Diagnostic(document.path, span, "ELM001", Severity.ERROR, loc, message, remedy)


def decode(raw: bytes, path: str) -> Document:
    """Read bytes: they must be UTF-8, with or without a byte order mark."""
    if len(raw) > MAX_BYTES:
        return _too_large(path)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return unreadable(path, "the file is UTF-16, not UTF-8", "save it as UTF-8")
    if git_lfs.is_pointer(raw):
        return unreadable(path, git_lfs.MESSAGE, git_lfs.HELP)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        return unreadable(
            path,
            f"byte {error.start} (0x{raw[error.start]:02X}) is not UTF-8",
            "a config is UTF-8 text; is this a binary file?",
            span=Span(line, column, line, column + 1),
        )
    if "\0" in text:
        return unreadable(path, "the file holds NUL bytes", "is this a binary file?")
    return parse(text, path)


def read_bytes(path: Path, shown: str, folder: Path | None = None) -> Document:
    """Read a file, which may be missing, unreadable, or no file at all.

    Args:
        path: The file.
        shown: What to call it.
        folder: The folder that it was found in, where the user has not named it: no link out of
            that folder is followed.
    """
    try:
        if folder is not None:
            require_inside(path, folder)
        raw = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        return unreadable(shown, "no such file", "check the path")
    except IsADirectoryError:
        return unreadable(shown, "this is a folder", "name a file in it")
    except FileTooLargeError:
        return _too_large(shown)
    except UnsuitableFileError as error:
        reason, _, remedy = error.strerror.partition("; ")
        remedy = remedy or "name a file, or use - for standard input"
        return unreadable(shown, reason, remedy)
    except OSError as error:
        return unreadable(
            shown, f"cannot be read: {error.strerror or error}", "check the permissions"
        )
    return decode(raw, shown)


def _too_large(path: str) -> Document:
    return unreadable(
        path,
        f"the file is too large: configs have at most {MAX_BYTES:,} bytes",
        "is this a weights file or a log?",
        code="ELM004",
    )
