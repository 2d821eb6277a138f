"""From what a user asks for to a search, and from a design to a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from elmcfg.config import Config
from elmcfg.field_types import MAX_LAYERS
from elmcfg.geometry import Geometry
from elmcfg.infer import Inference
from elmcfg.scaling import checked
from elmcfg.schedule import is_control_points, multipliers
from elmcfg.search.budgets import QUANTITIES, WEIGHT_BYTES, Bound, Conditions, Shape
from elmcfg.search.engine import Design
from elmcfg.search.space import Space, SpaceSchedule, make_space
from elmcfg.storage import DTYPE_BYTES

_PERCENT = range(80, 121, 5)
# With three points or more, steps of 5 % already make tens of thousands of schedules.
_WIDE_PERCENT = range(40, 201, 1)
_WIDE_PERCENT_OF_MANY = range(40, 201, 5)
_ASPECT_AROUND = (0.6, 1.7)


@dataclass(frozen=True, slots=True)
class Limit:
    """One wish about a cost.

    Attributes:
        kind: ``min``, ``max`` or ``target``.
        quantity: Name of the cost.
        value: In its unit, or a share.
        relative: Whether it is a share of what another model has.
        flag: How it was said.
    """

    kind: str
    quantity: str
    value: Fraction
    relative: bool
    flag: str


def bounds(
    limits: Sequence[Limit], tolerance: Fraction, of_source: Mapping[str, Fraction] | None
) -> tuple[Bound, ...]:
    """One bound per cost, in the order of the limits.

    Args:
        limits: What was asked for; several about one cost hold together.
        tolerance: A target holds within this share of it.
        of_source: What the model has that shares refer to.

    Raises:
        ValueError: If two limits contradict each other, or a share refers to nothing.
    """
    found: dict[str, Bound] = {}
    for limit in limits:
        quantity = QUANTITIES[limit.quantity]
        value = limit.value
        if limit.relative:
            if of_source is None:
                raise ValueError(f"{limit.flag}: a share of what? Name a model with --from")
            value *= of_source[limit.quantity]
        least = value if limit.kind == "min" else None
        most = value if limit.kind == "max" else None
        if limit.kind == "target":
            least, most = value * (1 - tolerance), value * (1 + tolerance)
        known = found.get(quantity.name, Bound(quantity))
        lows = [x for x in (known.least, least) if x is not None]
        highs = [x for x in (known.most, most) if x is not None]
        flag = f"{known.flag} {limit.flag}".strip()
        target = value if limit.kind == "target" else known.target
        bound = Bound(quantity, max(lows, default=None), min(highs, default=None), flag, target)
        if bound.least is not None and bound.most is not None and bound.least > bound.most:
            raise ValueError(f"{flag} contradict each other: no number is both")
        found[quantity.name] = bound
    return tuple(found.values())


def conditions(keys: Mapping[str, Any], **more: Any) -> Conditions:
    """What costs assume, for a model with these keys of a config.

    Args:
        keys: Keys of a config; those not given have their defaults.
        **more: Other fields of :class:`Conditions`; None for the default.
    """
    of_model = {
        key: keys[key]
        for key in (
            "vocab_size",
            "ffn_with_glu",
            "normalize_qk_projections",
            "share_input_output_layers",
        )
        if keys.get(key) is not None
    }
    given = {key: value for key, value in more.items() if value is not None}
    kept = {key: keys[key] for key in ("weight_dtype", "cache_dtype") if keys.get(key)}
    given = kept | given
    given.setdefault("weight_dtype", keys.get("torch_dtype") or "bfloat16")
    given.setdefault("context_length", keys.get("max_context_length") or 2048)
    return Conditions(**of_model, **given)


def dtype_keys(keys: Mapping[str, Any], assumed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys with which a design keeps the dtypes that it is searched with.

    A dtype that a checkpoint can have is that of the design's own, where the user sets no other.

    Args:
        keys: Keys of a config that the user sets.
        assumed: Fields of :class:`Conditions` that the user sets.
    """
    names = tuple(WEIGHT_BYTES)  # of anything else the conditions say what is wrong
    pairs = ((key, assumed.get(key)) for key in ("weight_dtype", "cache_dtype"))
    kept: dict[str, Any] = {key: dtype for key, dtype in pairs if dtype in names}
    dtype = kept.get("weight_dtype")
    if dtype in DTYPE_BYTES and keys.get("torch_dtype") in (None, dtype):
        kept |= {"torch_dtype": dtype, "weight_dtype": None}
    if kept.get("cache_dtype") == "bfloat16":
        kept["cache_dtype"] = None
    return kept


