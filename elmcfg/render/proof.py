"""A proof as text: a line per check as it ends, the verdict, and one row each for many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.escaping import printable
from elmcfg.render.style import Style
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.proof import Check, CheckResult, Plan, Report

_FEW = 3
# How a row of a table begins whose checks have passed: all of them, or those of shapes alone.
_SUCCESSES = ("proven", "shapes")
_MARKS = {"passed": ("green",), "failed": ("bold", "red"), "skipped": ("dim",)}


def checks(registered: Sequence[Check]) -> str:
    """Every check: its name, what it proves, and below that its tolerance."""
    width = max(len(check.name) for check in registered)
    return "\n".join(
        f"{check.name.ljust(width)}  {check.description}\n"
        f"{'':{width}}  tolerance: {check.tolerance}"
        for check in registered
    )


def check_line(result: CheckResult, style: Style, width: int) -> str:
    """One check: what became of it, its name in ``width`` columns, and what it found."""
    mark = style(result.status.ljust(7), *_MARKS[result.status])
    spent = style(f"  ({result.seconds:.2f} s)", "dim") if result.status != "skipped" else ""
    return f"{mark}  {result.name.ljust(width)}  {printable(result.detail)}{spent}"


def verdict(report: Report, style: Style) -> str:
    """The last line of a proof."""
    ran = any(check.status != "skipped" for check in report.checks)
    failure = "FAILED" if ran else "not proven, no check ran"
    success = "shapes hold, no weights computed" if report.shapes_only else "proven"
    word = style(success, "bold", "green") if report.passed else style(failure, "bold", "red")
    counted = "no" if report.counted is None else f"{report.counted:,}"
    estimate = report.estimated_memory_bytes
    expected = f" (estimated {binary(estimate)})" if estimate else ""
    why = f" ({report.plan.reason})" if report.plan.reason else ""
    return printable(
        f"{word}: {counted} parameters on {report.device}, {report.dtype}{why}, "
        f"peak {binary(report.peak_memory_bytes)}{expected}, {report.seconds:.1f} s"
    )


def weights_line(unused: Sequence[Path], *, computed: bool) -> str:
    """Return the line that says which weights were run, where there are some that were not.

    Args:
        unused: Files of weights that the configs came with.
        computed: Whether any weights were run, which are random ones.
    """
    more = f" and {len(unused) - _FEW:,} more" if unused[_FEW:] else ""
    named = ", ".join(printable(str(path)) for path in unused[:_FEW])
    random = "; random ones were" if computed else ""
    return f"the weights in {named}{more} were not run{random}"


def table(rows: Sequence[tuple[str, Report | Exception | None]], style: Style) -> str:
    """Many proofs, one row each: a name with its report, an error, or None if invalid."""
    names = [printable(name) for name, _ in rows]
    width = max(map(len, names))
    lines = []
    words: Counter[str] = Counter()
    for name, (_, outcome) in zip(names, rows, strict=True):
        word, figures, what = _row(outcome)
        words[word] += 1
        mark = style(word.ljust(7), *_MARKS["passed" if word in _SUCCESSES else "failed"])
        lines.append(f"{mark}  {name.ljust(width)}  {figures}  {printable(what)}".rstrip())
    total = f"{words['proven']} of {len(rows)} proven"
    if words["shapes"]:
        total = f"the shapes of {words['shapes']} of {len(rows)} hold, no weights computed"
    return "\n".join([*lines, total])


def _row(outcome: Report | Exception | None) -> tuple[str, str, str]:
    """The word, the figures, and what is wrong."""
    if outcome is None:
        return "invalid", "", "see the findings above"
    if isinstance(outcome, Exception):
        return "refused", "", str(outcome)
    figures = (
        f"{outcome.predicted:15,} parameters  {binary(outcome.peak_memory_bytes):>10}  "
        f"{outcome.seconds:6.2f} s"
    )
    failed = [check for check in outcome.checks if check.status == "failed"]
    if failed:
        return "FAILED", figures, f"{failed[0].name}: {failed[0].detail}"
    word = ("shapes" if outcome.shapes_only else "proven") if outcome.passed else "FAILED"
    return word, figures, _what_was_chosen(outcome.plan)


def _what_was_chosen(plan: Plan) -> str:
    """What memory had the proof do without; empty where that is nothing."""
    chosen = [f"{plan.dtype}, since {plan.reason}"] if plan.reason else []
    return "; ".join(chosen + [f"{name} {why}" for name, why in plan.left_out.items()])
