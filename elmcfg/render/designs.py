"""What a search found, as tables, CSV and words."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from elmcfg.render.tables import amount, columns
from elmcfg.search.budgets import QUANTITIES, Conditions
from elmcfg.search.problem import costs_of, written
from elmcfg.search.space import SpaceSchedule
from elmcfg.units import binary, percent

if TYPE_CHECKING:
    from elmcfg.search.budgets import Goal
    from elmcfg.search.engine import Design, Result
    from elmcfg.search.infeasible import Relaxation
    from elmcfg.search.pareto import Front
    from elmcfg.search.task import Task


def value(number: Fraction, unit: str) -> str:
    """A cost as people read it, in its unit."""
    if unit == "bytes":
        return binary(float(number))
    if unit.startswith("FLOPs"):
        return amount(float(number), unit)
    if unit == "channels/layer":
        return f"{float(number):.1f}"
    return f"{int(number):,}" if number.denominator == 1 else f"{float(number):,.1f}"


def numbers(costs: Mapping[str, Fraction]) -> dict[str, int | float]:
    """Costs for JSON: whole numbers as such."""
    return {name: _plain(number) for name, number in costs.items()}


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def _in_full(*numbers: float) -> str:
    # As flags of a command they must make the same design.
    return ",".join(str(number).removesuffix(".0") for number in numbers)


def table(designs: Sequence[Design], assumed: Conditions, names: Sequence[str]) -> str:
    """One line per design: its shape, its control points, and the costs asked for."""
    shown = [n for n in names if n not in ("layers", "model-dim")]
    head = ("#", "layers", "model_dim", "head_dim", "q/kv", "divisor", "qkv", "ffn", *shown)
    rows = [head]
    for rank, design in enumerate(designs, start=1):
        s, costs = design.shape, costs_of(design, assumed, shown)
        shape = (s.layers, s.model_dim, s.head_dim, s.queries_per_kv_head, s.divisor)
        rows.append(
            (
                str(rank),
                *(str(number) for number in shape),
                _in_full(*design.qkv),
                _in_full(*design.ffn),
                *(value(costs[n], QUANTITIES[n].unit) for n in shown),
            )
        )
    return "\n".join(columns(rows))


def csv_text(designs: Sequence[Design], schedule: SpaceSchedule, assumed: Conditions) -> str:
    """One row per design with every cost, for a spreadsheet."""
    stream = io.StringIO()
    shape = ("num_transformer_layers", "model_dim", "head_dim", "num_gqa_groups", "ffn_dim_divisor")
    names = [n for n in QUANTITIES if n not in ("layers", "model-dim")]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*shape, "qkv_multipliers", "ffn_multipliers", *names])
    for design in designs:
        s, keys = design.shape, written(design, schedule)
        writer.writerow(
            [
                *(s.layers, s.model_dim, s.head_dim, s.queries_per_kv_head, s.divisor),
                " ".join(map(repr, keys["qkv_multipliers"])),
                " ".join(map(repr, keys["ffn_multipliers"])),
                *numbers(costs_of(design, assumed, names)).values(),
            ]
        )
    return stream.getvalue()


def flags(design: Design, schedule: SpaceSchedule) -> str:
    """A design of a space with such schedules as flags of ``elmcfg scale``."""
    s, keys = design.shape, written(design, schedule)
    options = "".join(
        f" --{key.replace('_', '-')} {'none' if value is None else _in_full(value)}"
        for key, value in keys.get("schedule", {}).items()
        if value != getattr(SpaceSchedule(), key)
    )
    return (
        f"--layers {s.layers} --model-dim {s.model_dim} --head-dim {s.head_dim} "
        f"--queries-per-kv-head {s.queries_per_kv_head} --ffn-dim-divisor {s.divisor} "
        f"--qkv-multipliers {_in_full(*keys['qkv_multipliers'])} "
        f"--ffn-multipliers {_in_full(*keys['ffn_multipliers'])}{options}"
    )


def _free(space: str | None, result: Result, goal: Goal | None) -> str:
    """How free lists were chosen: nobody counts them."""
    named = f"the free lists of the space {space or 'given by flags'}"
    if result.proven:
        return f"the best of all {named}, proven by OR-tools"
    what = f"{goal.quantity.name} of" if goal else "difference from the reference of"
    return f"the best of {named} found within the time limit; none has a better {what} " + (
        f"{result.bound:,.6g}"
    )


def remark(space: str | None, result: Result, goal: Goal | None) -> str:
    """How a design was chosen, in a line for the file's head."""
    if result.feasible is None:
        return _free(space, result, goal)
    return (
        f"chosen from {result.feasible:,} that fit, of all {result.examined:,} designs of the "
        f"space {space or 'given by flags'}"
    )


