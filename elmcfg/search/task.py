"""One search as a value, and :func:`design`: from what a user asks for to one config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from elmcfg import units
from elmcfg.config import Config
from elmcfg.geometry import geometry
from elmcfg.infer import infer
from elmcfg.profiles import profile as named_profile
from elmcfg.scaling import recipe
from elmcfg.search import problem
from elmcfg.search.budgets import QUANTITIES, Bound, Conditions, Goal, Shape, quantity
from elmcfg.search.reference import RELEASED, Reference, reference
from elmcfg.search.space import Space, load_space

if TYPE_CHECKING:
    from elmcfg.search.engine import Design

AXES = (
    "num_transformer_layers", "model_dim", "head_dim", "num_gqa_groups", "ffn_dim_divisor",
    "qkv_multipliers", "ffn_multipliers",
)  # fmt: skip
"""Keys of a config that a space gives the values of."""

ASSUMED = ("context_length", "batch_size", "cache_dtype", "weight_dtype", "training_tokens")


@dataclass(frozen=True)
class Task:
    """A search as it was asked for.

    Attributes:
        space: What is searched.
        bounds: What must hold.
        goal: What is best; None for being like the reference.
        conditions: What costs assume.
        reference: The shape to be like.
        keys: Keys of the configs that no design sets.
        multiple_of: Every width is a multiple of this.
    """

    space: Space
    bounds: tuple[Bound, ...]
    goal: Goal | None
    conditions: Conditions
    reference: Reference
    keys: Mapping[str, Any]
    multiple_of: int

    def rule(self, shape: Shape) -> bool:
        """Whether a shape is allowed."""
        return problem.is_allowed(shape, self.conditions, self.multiple_of)

    def config(self, found: Design) -> Config:
        """The config of a design."""
        return problem.config_of(found, self.space.schedule, self.keys)

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
        **assumed: Fields of :class:`~elmcfg.search.budgets.Conditions`.

    Raises:
        ValueError: If that makes no search.
        FileNotFoundError: If there is no such space.
        elmcfg.InvalidConfigError: If a key is not valid.
    """
    model = dict(keys or {})
    axes = {key: model.pop(key) for key in AXES if key in model}
    schedule = dict(model.pop("schedule", None) or {})
    problem.check_keys(model)
    searched = space if isinstance(space, Space) else load_space(space or "default")
    alike, of_base = RELEASED, None
    if base is not None:
        found = infer(base)
        inherited = recipe(base, found)
        model = {k: v for k, v in inherited.items() if k not in (*AXES, "schedule")} | model
        if space is None:
            searched = problem.around(base, found)
        shape = geometry(base)
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
    return Task(
        space=problem.narrowed(searched, axes, schedule),
        bounds=problem.bounds(limits, tolerance, of_base),
        goal=goal,
        conditions=problem.conditions(model, **assumed),
        reference=alike,
        keys=model,
        multiple_of=multiple_of,
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
    from elmcfg.search import engine

    if minimize is not None and maximize is not None:
        raise ValueError("one of minimize and maximize; bound the other")
    name = minimize or maximize
    limits = [limit for key in list(wanted) for limit in _limit(key, wanted)]
    share = units.fraction(tolerance) if isinstance(tolerance, str) else Fraction(tolerance)
    asked = task(
        limits,
        {key: value for key, value in wanted.items() if key not in ASSUMED},
        goal=None if name is None else Goal(quantity(name), -1 if minimize else 1),
        tolerance=share,
        space=space,
        profile=profile,
        base=base,
        like=like,
        multiple_of=multiple_of,
        **{key: wanted[key] for key in ASSUMED if key in wanted},
    )
    options = {
        "conditions": asked.conditions, "reference": asked.reference, "rule": asked.rule,
    }  # fmt: skip
    result = engine.search(asked.space, asked.bounds, asked.goal, **options)
    if not result.designs:
        raise _nothing(asked, result.examined, options)
    return asked.config(result.designs[0])


def _limit(key: str, wanted: dict[str, Any]) -> list[problem.Limit]:
    """The limit that a keyword says, which is then taken out; none for another keyword."""
    kind, _, name = key.partition("_")
    known = QUANTITIES.get(name.replace("_", "-"))
    if kind not in ("min", "max", "target") or known is None:
        return []
    value = wanted.pop(key)
    text = value if isinstance(value, str) else f"{value:,}"
    number = units.amount(value, known.unit) if isinstance(value, str) else Fraction(value)
    return [problem.Limit(kind, known.name, number, text.endswith("%"), f"{key} {text}")]


def _nothing(asked: Task, examined: int, options: Mapping[str, Any]) -> NothingFitsError:
    from elmcfg.search.infeasible import explain

    lines = [f"none of the {examined:,} designs of the space fits"]
    for relaxation in explain(asked.space, asked.bounds, **options):
        near, flag = relaxation.value, relaxation.bound.flag
        lines.append(
            f"{flag}: the nearest that keeps to all others is {float(near):,.0f}"
            if near is not None
            else f"{flag}: giving it up does not help"
        )
    return NothingFitsError("; ".join(lines))
