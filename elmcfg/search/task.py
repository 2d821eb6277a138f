"""One search as a value, and :func:`design`: from what a user asks for to one config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from elmcfg import units
from elmcfg.config import Config, resolve
from elmcfg.geometry import geometry
from elmcfg.infer import infer
from elmcfg.profiles import profile as named_profile
from elmcfg.scaling import context_keys, recipe
from elmcfg.schedule import RELEASED_DECIMALS
from elmcfg.search import problem
from elmcfg.search.budgets import QUANTITIES, Goal, quantity
from elmcfg.search.question import Question
from elmcfg.search.reference import RELEASED, Reference, reference
from elmcfg.search.space import Space, load_space

if TYPE_CHECKING:
    from elmcfg.search.budgets import Bound
    from elmcfg.search.engine import Design, Result
    from elmcfg.search.infeasible import Relaxation

AXES = (
    "num_transformer_layers", "model_dim", "head_dim", "num_gqa_groups", "ffn_dim_divisor",
    "qkv_multipliers", "ffn_multipliers",
)  # fmt: skip
"""Keys of a config that a space gives the values of."""

_UNFRAMED = {"frame_qkv_multiplier": None, "frame_ffn_multiplier": None}

ASSUMED = ("context_length", "batch_size", "cache_dtype", "weight_dtype", "training_tokens")


@dataclass(frozen=True, kw_only=True)
class Task(Question):
    """A search as it was asked for.

    Attributes:
        goal: What is best; None for being like the reference.
        keys: Keys of the configs that no design sets.
        tolerance: A target holds within this share of it.
        bounds_at: The bounds that another tolerance would make.
        time_limit: Of a search of free lists, in seconds of the solver's work; None for its own.
    """

    goal: Goal | None
    keys: Mapping[str, Any]
    tolerance: Fraction
    bounds_at: Callable[[Fraction], tuple[Bound, ...]]
    time_limit: float | None = None

    def search(self, candidates: int = 1) -> Result:
        """Search the space: the best design of each of the best shapes (of free lists, of one)."""
        from elmcfg.search import engine, free

        if self.space.free is None:
            return engine.search(self, self.goal, candidates=candidates)
        return free.search(self, self.goal, **self._limited)

    def explain(self) -> tuple[Relaxation, ...]:
        """Why nothing fits."""
        from elmcfg.search import free, infeasible

        if self.space.free is None:
            return infeasible.explain(self)
        return free.explain(self, **self._limited)

    @property
    def has_target(self) -> bool:
        """Whether a tolerance says anything."""
        return any(bound.target is not None for bound in self.bounds)

    def least_tolerance(self, relaxations: Sequence[Relaxation]) -> Fraction | None:
        """Return the least tolerance with which something fits, if one can help.

        Of free lists only the designs that :meth:`explain` found are looked at.
        """
        from elmcfg.search import engine, infeasible

        def fits(bounds: tuple[Bound, ...]) -> bool:
            return self.space.free is None and bool(
                engine.search(replace(self, bounds=bounds)).designs
            )

        near = [r.nearest for r in relaxations if r.nearest is not None]
        costs = [problem.costs_of(design, self.conditions) for design in near]
        return infeasible.least_tolerance(self.tolerance, self.bounds_at, fits, costs)

    @property
    def _limited(self) -> dict[str, Any]:
        return {} if self.time_limit is None else {"time_limit": self.time_limit}

    def config(self, found: Design) -> Config:
        """The config of a design."""
        config = problem.config_of(found, self.space.schedule, self.keys)
        return config if self.space.free is None else resolve(config)

    def shown(self) -> list[str]:
        """Names of the costs that a table shows."""
        names = ["params", "kv-cache", *(b.quantity.name for b in self.bounds)]
        return list(dict.fromkeys([*names, *([self.goal.quantity.name] if self.goal else [])]))


def task(
    limits: Sequence[problem.Limit] = (),
    keys: Mapping[str, Any] | None = None,
    *,
    goal: Goal | None = None,
    tolerance: Fraction = Fraction(1, 1000),
    space: str | Space | None = None,
    profile: str | None = None,
    base: Config | None = None,
    like: Config | None = None,
    multiple_of: int = 1,
    free: str | None = None,
    time_limit: float | None = None,
    **assumed: Any,
) -> Task:
    """A search.

    Args:
        limits: What a design must keep to.
        keys: Keys of a config. Those of :data:`AXES` may have lists and ranges, as a space has
            them, and go before the space's own.
        goal: What is best; None for being most like ``like``, ``base``, the profile, or the
            released models, the first of them that there is.
        tolerance: A target holds within this share of it.
        space: A space, or the name or file of one. Where not given: around ``base``, or
            ``default``.
        profile: Name of a schedule whose control points are searched around what they are: within
            20 %, or from 40 % to 200 % where depth and width are single numbers.
        base: The model that limits may be shares of, and whose other keys are kept.
        like: The model to be like.
        multiple_of: Every width is a multiple of this.
        free: ``any``, ``rising`` or ``falling``: every layer's widths are chosen on their own
            (:mod:`elmcfg.search.free`). Where no space is given: the space ``free``, or, with
            ``base``, the range of its multipliers.
        time_limit: Of such a search, in seconds of the solver's work.
        **assumed: Fields of :class:`~elmcfg.search.budgets.Conditions`.

    Raises:
        ValueError: If that makes no search.
        FileNotFoundError: If there is no such space.
        elmcfg.InvalidConfigError: If a key is not valid.
    """
    model = dict(keys or {})
    axes = {key: model.pop(key) for key in AXES if key in model}
    schedule = dict(model.pop("schedule", None) or {})
    model |= problem.dtype_keys(model, assumed)
    model |= context_keys(model, base, assumed.get("context_length"))
    problem.check_keys(model)
    if free is not None and profile is not None:
        raise ValueError("a profile is a schedule, and free lists follow none: give one of the two")
    shipped = "default" if free is None else "free"
    searched = space if isinstance(space, Space) else load_space(space or shipped)
    alike, of_base = RELEASED, None
    if base is not None:
        found = infer(base)
        inherited = recipe(base, found)
        model = {k: v for k, v in inherited.items() if k not in (*AXES, "schedule")} | model
        if space is None:
            searched = problem.around(base, found)
        shape = geometry(base)
        if space is None and free is not None:
            axes = problem.free_axes(shape) | axes
            schedule = {"decimals": RELEASED_DECIMALS, **_UNFRAMED} | schedule
        alike = reference(shape, base.name or "the given model")
        of_base = problem.measured(
            shape, base.ffn_dim_divisor, problem.conditions(model, **assumed)
        )
    if profile is not None:
        form = named_profile(profile)
        widely = all(isinstance(axes.get(key), int) for key in AXES[:2])
        points = {"qkv_multipliers": form.qkv, "ffn_multipliers": form.ffn}
        axes = {k: problem.near(p, widely=widely) for k, p in points.items()} | axes
        schedule = {"curve": form.curve, **form.schedule} | schedule
        drawn = form.keys(searched.layers[-1])
        alike = Reference(
            profile, drawn["qkv_multipliers"], drawn["ffn_multipliers"], alike.aspect_ratio
        )
    if like is not None:
        alike = reference(geometry(like), like.name or "the given model")
    conditions = problem.conditions(model, **assumed)
    bounds_at = partial(problem.bounds, limits, of_source=of_base)
    return Task(
        space=problem.narrowed(searched, axes, schedule, free),
        bounds=bounds_at(tolerance),
        tolerance=tolerance,
        bounds_at=bounds_at,
        conditions=conditions,
        reference=alike,
        rule=partial(problem.is_allowed, assumed=conditions, multiple_of=multiple_of),
        goal=goal,
        keys=model,
        time_limit=time_limit,
    )


class NothingFitsError(ValueError):
    """No design of a space keeps to all bounds; the message names the nearest for each of them."""


def design(
    *,
    minimize: str | None = None,
    maximize: str | None = None,
    tolerance: str | float = "0.1%",
    space: str | Space | None = None,
    profile: str | None = None,
    base: Config | None = None,
    like: Config | None = None,
    multiple_of: int = 1,
    free: str | None = None,
    time_limit: float | None = None,
    **wanted: Any,
) -> Config:
    """The best design that keeps to a budget, as ``elmcfg scale`` finds it.

    >>> config = design(profile="tapered", num_transformer_layers=12, model_dim=384, head_dim=32,
    ...                 target_non_embedding_params=20_000_000)

    Args:
        minimize: The cost to minimise; a name in :data:`elmcfg.search.budgets.QUANTITIES`.
        maximize: Or the one to maximise. With neither, see ``like``.
        tolerance: A target holds within this share of it: ``0.001`` or ``"0.1%"``.
        space: As for :func:`task`.
        profile: As for :func:`task`.
        base: As for :func:`task`.
        like: Among equals, or without ``minimize`` and ``maximize`` among all, the design most
            like this model, or else ``base``, the profile, or the released models.
        multiple_of: Every width is a multiple of this.
        free: As for :func:`task`; needs OR-tools.
        time_limit: As for :func:`task`.
        **wanted: Budgets, named as the flags are (``target_params``, ``min_weights``,
            ``max_kv_cache`` ...), as numbers in the cost's unit or as text (``"600M"``,
            ``"48MiB"``, with ``base`` also ``"60%"``); what costs assume (``context_length``,
            ``batch_size``, ``cache_dtype``, ``weight_dtype``, ``training_tokens``); and keys of a
            config, those of :data:`AXES` with one value or, as a space has them, several.

    Raises:
        NothingFitsError: If no design of the space fits, which is then proven.
        ValueError: If that makes no search.
        FileNotFoundError: If there is no such space.
        elmcfg.InvalidConfigError: If a key is not valid.
    """
    found = asked(
        wanted,
        minimize=minimize,
        maximize=maximize,
        tolerance=tolerance,
        space=space,
        profile=profile,
        base=base,
        like=like,
        multiple_of=multiple_of,
        free=free,
        time_limit=time_limit,
    )
    return designs(found)[0]


def designs(task: Task, count: int = 1) -> list[Config]:
    """The best designs of a search, each of a shape of its own; of free lists there is one.

    Raises:
        NothingFitsError: If no design of the space fits, which is then proven.
    """
    result = task.search(count)
    if not result.designs:
        raise _nothing(task, result)
    return [task.config(design) for design in result.designs[:count]]


def asked(
    wanted: Mapping[str, Any],
    *,
    minimize: str | None = None,
    maximize: str | None = None,
    tolerance: str | float = "0.1%",
    **options: Any,
) -> Task:
    """A search as keywords say it.

    Args:
        wanted: As for :func:`design`.
        minimize: As for :func:`design`.
        maximize: As for :func:`design`.
        tolerance: As for :func:`design`.
        **options: As for :func:`task`.

    Raises:
        ValueError: If that makes no search.
        FileNotFoundError: If there is no such space.
        elmcfg.InvalidConfigError: If a key is not valid.
    """
    if minimize is not None and maximize is not None:
        raise ValueError("one of minimize and maximize; bound the other")
    name = minimize or maximize
    goal = None if name is None else Goal(quantity(name), -1 if minimize else 1)
    keys = dict(wanted)
    limits = [limit for key in wanted for limit in _limit(key, keys)]
    assumed = {key: keys.pop(key) for key in ASSUMED if key in keys}
    share = units.fraction(tolerance) if isinstance(tolerance, str) else _exact(tolerance)
    return task(limits, keys, goal=goal, tolerance=share, **options, **assumed)


def _limit(key: str, wanted: dict[str, Any]) -> list[problem.Limit]:
    """The limit that a keyword says, which is then taken out; none for another keyword."""
    kind, _, name = key.partition("_")
    known = QUANTITIES.get(name.replace("_", "-"))
    if kind not in ("min", "max", "target") or known is None:
        return []
    value = wanted.pop(key)
    number = units.amount(value, known.unit) if isinstance(value, str) else _exact(value)
    text = value if isinstance(value, str) else f"{value:,}"
    return [problem.Limit(kind, known.name, number, text.endswith("%"), f"{key} {text}")]


def _exact(value: Any) -> Fraction:
    """A number as it is; plans give whatever stands in a file."""
    try:
        number = Fraction(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not an amount such as '600M' or '48MiB'") from None
    return units.in_range(number)


def _nothing(task: Task, result: Result) -> NothingFitsError:
    if not result.proven:
        return NothingFitsError("nothing found within the time limit, which proves nothing")
    count = "" if result.examined is None else f" {result.examined:,}"
    lines = [f"none of the{count} designs of the space fits"]
    relaxations = task.explain()
    for relaxation in relaxations:
        near, flag = relaxation.value, relaxation.bound.flag
        lines.append(
            f"{flag}: the nearest that keeps to all others is {float(near):,.0f}"
            if near is not None
            else f"{flag}: giving it up does not help"
        )
    least = task.least_tolerance(relaxations) if relaxations and task.has_target else None
    if least is not None:
        lines.append(
            f"tolerance {units.percent(task.tolerance)}: would have to be {units.percent(least)}"
        )
    return NothingFitsError("; ".join(lines))
