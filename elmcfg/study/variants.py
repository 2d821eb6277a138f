"""The plan's variants as named configs, and how far each is from the budget of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from elmcfg.config import Config, resolve
from elmcfg.costs import Cost, cost
from elmcfg.diagnostics import InvalidConfigError
from elmcfg.document import Document
from elmcfg.geometry import geometry
from elmcfg.linter import check
from elmcfg.scaling import scale
from elmcfg.search.budgets import quantity
from elmcfg.sources import SourceNotFoundError, discover, shipped
from elmcfg.study import designs
from elmcfg.study.plan import FileVariant, ParetoVariants, Plan, PlanError, ProfileVariant, place_of


@dataclass(frozen=True)
class Named:
    """A variant of a study.

    Attributes:
        name: Unique in the study.
        source: Where it comes from, in words.
        config: What it is, with the lists written out.
        deviation: Distance from the budget as a share of it; None without a budget.
    """

    name: str
    source: str
    config: Config
    deviation: float | None = None

    @cached_property
    def values(self) -> dict[str, Any]:
        """The config as plain values, which its jobs share."""
        return self.config.model_dump(mode="json")

    @cached_property
    def cost(self) -> Cost:
        """What it costs."""
        return cost(self.config)


def variants(
    plan: Plan, folder: Path, document: Document | None = None
) -> tuple[tuple[Named, ...], float | None]:
    """Every variant of a plan, and the budget that they are matched on.

    Args:
        plan: The plan.
        folder: What its paths count from.
        document: Its text, to say where a fault stands.

    Returns:
        The variants, in the plan's order, and the budget in its cost's unit; None without one.

    Raises:
        PlanError: If one does not build; a line for every problem.
    """
    found: list[tuple[str | None, str, Config]] = []
    faults: list[str] = []
    for index, entry in enumerate(plan.variants):
        where = f"{place_of(document, ('variants', index))}variants.{index}: "
        try:
            found += _of_entry(entry, plan, folder)
        except InvalidConfigError as error:
            faults += [where + line.removeprefix("scale: ") for line in str(error).splitlines()]
        except (ValueError, FileNotFoundError, TypeError) as error:
            faults += [where + line for line in getattr(error, "lines", [str(error)])]
    if faults:
        raise PlanError(*faults)
    named = _named(found)
    if plan.match is None:
        return tuple(named), None
    costs = [_cost(one.config, plan.match.cost) for one in named]
    budget = plan.match.target or costs[0]
    return tuple(
        replace(one, deviation=had / budget - 1) for one, had in zip(named, costs, strict=True)
    ), budget


def unmatched(found: tuple[Named, ...], tolerance: float) -> tuple[Named, ...]:
    """Those that are further from the budget than is tolerated."""
    return tuple(v for v in found if v.deviation is not None and abs(v.deviation) > tolerance)


def _of_entry(entry: Any, plan: Plan, folder: Path) -> Iterator[tuple[str | None, str, Config]]:
    if isinstance(entry, ProfileVariant):
        yield entry.name or entry.profile, f"profile {entry.profile}", _profile(entry, plan)
    elif isinstance(entry, str):
        yield from ((None, source, config) for source, config in _files(entry, folder))
    elif isinstance(entry, FileVariant):
        yield from ((entry.name, source, config) for source, config in _files(entry.file, folder))
    elif isinstance(entry, ParetoVariants):
        found = designs.front(entry.pareto, entry.count, {**plan.shape, **entry.flags}, folder)
        yield from _numbered(entry.name or "front", f"pareto {entry.pareto}", found)
    else:
        found = designs.scaled(entry.scale, folder)
        source = f"scale {designs.told(entry.scale)}"
        if len(found) == 1:
            yield entry.name, source, found[0]
        else:
            yield from _numbered(entry.name or "design", source, found)


def _numbered(
    stem: str, source: str, found: list[Config]
) -> Iterator[tuple[str | None, str, Config]]:
    for number, config in enumerate(found, start=1):
        yield f"{stem}-{number:02}", source, config


def _profile(entry: ProfileVariant, plan: Plan) -> Config:
    keys = {**plan.shape, **entry.shape}
    if plan.match is None or plan.match.target is None:
        return scale(**keys, profile=entry.profile)
    from elmcfg.search.task import NothingFitsError, design

    budget: dict[str, Any] = {f"target_{plan.match.cost.replace('-', '_')}": int(plan.match.target)}
    try:
        return design(profile=entry.profile, tolerance=plan.match.tolerance, **keys, **budget)
    except NothingFitsError as error:
        raise ValueError(
            f"profile {entry.profile} does not reach the budget; change shape, or widen the "
            f"tolerance: {error}"
        ) from None


def _files(source: str, folder: Path) -> Iterator[tuple[str, Config]]:
    try:
        documents = list(discover([designs.located(source, folder, shipped())]))
    except SourceNotFoundError as error:
        raise ValueError(str(error)) from None
    faults: list[Any] = []
    configs = []
    for document in documents:
        config, diagnostics = check(document)
        if config is None:
            faults += diagnostics
        else:
            configs.append((document.path, config))
    if faults:
        raise InvalidConfigError(faults)
    yield from configs


def _named(found: list[tuple[str | None, str, Config]]) -> list[Named]:
    taken: set[str] = set()
    named = []
    for wanted, source, config in found:
        stem = wanted or config.name or Path(source).stem
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        named.append(Named(name, source, resolve(config)))
    return named


def _cost(config: Config, name: str) -> float:
    from elmcfg.search import problem  # numpy is for those who match or search

    assumed = problem.conditions(config.model_dump())
    return float(
        problem.measured(geometry(config), config.ffn_dim_divisor, assumed)[quantity(name).name]
    )
