"""YAML text to a tree with places, built from PyYAML's events.

Events rather than a loader: PyYAML's C loader crashes on deep nesting, keeps duplicate keys
silently and forgets places. Scalars mean what YAML 1.1 (PyYAML's resolver) says they mean, since
that is what the programs around a config read; where that differs from what the text looks like,
it is reported. Tags are never executed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from elmcfg.diagnostics import Loc, Span
from elmcfg.document.lines import Format, Lines
from elmcfg.document.tree import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_KEYS,
    MAX_VALUES,
    TextProblem,
    Tree,
    UnusableTextError,
    duplicate_key,
    number_too_long,
    too_deep,
    too_many_keys,
    too_many_values,
)

# The C parser is several times faster; a PyYAML built without libyaml has only the other.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVERS = Resolver.yaml_implicit_resolvers
_CONSTRUCTOR = SafeConstructor()
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)
_MERGE = "<<"


def read(text: str) -> Tree:
    """Values, places and problems."""
    builder = _Builder(text)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except UnusableTextError as stop:
        problem = stop.problem
        if problem.code == "ELM006":  # the first document is read, and can be checked
            builder.tree.problems.append(problem)
            return builder.tree
    except yaml.MarkedYAMLError as error:
        problem = _syntax(text, error)
    except yaml.reader.ReaderError as error:
        problem = _bad_character(text, error)
    except UnicodeEncodeError as error:
        problem = TextProblem(
            "ELM001", None, f"not valid Unicode text: {error.reason}", "save it as UTF-8"
        )
    else:
        return builder.tree
    builder.tree.problems.append(problem)
    builder.tree.fatal = True
    builder.tree.data = None
    return builder.tree


def _syntax(text: str, error: yaml.MarkedYAMLError) -> TextProblem:
    mark = error.problem_mark or error.context_mark
    span = None
    if mark is not None:
        span = Span(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
        span = _within(span, Lines(text, Format.YAML))
    message = error.problem or error.context or "not YAML"
    remedy = ""
    if "\\t" in message:
        remedy = "YAML does not allow tabs for indentation; use spaces"
    elif "mapping values are not allowed" in message:
        remedy = "check the indentation, and quote values that contain a colon"
    elif error.context and error.context_mark is not None:
        remedy = f"{error.context}, begun in line {error.context_mark.line + 1}"
    return TextProblem("ELM002", span, f"invalid YAML: {message}", remedy)


def _bad_character(text: str, error: yaml.reader.ReaderError) -> TextProblem:
    # The C parser reports a position in bytes, the other in characters; the character is sure.
    char = error.character if isinstance(error.character, str) else chr(error.character)
    at = text.find(char)
    span = Lines(text, Format.YAML).span(at, at + 1) if at >= 0 else None
    return TextProblem(
        "ELM002",
        span,
        f"invalid YAML: the character U+{ord(char):04X} is not allowed",
        "remove it, or write it as an escape in double quotes",
    )


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been met."""

    data: dict[str, Any] | list[Any]
    loc: Loc
    start: Any
    anchor: str | None
    first_value: int
    keys: int = 0
    merges: bool = False
    key: str | None = None
    key_span: Span | None = None
    merged: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Anchored:
    data: Any
    size: int


