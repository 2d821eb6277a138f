"""From a document to every finding at once, each at its place, and to a config if it is sound."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.codes import ALWAYS_REPORTED, CODES
from elmcfg.diagnostics import Diagnostic, InvalidConfigError, Severity, Violation, has_errors
from elmcfg.document import Document, Format
from elmcfg.quick import is_clean
from elmcfg.sources import Source, read

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.formats.safetensors import Entry

_OF_SHAPES = ("ELM602", "ELM603", "ELM604")


def diagnose(
    document: Document, *, targets: Sequence[str] = (), weights: Path | None = None
) -> list[Diagnostic]:
    """Every finding of a document, sorted by place.

    Args:
        document: The text and what it says.
        targets: Programs to say of what they would do with it, names of
            :data:`elmcfg.portability.TARGETS`.
        weights: A checkpoint to hold against it: a ``*.safetensors`` file, an index of shards, or
            a folder with either.
    """
    # What other programs and checkpoints say of an OpenELM says nothing of other families.
    asked = (targets or weights is not None) and document.family is None
    sound = document.data is not None and not document.diagnostics
    # Told from the schema, without the models.
    as_json = document.format is Format.JSON
    if sound and not asked and is_clean(document.data or {}, as_json=as_json):
        return []
    config, findings = check(document)
    if document.data is not None and asked:
        found = _on_request(config, document, targets, weights)
        findings += [_placed(v, CODES[v.code].severity, document) for v in found]
    return sorted(findings, key=lambda d: d.sort_key)


def _on_request(
    config: Config | None, document: Document, targets: Sequence[str], weights: Path | None
) -> Iterator[Violation]:
    """What is looked at only when asked for: other programs, and a checkpoint."""
    given = document.data or {}
    if targets and _is_readable(document):
        from elmcfg import portability

        as_json = document.format is Format.JSON
        yield from portability.violations(config, targets, given, as_json=as_json)
    if weights is not None:
        from elmcfg import comparison
        from elmcfg.findings import draft_of

        draft = draft_of(given, lenient=document.format is Format.JSON)
        yield from comparison.check(draft, weights)


def _is_readable(document: Document) -> bool:
    """Return whether other programs get as far as the values: they read with Python's json."""
    faults = any(d.code in ALWAYS_REPORTED for d in document.diagnostics)
    if not faults or document.format is not Format.JSON:
        return not faults
    try:
        json.loads(document.text)
    except (ValueError, RecursionError):
        return False
    return True


def has_weights_of(weights: Path) -> Callable[[Document], bool]:
    """Return what tells whether a document has exactly the tensors of a checkpoint."""

    @cache
    def tensors() -> Mapping[str, Entry] | None:
        from elmcfg.formats.safetensors import CheckpointError, read_headers

        try:
            return read_headers(weights)
        except CheckpointError:
            return None

    def judge(document: Document) -> bool:
        from elmcfg import comparison
        from elmcfg.findings import draft_of

        headers = tensors()
        if not headers or document.data is None:
            return False
        draft = draft_of(document.data, lenient=document.format is Format.JSON)
        if draft.parameters is None:  # a list or a size that is not known cannot be compared
            return False
        return not any(v.code in _OF_SHAPES for v in comparison.violations(draft, headers))

    return judge


def check(document: Document) -> tuple[Config | None, list[Diagnostic]]:
    """All findings of a document, sorted by place, and its config where none is an error."""
    findings = list(document.diagnostics)
    config = None
    if document.data is not None:
        # Imported here: a clean document is told from its schema, without the models.
        from elmcfg.findings import read_values

        if document.family is None:
            config, found = read_values(document.data, lenient=document.format is Format.JSON)
        else:
            from elmcfg.layers import SparseConfig

            config, found = read_values(document.data, model=SparseConfig)
        # What is said of a value that the text has wrong says it a second time.
        faults = {d.loc for d in document.diagnostics if d.code in ALWAYS_REPORTED and d.loc}
        diagnostics = (_placed(v, severity, document) for v, severity in found)
        findings += [d for d in diagnostics if d.loc not in faults]
    if has_errors(findings):
        config = None
    return config, sorted(findings, key=lambda d: d.sort_key)


def validate(source: Source) -> list[Diagnostic]:
    """Every problem of a config, sorted by place; empty where there is none.

    Args:
        source: A path, the name of a shipped variant, or a mapping of keys.

    Raises:
        SourceNotFoundError: If there is no such file and no such shipped variant.
    """
    return diagnose(read(source))


def load(source: Source) -> Config:
    """A config, checked.

    Args:
        source: A path, the name of a shipped variant, or a mapping of keys.

    Raises:
        SourceNotFoundError: If there is no such file and no such shipped variant.
        InvalidConfigError: If it has errors; carries all of them.
    """
    config, findings = check(read(source))
    if config is None:
        raise InvalidConfigError(findings)
    return config


def _placed(violation: Violation, severity: Severity, document: Document) -> Diagnostic:
    loc = violation.loc
    # Of a list with something wrong about it as a whole, or of a key that should not be there, the
    # key is the place to look at; of a list that should not be one, the list.
    whole = isinstance(document.value(loc), list | dict) and violation.code != "ELM103"
    of_key = whole or violation.code == "ELM102"
    related = []
    for place, label in violation.related:
        span = document.span(document.place(place))
        if span is not None:
            related.append((span, label))
    return Diagnostic(
        path=document.path,
        span=document.span(document.place(loc), of_key=of_key),
        code=violation.code,
        severity=severity,
        loc=document.place(loc),
        message=violation.message,
        help=violation.help,
        label=violation.label,
        related=tuple(related),
    )