def measured(shape: Geometry, divisor: int, assumed: Conditions) -> dict[str, Fraction]:
    """Every cost of a model that exists.

    Args:
        shape: The model.
        divisor: Of its feed-forward widths.
        assumed: What the costs assume beside it.

    Raises:
        ValueError: If its layers differ in queries per KV head, which the forms do not know.
    """
    groups = {layer.num_query_heads // layer.num_kv_heads for layer in shape.layers}
    if len(groups) > 1:
        raise ValueError("the layers of this model differ in queries per KV head")
    one = Shape(len(shape.layers), shape.model_dim, shape.head_dim, groups.pop(), divisor)
    kv_heads = sum(layer.num_kv_heads for layer in shape.layers)
    units = sum(layer.ffn_dim for layer in shape.layers) // divisor
    return {n: q.value(one, assumed, kv_heads, units) for n, q in QUANTITIES.items()}


def check_keys(keys: Mapping[str, Any]) -> None:
    """See that keys which no design sets are valid, before anything is searched.

    Raises:
        elmcfg.InvalidConfigError: If one is not.
    """
    one = Shape(layers=2, model_dim=64, head_dim=64, queries_per_kv_head=1, divisor=64)
    config_of(Design(one, (1.0,), (1.0,), 2, 2, 0.0), SpaceSchedule(), keys)


def free_axes(shape: Geometry) -> dict[str, Any]:
    """What the layers of a free space around a model choose from: its widths and all between."""
    return {
        key: [sorted({*found, *(round(min(found) + 0.05 * i, 4) for i in range(steps + 1))})]
        for key, found in (
            ("qkv_multipliers", [layer.effective_qkv_multiplier for layer in shape.layers]),
            ("ffn_multipliers", [layer.effective_ffn_multiplier for layer in shape.layers]),
        )
        for steps in [int((max(found) - min(found)) / 0.05)]
    }


def narrowed(
    space: Space, axes: Mapping[str, Any], schedule: Mapping[str, Any], free: str | None = None
) -> Space:
    """A space with some of its values replaced.

    With a depth or a width of one's own, the space's ratio of the two no longer holds. Depths of
    the space that are too shallow for as many control points as are given are left out.
    ``free`` is the order of free lists.

    Raises:
        elmcfg.search.space.SpaceError: If that makes no space.
    """
    values = space.model_dump(by_alias=True, exclude={"name", "description"})
    values |= axes
    if "num_transformer_layers" not in axes:
        points = len(values["qkv_multipliers"]), len(values["ffn_multipliers"])
        values["num_transformer_layers"] = _deep_enough(space.layers, *points)
    values["schedule"] = values["schedule"] | schedule
    if {"num_transformer_layers", "model_dim"} & set(axes):
        values["aspect_ratio"] = None
    if free is not None:
        values["free"] = (values["free"] or {}) | {"order": free}
    if axes or schedule or free is not None:
        return make_space(values)
    return space


def around(config: Config, found: Inference) -> Space:
    """A space of models like this one: its recipe with each control point 80 % to 120 %.

    Up to four times as deep and as wide, at 60 % to 170 % of its width over depth; widths in steps
    of a power of two, at most 64 and at most a sixteenth of the model's.

    Args:
        config: The model.
        found: Its recipe.
    """
    depth, width = config.num_transformer_layers, config.model_dim
    ratio = width / depth
    step = min(64, 2 ** max(0, (width // 16).bit_length() - 1))
    points = len(found.qkv.points), len(found.ffn.points)
    return make_space(
        {
            "name": f"around {config.name or 'the given model'}",
            "num_transformer_layers": _deep_enough(
                range(1, min(4 * depth, MAX_LAYERS) + 1), *points
            ),
            "model_dim": {"from": step, "to": max(step, 4 * width), "step": step},
            "head_dim": config.head_dim,
            "num_gqa_groups": found.queries_per_kv_head,
            "ffn_dim_divisor": config.ffn_dim_divisor,
            "qkv_multipliers": near(found.qkv.points),
            "ffn_multipliers": near(found.ffn.points),
            "aspect_ratio": {"from": ratio * _ASPECT_AROUND[0], "to": ratio * _ASPECT_AROUND[1]},
            "schedule": {
                "decimals": found.ffn.decimals,
                "frame_qkv_multiplier": found.qkv.frame,
                "frame_ffn_multiplier": found.ffn.frame,
            },
        }
    )


def _deep_enough(depths: Sequence[int], *counts: int) -> list[int]:
    """Depths with room for so many control points."""
    return [n for n in depths if all(k == n or is_control_points(k, n) for k in counts)]


def near(points: Sequence[float], *, widely: bool = False) -> list[list[float]]:
    """Values of each control point around what it is.

    Args:
        points: Control points.
        widely: From 40 % to 200 % in steps of 1 % (three points or more: 5 %), for where depth and
            width are fixed, so that the schedule alone has to meet the budget. Else from 80 % to
            120 % in steps of 5 %.
    """
    percents = _PERCENT
    if widely:
        percents = _WIDE_PERCENT if len(points) < 3 else _WIDE_PERCENT_OF_MANY
    return [
        sorted({point, *(max(0.01, round(percent * point / 100, 2)) for percent in percents)})
        for point in points
    ]


def is_allowed(shape: Shape, assumed: Conditions, multiple_of: int) -> bool:
    """Whether every width is a multiple of a number, and quantization leaves no matrix out."""
    widths = (shape.model_dim, shape.head_dim * shape.queries_per_kv_head, shape.divisor)
    if any(width % multiple_of for width in widths):
        return False
    if assumed.cache_dtype.startswith("q") and shape.head_dim % 64:
        return False
    return not assumed.weight_dtype.startswith("q") or shape.is_quantizable()


def written(design: Design, schedule: SpaceSchedule) -> dict[str, Any]:
    """The schedules of a design as keys of a config.

    A config knows straight lines alone: what runs otherwise is written out, one multiplier per
    layer.
    """
    depth = design.shape.layers
    keys: dict[str, Any] = {"qkv_multipliers": design.qkv, "ffn_multipliers": design.ffn}
    if schedule.curve != "linear":
        frames = schedule.frame_qkv_multiplier, schedule.frame_ffn_multiplier
        for (key, points), frame in zip(keys.items(), frames, strict=True):
            if len(points) > 1 or frame is not None:
                keys[key] = multipliers(
                    points, depth, decimals=schedule.decimals, frame=frame, curve=schedule.curve
                )
        return keys
    options = schedule.model_dump(exclude={"curve"})
    if not len(design.qkv) == len(design.ffn) == depth and schedule != SpaceSchedule():
        keys["schedule"] = options
    return keys


def config_of(design: Design, schedule: SpaceSchedule, keys: Mapping[str, Any]) -> Config:
    """The config of a design.

    Args:
        design: A design of a space.
        schedule: The space's.
        keys: Other keys of the config.

    Raises:
        elmcfg.InvalidConfigError: If the other keys are not valid.
    """
    s = design.shape
    values: dict[str, Any] = {
        **keys,
        "num_transformer_layers": s.layers,
        "model_dim": s.model_dim,
        "head_dim": s.head_dim,
        "vocab_size": keys.get("vocab_size", 32000),
        "num_gqa_groups": s.queries_per_kv_head,
        "ffn_dim_divisor": s.divisor,
    }
    values.pop("schedule", None)
    return checked(values | written(design, schedule))


def costs_of(
    design: Design, assumed: Conditions, names: Sequence[str] = tuple(QUANTITIES)
) -> dict[str, Fraction]:
    """The costs of a design, by name."""
    return {name: design.cost(QUANTITIES[name], assumed) for name in names}