class _Builder:
    """Builds the tree event by event, without recursion."""

    def __init__(self, text: str) -> None:
        self.lines = Lines(text, Format.YAML)
        self.tree = Tree()
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchored] = {}
        self.documents = 0
        self.count = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.end(event)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise UnusableTextError(
                    TextProblem(
                        "ELM006",
                        _span(event),
                        "a second YAML document begins here",
                        "put each variant in a file of its own",
                    )
                )

    def counted(self, size: int, span: Span) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            raise too_many_values(span)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        span = _within(_span(event), self.lines)
        self.counted(1, span)
        if self.awaits_key():
            self.key(event.value, span, plain=event.implicit[0])
            return
        loc = self.place(span)
        data = self.resolve(event, loc, span)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(data, 1)
        self.put(data)

    def begin(self, event: yaml.CollectionStartEvent) -> None:
        span = _within(_span(event), self.lines)
        self.counted(1, span)
        if len(self.stack) >= MAX_DEPTH:
            raise too_deep(Span(span.line, span.column, span.line, span.column + 1))
        if self.awaits_key():
            raise UnusableTextError(
                TextProblem("ELM002", span, "a key is a list or a mapping", "use plain keys")
            )
        loc = self.place(span)
        self.refuse_tag(event.tag, loc, span)
        data: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(data, loc, event.start_mark, event.anchor, self.count))

    def end(self, event: Any) -> None:
        done = self.stack.pop()
        start, stop = done.start, event.end_mark
        if stop.column == 0 and stop.line > start.line:
            # A block collection ends where the next token begins; its last value says where it
            # really ended.
            span = _until(start, self.tree.values, done.loc)
        else:
            span = Span(start.line + 1, start.column + 1, stop.line + 1, stop.column + 1)
        self.tree.values[done.loc] = span
        if done.anchor:
            self.anchors[done.anchor] = _Anchored(done.data, self.count - done.first_value + 1)
        self.put(done.data)

    def alias(self, event: yaml.AliasEvent) -> None:
        span = _within(_span(event), self.lines)
        anchored = self.anchors.get(event.anchor or "")
        if anchored is None:
            problem = TextProblem(
                "ELM002",
                span,
                f"alias *{event.anchor} has no anchor before it",
                f"write &{event.anchor} where the value is first given",
            )
            if self.awaits_key():
                raise UnusableTextError(problem)
            self.counted(1, span)
            self.tree.problems.append(replace(problem, loc=self.place(span)))
            self.put(None)
            return
        self.counted(anchored.size, span)
        if self.awaits_key():
            self.key(str(anchored.data), span, plain=False)
            return
        self.place(span)
        self.put(anchored.data)

    def awaits_key(self) -> bool:
        return (
            bool(self.stack)
            and isinstance(self.stack[-1].data, dict)
            and (self.stack[-1].key is None)
        )

    def key(self, key: str, span: Span, *, plain: bool) -> None:
        top = self.stack[-1]
        top.key, top.key_span = key, span
        top.keys += 1
        if top.keys > MAX_KEYS:
            raise too_many_keys(span)
        loc = (*top.loc, key)
        top.merges = plain and key == _MERGE  # in quotes it is a key like any other
        if key in top.data and key not in top.merged and not top.merges:
            assert isinstance(top.data, dict)
            duplicate_key(self.tree, key, loc, span, top.data[key])
        top.merged.discard(key)
        self.tree.keys[loc] = span

    def place(self, span: Span) -> Loc:
        """The path of the value that begins now, whose place is noted."""
        if not self.stack:
            loc: Loc = ()
        else:
            top = self.stack[-1]
            last = top.key if top.key is not None else len(top.data)
            loc = (*top.loc, last)
        self.tree.values[loc] = span
        return loc

    def put(self, data: Any) -> None:
        if not self.stack:
            self.tree.data = data
            return
        top = self.stack[-1]
        if isinstance(top.data, list):
            top.data.append(data)
            return
        key, top.key = top.key, None
        if top.merges:
            self.merge(top, data)
        elif key is not None:
            top.data[key] = data

    def merge(self, top: _Open, data: Any) -> None:
        """YAML's merge key: the mapping's own keys win over merged ones."""
        sources = data if isinstance(data, list) else [data]
        for source in sources:
            if not isinstance(source, dict):
                self.tree.problems.append(
                    TextProblem(
                        "ELM002", top.key_span, "<< needs a mapping or a list of mappings", ""
                    )
                )
                return
            for key, value in source.items():
                if key not in top.data:
                    assert isinstance(top.data, dict)
                    top.data[key] = value
                    top.merged.add(key)
                    if top.key_span is not None:
                        self.tree.values[(*top.loc, key)] = top.key_span
                        self.tree.keys[(*top.loc, key)] = top.key_span

    def refuse_tag(self, tag: str | None, loc: Loc, span: Span) -> None:
        if tag is not None and tag != "!" and tag not in _CORE_TAGS:
            self.tree.problems.append(
                TextProblem(
                    "ELM007", span, f"the tag {tag} is not supported", "remove the tag", loc
                )
            )

    def resolve(self, event: yaml.ScalarEvent, loc: Loc, span: Span) -> Any:
        text: str = event.value
        self.refuse_tag(event.tag, loc, span)
        if not event.implicit[0]:
            return text
        tag = next(
            (tag for tag, regexp in _RESOLVERS.get(text[:1], []) if regexp.match(text)), ""
        ).rpartition(":")[2]
        node = yaml.ScalarNode(tag, text)
        if tag == "null":
            return None
        if tag == "bool":
            return _CONSTRUCTOR.construct_yaml_bool(node)
        if tag not in ("int", "float"):
            return text
        # Python refuses to write out longer ones, and base 60 takes time in the square of it.
        if len(text) > MAX_DIGITS:
            return self.too_long(loc, span)
        try:
            value = (
                _CONSTRUCTOR.construct_yaml_int(node)
                if tag == "int"
                else _CONSTRUCTOR.construct_yaml_float(node)
            )
        except (ValueError, OverflowError):
            return self.too_long(loc, span)
        sign, digits = "-" * text.startswith("-"), text.lstrip("+-")
        octal = tag == "int" and len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        if octal or ":" in text:
            base = "base 8" if octal else "base 60"
            self.tree.problems.append(
                TextProblem(
                    "ELM007",
                    span,
                    f"YAML 1.1 reads {text} as {value} ({base})",
                    f"write {value} or, if you meant the digits, "
                    + (f"{sign}{digits.lstrip('0') or '0'}" if octal else f'"{text}"'),
                    loc,
                )
            )
        return value

    def too_long(self, loc: Loc, span: Span) -> None:
        """Note a number that is too long; the value is then not known."""
        self.tree.problems.append(replace(number_too_long(span).problem, loc=loc))


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _within(span: Span, lines: Lines) -> Span:
    """The span, or the end of the text: where that has no line break, libyaml counts one more."""
    if span.end_line <= len(lines):
        return span
    end = lines.span(len(lines.text), len(lines.text))
    if span.line > len(lines):
        return end
    return Span(span.line, span.column, end.line, end.column)


def _until(start: Any, values: dict[Loc, Span], loc: Loc) -> Span:
    """From ``start`` to the end of the last value below ``loc``."""
    end = next(
        (
            span
            for inner, span in reversed(values.items())
            if len(inner) > len(loc) and inner[: len(loc)] == loc
        ),
        Span(start.line + 1, start.column + 1, start.line + 1, start.column + 2),
    )
    return Span(start.line + 1, start.column + 1, end.end_line, end.end_column)
