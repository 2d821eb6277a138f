"""``elmcfg scale`` with a budget: flags to a search, and what it found to files and tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from elmcfg.cli.common import config_argument, fail, note, say, usage_error
from elmcfg.cli.scale import ENDINGS, as_flags, config_keys, text, told, unkept, write
from elmcfg.cli.scale_options import Amount
from elmcfg.costs import as_run
from elmcfg.diagnostics import InvalidConfigError
from elmcfg.document import exists
from elmcfg.geometry import geometry
from elmcfg.linter import load
from elmcfg.render import designs as drawn
from elmcfg.render import machine, plots
from elmcfg.search import engine, pareto, problem
from elmcfg.search.budgets import QUANTITIES, Goal
from elmcfg.search.task import ASSUMED, Task, task
from elmcfg.sources import shipped

_CANDIDATES = 5


def run(given: dict[str, Any], output: Path | None, force: bool, format_: str, quiet: bool) -> None:
    """Search, and write what was found."""
    try:
        task = _task(given)
        if "pareto" in given:
            _pareto(task, given, output, force, format_, quiet)
        else:
            _best(task, given, output, force, format_, quiet)
    except InvalidConfigError as error:
        raise click.UsageError(as_flags(error)) from None
    except FileNotFoundError as error:
        fail(str(error), 2)
    except ValueError as error:
        raise usage_error(error) from None


def _task(given: dict[str, Any]) -> Task:
    if "select_layers" in given:
        raise click.UsageError("--select-layers takes layers as they are, and so no budget")
    if "plot" in given and "pareto" not in given:
        raise click.UsageError("--plot draws a front: give --pareto, such as params,kv-cache")
    if "training_tokens" not in given and any("training_flops" in key for key in given):
        raise click.UsageError("training-flops needs --training-tokens, such as 1T")
    assumed = {key: given[key] for key in ASSUMED if key in given}
    if "training_tokens" in given:
        assumed["training_tokens"] = int(given["training_tokens"].value)
    models: dict[str, Any] = {
        key: config_argument(given[key]) for key in ("base", "like") if key in given
    }
    return task(
        _limits(given),
        config_keys(given),
        goal=_goal(given),
        tolerance=given["tolerance"],
        multiple_of=given["multiple_of"],
        **{k: given[k] for k in ("space", "profile", "free", "time_limit") if k in given},
        **models,
        **assumed,
    )


def _limits(given: dict[str, Any]) -> list[problem.Limit]:
    return [
        problem.Limit(kind, name, amount.value, amount.relative, f"{flag} {amount.text}")
        for name in QUANTITIES
        for kind in ("min", "max", "target")
        if isinstance(amount := given.get(f"{kind}_{name.replace('-', '_')}"), Amount)
        for flag in [f"--{kind}-{name}"]
    ]


def _goal(given: dict[str, Any]) -> Goal | None:
    wanted = [
        (given[key], sense) for key, sense in (("minimize", -1), ("maximize", 1)) if key in given
    ]
    if len(wanted) > 1:
        raise click.UsageError("one of --minimize and --maximize; bound the other, or use --pareto")
    return Goal(QUANTITIES[wanted[0][0]], wanted[0][1]) if wanted else None


def _best(
    task: Task, given: dict[str, Any], output: Path | None, force: bool, format_: str, quiet: bool
) -> None:
    if task.space.free is not None and "count" in given:
        raise click.UsageError("free lists have one best design: leave --count out")
    result = task.search(given.get("count", _CANDIDATES))
    if not result.designs:
        _nothing_fits(task, result, format_)
    if not quiet:
        note(drawn.summary(task.space.name, result, task.goal))
        say(drawn.table(result.designs, task.conditions, task.shown()), err=True)
    _write(task, list(result.designs), result, given, output, force, format_, quiet)


def _pareto(
    task: Task, given: dict[str, Any], output: Path | None, force: bool, format_: str, quiet: bool
) -> None:
    if task.space.free is not None:
        raise click.UsageError("free lists have no --pareto; bound one cost and minimise the other")
    axes = pareto.axes(given["pareto"])
    if "plot" in given:
        plots.check(given["plot"], force)
    front = pareto.front(task, axes)
    result = front.result
    if not front.designs:
        _nothing_fits(task, result, format_)
    if "plot" in given:
        released = [name for name in shipped() if name.startswith("openelm-")]
        known = [(name, geometry(load(name))) for name in released]
        draw = partial(plots.front, front, task.conditions, known)
        plots.save(draw, given["plot"], force)
    chosen = list(front.designs)
    if "count" in given:
        chosen = pareto.spread(front, task.conditions, given["count"])
    if not quiet:
        note(drawn.front_summary(task.space.name, front))
    if output is None and format_ == "yaml":
        names = list(dict.fromkeys([a.quantity.name for a in axes] + task.shown()))
        say(drawn.table(chosen, task.conditions, names))
        return
    _write(task, chosen, result, given, output, force, format_, quiet)


def _write(
    task: Task,
    chosen: list[engine.Design],
    result: engine.Result,
    given: dict[str, Any],
    output: Path | None,
    force: bool,
    format_: str,
    quiet: bool,
) -> None:
    remark = drawn.remark(task.space.name, result, task.goal)
    if not quiet and (loss := unkept(task.config(chosen[0]), format_)):
        note(loss)
    if format_ == "json":
        write(_json(task, chosen, result), output, force)
    elif format_ == "csv":
        write(drawn.csv_text(chosen, task.space.schedule, task.conditions), output, force)
    elif output is None or ("count" not in given and "pareto" not in given):
        config = task.config(chosen[0])
        write(text(config, format_, remark), output, force)
        told(config, given, output, quiet)
    else:
        _write_many(task, chosen, output, force, format_, quiet, remark)


def _write_many(
    task: Task,
    chosen: list[engine.Design],
    folder: Path,
    force: bool,
    format_: str,
    quiet: bool,
    remark: str,
) -> None:
    """Each design to a file of its own: none is written unless all can be."""
    if not folder.is_dir() and (exists(folder) or folder.suffix.lower() in ENDINGS):
        fail(f"{folder}: this is a file; --count and --pareto write into a folder", 2)
    ending = "json" if format_ == "hub" else "yaml"
    stem = task.keys.get("name") or "design"
    if Path(stem).name != stem:
        raise click.UsageError(f"--name {stem} makes no name of a file")
    files = []
    for number, design in enumerate(chosen, start=1):
        config = task.config(design).model_copy(update={"name": f"{stem}-{number:02}"})
        files.append((folder / f"{config.name}.{ending}", text(config, format_, remark)))
    taken = [path for path, _ in files if exists(path)]
    if taken and not force:
        fail(f"{taken[0]}: there is a file already; --force replaces it", 2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{folder}: cannot be made: {error.strerror}", 2)
    for path, content in files:
        write(content, path, force)
    if not quiet:
        note(f"wrote {len(files)} variants to {folder}")


def _json(task: Task, chosen: list[engine.Design], result: engine.Result) -> str:
    configs = [task.config(design) for design in chosen]
    candidates = [
        {
            "rank": rank,
            "costs": drawn.numbers(problem.costs_of(design, task.conditions)),
            "difference": design.difference,
            "config": machine.config_values(config),
            "cost": as_run(config, context_length=task.conditions.context_length).values(),
        }
        for rank, (design, config) in enumerate(zip(chosen, configs, strict=True), start=1)
    ]
    found = {
        "config": candidates[0]["config"],
        "cost": candidates[0]["cost"],
        "candidates": candidates,
        "search": _search_values(task, result),
    }
    return machine.text(found) + "\n"


def _search_values(task: Task, result: engine.Result) -> dict[str, Any]:
    return {
        "space": task.space.model_dump(mode="json", by_alias=True),
        "examined": result.examined,
        "feasible": result.feasible,
        "seconds": round(result.seconds, 3),
        "proven": result.proven,
        "bound": result.bound,
    }


def _nothing_fits(task: Task, result: engine.Result, format_: str) -> NoReturn:
    """Say so as a proof, with the nearest design for each bound given up."""
    found = task.explain() if result.proven else ()
    least = task.least_tolerance(found) if found and task.has_target else None
    if format_ == "json":
        search = _search_values(task, result) | {
            "relaxations": drawn.relaxation_values(found),
            "tolerance": float(task.tolerance) if task.has_target else None,
            "least_tolerance": None if least is None else float(least),
        }
        say(machine.text({"config": None, "cost": None, "candidates": [], "search": search}))
    if not result.proven:
        fail("nothing was found within the time limit, which proves nothing; --time-limit", 1)
    fail(drawn.proof(task, result, found, least), 1)
