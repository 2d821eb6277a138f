"""Many files, checked one after another or on several cores: what ``elmcfg validate`` does.

Each file becomes one :class:`Checked`, which keeps the text only where there is something to show
of it, so that memory does not grow with the number of files.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.codes import ALWAYS_REPORTED
from elmcfg.cores import cores
from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.document import Document, Format
from elmcfg.linter import diagnose, has_weights_of
from elmcfg.settings import Settings
from elmcfg.sources import Input, checkpoint_beside, looks_like_config, unchecked_weights

if TYPE_CHECKING:
    from elmcfg.fixes import Fix
    from elmcfg.suppressions import Suppressed

# From how many files on a second process pays: starting one costs as much as some 700 files.
_MANY = 1_500
_CHUNK = 128
# A file with more findings of one kind is no config, and nobody reads them.
_MOST_ALIKE = 1_000


class Fixing(StrEnum):
    """What to do about findings that can be mended."""

    NONE = "none"
    DIFF = "diff"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with each file.

    Attributes:
        settings: What to report.
        weights: A checkpoint to hold every config against; where there is none, a ``config.json``
            is held against the one beside it.
        fixing: Whether to mend.
        unsafe: Whether to apply unsafe fixes too.
    """

    settings: Settings = field(default_factory=Settings)
    weights: Path | None = None
    fixing: Fixing = Fixing.NONE
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """One file, checked.

    Attributes:
        input: The file.
        text: Its text, as it is after mending; empty where there is nothing to show of it.
        format: The notation of that.
        diagnostics: What is to be reported, sorted by place.
        suppressed: What comments in the file leave out.
        fixes: How findings could be mended.
        before: The text before mending, where that changed it.
        fixed: What was mended, in words.
        missing: Whether there is no such file.
        unchecked_weights: Why the weights of the model in this folder were not compared with it;
            empty where they were, or where none are expected.
    """

    input: Input
    text: str = ""
    format: Format = Format.YAML
    diagnostics: tuple[Diagnostic, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    fixes: dict[Diagnostic, Fix] = field(default_factory=dict)
    before: str | None = None
    fixed: tuple[str, ...] = ()
    missing: bool = False
    unchecked_weights: str = ""

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(d.severity is severity for d in self.diagnostics)


@dataclass(slots=True)
class Tally:
    """Counts of checked files as they pass by.

    Attributes:
        files: Files.
        errors: Errors.
        warnings: Warnings.
        suppressed: Findings that comments leave out.
        fixed: Findings that were mended, or would be.
        fixable: Findings that could be mended safely.
        unsafe: Findings that could be mended, but not safely.
        folders: Arguments in whose folders there was a config.
        unchecked_weights: Why weights were not compared with their configs, once for each.
    """

    files: int = 0
    errors: int = 0
    warnings: int = 0
    suppressed: int = 0
    fixed: int = 0
    fixable: int = 0
    unsafe: int = 0
    folders: set[str] = field(default_factory=set)
    unchecked_weights: list[str] = field(default_factory=list)

    def watch(
        self, results: Iterable[Checked], lacking: Mapping[str, str] | None = None
    ) -> Iterator[Checked]:
        """The same results, counted, after one for each argument that names nothing.

        Args:
            results: What was checked.
            lacking: Those arguments, each with what is wrong with it.
        """
        missing = [_missing(name, why) for name, why in (lacking or {}).items()]
        for checked in chain(missing, results):
            self.files += not checked.missing
            self.errors += checked.count(Severity.ERROR)
            self.warnings += checked.count(Severity.WARNING)
            self.suppressed += len(checked.suppressed)
            self.fixed += len(checked.fixed)
            safe = sum(fix.safe for fix in checked.fixes.values())
            self.fixable += safe
            self.unsafe += len(checked.fixes) - safe
            self.folders.update(checked.input.folders)
            if checked.unchecked_weights:
                self.unchecked_weights.append(checked.unchecked_weights)
            yield checked


def _missing(name: str, why: str) -> Checked:
    message = why.removeprefix(f"{name}: ")
    found = Diagnostic(name, None, "ELM001", Severity.ERROR, (), message, "check the path")
    return Checked(Input(name, name), diagnostics=(found,), missing=True)


def check(inputs: Sequence[Input], task: Task) -> Iterator[Checked]:
    """Check files, in the given order; those of a folder that are no configs are left out."""
    if len(inputs) < _MANY or cores() < 2:
        yield from _each(inputs, task)
        return
    from concurrent.futures import ProcessPoolExecutor  # pays with many files only

    chunks = [inputs[i : i + _CHUNK] for i in range(0, len(inputs), _CHUNK)]
    with ProcessPoolExecutor(cores(), initializer=_leave_interrupts_to_the_parent) as pool:
        for done in pool.map(partial(_all, task=task), chunks):
            yield from done


def _leave_interrupts_to_the_parent() -> None:
    """Ignore Ctrl-C, which ends the parent, and be ended by what asks for an end otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _all(inputs: Sequence[Input], task: Task) -> list[Checked]:
    return list(_each(inputs, task))


def _each(inputs: Iterable[Input], task: Task) -> Iterator[Checked]:
    for item in inputs:
        checked = check_one(item, task)
        if checked is not None:
            yield checked


def check_one(item: Input, task: Task) -> Checked | None:
    """Check one file, and mend it in memory if that is the task.

    Returns:
        ``None`` for a file of a folder that turns out to be no config.
    """
    document = item.read()
    if not item.named and not _concerns_us(item, document):
        return None
    weights = task.weights or (checkpoint_beside(item.path) if item.path else None)
    unchecked = _unchecked(item, document, weights)
    look = partial(findings, settings=task.settings, weights=weights)
    found, suppressed = look(document)
    if not found and not suppressed:
        # Standard input is given back even where there is nothing to mend.
        text = document.text if item.path is None else ""
        return Checked(item, text, unchecked_weights=unchecked)
    from elmcfg import fixes  # most files have nothing to mend

    before = document
    done: list[str] = []
    judge = has_weights_of(weights) if weights is not None else None
    if task.fixing is not Fixing.NONE and not item.shipped:
        document, done = fixes.mend(
            document, lambda d: look(d)[0], unsafe=task.unsafe, has_weights_of=judge
        )
    if done:
        found, suppressed = look(document)
    return Checked(
        input=item,
        text=document.text,
        format=document.format,
        diagnostics=tuple(found),
        suppressed=tuple(suppressed),
        fixes=fixes.proposals(document, found, judge),
        before=before.text if done else None,
        fixed=tuple(done),
        unchecked_weights=unchecked,
    )


def _unchecked(item: Input, document: Document, weights: Path | None) -> str:
    """Return why weights are not compared with a document; empty where they are."""
    if weights is None:
        return unchecked_weights(item) or ""
    if document.family is not None:
        return f"those of a {document.family} model are not compared with its config"
    return ""


def findings(
    document: Document, settings: Settings, weights: Path | None = None
) -> tuple[list[Diagnostic], list[Suppressed]]:
    """The findings of a document that are to be reported, and those that its comments leave out."""
    found = diagnose(document, targets=settings.targets, weights=weights)
    ignored = settings.ignored_in(document.path) if settings.per_file_ignores else ()
    found = [
        d
        for d in found
        if d.code in ALWAYS_REPORTED
        or (settings.reports(d.code) and not d.code.startswith(ignored or "-"))
    ]
    suppressed: list[Suppressed] = []
    if "elmcfg:" in document.text:
        from elmcfg import suppressions

        found, suppressed = suppressions.apply(
            document, found, settings, with_weights=weights is not None
        )
        found.sort(key=lambda d: d.sort_key)
    if settings.strict:
        found = [_raised(d) for d in found]
    return _abridged(found), suppressed


def _abridged(found: list[Diagnostic]) -> list[Diagnostic]:
    """Of each code the first thousand, the last of which says how many more there are."""
    if len(found) <= _MOST_ALIKE:
        return found
    counts = Counter(d.code for d in found)
    seen: Counter[str] = Counter()
    kept = []
    for d in found:
        seen[d.code] += 1
        more = counts[d.code] - _MOST_ALIKE
        if seen[d.code] == _MOST_ALIKE and more > 0:
            kept.append(
                replace(d, message=f"{d.message} ({more:,} more of {d.code} are not listed)")
            )
        elif seen[d.code] <= _MOST_ALIKE:
            kept.append(d)
    return kept


def _raised(found: Diagnostic) -> Diagnostic:
    if found.severity is not Severity.WARNING:
        return found
    return replace(found, severity=Severity.ERROR)


def _concerns_us(item: Input, document: Document) -> bool:
    """Whether a file of a folder is a config, or may be one that cannot be looked into."""
    if document.text:
        return looks_like_config(document)
    # Not text, vanished meanwhile, a link to nowhere: no config.
    path = item.path or ""
    return os.path.exists(path) and not os.access(path, os.R_OK)  # noqa: PTH110