def summary(space: str | None, result: Result, goal: Goal | None) -> str:
    """What was searched."""
    if result.feasible is None:
        return f"{_free(space, result, goal)} ({result.seconds:.2f} s):"
    return (
        f"{result.examined:,} designs of the space {space or 'given by flags'} examined, "
        f"{result.feasible:,} fit ({result.seconds:.2f} s); the best of each of the best shapes:"
    )


def front_summary(space: str | None, front: Front) -> str:
    """What was searched, and which way each cost counts as better."""
    result = front.result
    return (
        f"{result.examined:,} designs of the space {space or 'given by flags'} examined, "
        f"{result.feasible:,} fit ({result.seconds:.2f} s); {len(front.designs):,} trade-offs "
        f"({front.ways}), had by {sum(front.counts):,} designs"
    )


def relaxation_values(found: Sequence[Relaxation]) -> list[dict[str, Any]]:
    """Why nothing fits, for JSON."""

    def plain(number: Fraction | None) -> int | float | None:
        return None if number is None else _plain(number)

    return [
        {
            "quantity": r.bound.quantity.name,
            "least": plain(r.bound.least),
            "most": plain(r.bound.most),
            "least_in_space": plain(r.least),
            "most_in_space": plain(r.most),
            "impossible_alone": r.impossible,
            "nearest": plain(r.value),
        }
        for r in found
    ]


def proof(
    task: Task, result: Result, found: Sequence[Relaxation], least_tolerance: Fraction | None
) -> list[str]:
    """Say that nothing fits, which bound is in the way, and the nearest design without each."""
    space = task.space
    named = f"of the space {space.name or 'given by flags'} fits"
    lines = [
        f"no free list {named}: proven"
        if result.examined is None
        else f"none of the {result.examined:,} designs {named}; all were examined"
    ]
    if not found:
        lines.append("no shape has widths that --multiple-of and the quantized dtypes ask for")
    for r in found:
        unit = r.bound.quantity.unit
        reach = f"the space has {value(r.least, unit)} to {value(r.most, unit)}"
        if unit not in ("bytes", "parameters") and not unit.startswith("FLOPs"):
            reach += f" {unit}"
        meets = "meets it" if r.bound.target is None else f"is within {percent(task.tolerance)}"
        verdict = f"no design {meets}, even alone" if r.impossible else "can be met alone"
        lines.append(f"  {r.bound.flag}: {verdict} ({reach})")
        if r.nearest is None or r.value is None:
            lines.append("    giving it up does not help: the other bounds contradict each other")
            continue
        exact = "" if unit == "parameters" else f" ({_exact(r.value)})"
        lines += [
            f"    nearest that keeps to all others: {value(r.value, unit)}{exact}, with",
            f"    {flags(r.nearest, space.schedule)}",
        ]
    helpful = [r.bound.flag.split()[0] for r in found if r.nearest is not None]
    if found and task.has_target:
        lines.append(_tolerance(task.tolerance, least_tolerance))
        helpful += ["--tolerance"] if least_tolerance is not None else []
    if helpful:
        names = " or ".join(helpful)
        lines.append(
            f"  binding: {names}; relax one as far as its nearest design, or widen --space"
        )
    return lines


def _tolerance(now: Fraction, least: Fraction | None) -> str:
    """Return what the tolerance of the targets would have to be."""
    line = f"  --tolerance {percent(now)} of the target: "
    if least is None:
        return line + "a greater one does not help"
    return line + f"would have to be {percent(least)}, all else as it is"


def _exact(number: Fraction) -> str:
    return f"{int(number):,}" if number.denominator == 1 else f"{float(number):.3f}"
