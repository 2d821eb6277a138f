"""What is searched: a space of designs, as a value of its own and as a small YAML file.

A design is a depth, a width, a head width, a number of queries per KV head, a divisor, and control
points for both schedules; a space gives the values of each, and holds every combination. The keys
are those of a config, each with a list or a range where the config has a number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
)
from pydantic import model_validator as validator

from elmcfg.document import Document, exists, read_bytes
from elmcfg.field_types import MAX_LAYERS, MAX_SIZE, Multiplier
from elmcfg.schedule import RELEASED_DECIMALS, is_control_points

MAX_VALUES = 10_000
MAX_SCHEDULES = 100_000
MAX_SHAPES = 1_000_000

WholeNumber = Annotated[StrictInt, Field(ge=1, le=MAX_SIZE)]


class SpaceError(ValueError):
    """A space cannot be read, or holds nothing to search; the message names file and key."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


def arithmetic(first: float, last: float, step: float) -> tuple[Decimal, ...]:
    """``first``, ``first + step``, ... up to and including ``last``, in decimal arithmetic.

    Raises:
        ValueError: If the range is empty, endless or too long.
    """
    start, stop, stride = (Decimal(str(x)) for x in (first, last, step))
    if stride <= 0:
        raise ValueError(f"the step of {first}:{last} is {step}, but must be more than zero")
    if stop < start:
        raise ValueError(f"the range {first}:{last} is empty: it ends before it begins")
    if (stop - start) / stride >= MAX_VALUES:
        raise ValueError(f"the range {first}:{last}:{step} has more than {MAX_VALUES:,} values")
    return tuple(start + i * stride for i in range(int((stop - start) / stride) + 1))


class _Range(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @validator(mode="after")
    def _not_empty(self) -> Self:
        self.numbers()
        return self

    def numbers(self) -> tuple[Decimal, ...]:
        """Every value, both ends included."""
        raise NotImplementedError


class WholeRange(_Range):
    """Whole numbers from ``from`` to ``to``, both included, in steps of ``step``."""

    first: WholeNumber = Field(alias="from", description="Least value.")
    last: WholeNumber = Field(alias="to", description="Greatest value.")
    step: WholeNumber = Field(default=1, description="Distance of one value from the next.")

    def numbers(self) -> tuple[Decimal, ...]:
        """Every value, both ends included."""
        return arithmetic(self.first, self.last, self.step)


class MultiplierRange(_Range):
    """Multipliers from ``from`` to ``to``, both included, in steps of ``step``."""

    first: Multiplier = Field(alias="from", description="Least value.")
    last: Multiplier = Field(alias="to", description="Greatest value.")
    step: Multiplier = Field(default=0.05, description="Distance of one value from the next.")

    def numbers(self) -> tuple[Decimal, ...]:
        """Every value, both ends included."""
        return arithmetic(self.first, self.last, self.step)


def _form(value: Any) -> str:
    """Which of the three forms a value is meant as, so that only that one's faults are told."""
    if isinstance(value, dict | _Range):
        return "range"
    return "list" if isinstance(value, list | tuple) else "number"


WholeAxis = Annotated[
    Annotated[WholeNumber, Tag("number")]
    | Annotated[tuple[WholeNumber, ...], Field(min_length=1), Tag("list")]
    | Annotated[WholeRange, Tag("range")],
    Discriminator(_form),
]
MultiplierAxis = Annotated[
    Annotated[Multiplier, Tag("number")]
    | Annotated[tuple[Multiplier, ...], Field(min_length=1), Tag("list")]
    | Annotated[MultiplierRange, Tag("range")],
    Discriminator(_form),
]
Points = Annotated[tuple[MultiplierAxis, ...], Field(min_length=1, max_length=5)]


class Ratio(BaseModel):
    """Bounds of ``model_dim / num_transformer_layers``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: Annotated[float, Field(gt=0, alias="from", allow_inf_nan=False)]
    most: Annotated[float, Field(gt=0, alias="to", allow_inf_nan=False)]


class SpaceSchedule(BaseModel):
    """How control points become one multiplier per layer, as a config's ``schedule``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimals: Annotated[StrictInt, Field(ge=0, le=12)] | None = RELEASED_DECIMALS
    frame_qkv_multiplier: Multiplier | None = None
    frame_ffn_multiplier: Multiplier | None = None
    curve: Literal["linear", "cosine", "plateaus"] = Field(
        default="linear",
        description="What runs through the control points: straight lines, half a cosine from the "
        "first of two to the second, or each held for an equal share of the depth. Configs have "
        "the last two as lists with one multiplier per layer.",
    )


class Free(BaseModel):
    """Each layer's widths are chosen on their own; what neighbours must still keep to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Literal["any", "rising", "falling"] = Field(
        default="any",
        description="Whether no layer may be narrower, or wider, than the last.",
    )
    max_kv_head_jump: WholeNumber | None = Field(
        default=None, description="Most KV heads by which neighbouring layers may differ."
    )
    max_ffn_jump: WholeNumber | None = Field(
        default=None, description="Most channels by which neighbouring FFN widths may differ."
    )


class Space(BaseModel):
    """Every combination of these values is a design.

    Each of the first five is a number, a list, or ``{from, to, step}`` with both ends included;
    the two schedules are lists with one of these per control point (one point is a uniform
    schedule, two are OpenELM's layer-wise scaling).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="elmcfg search space")

    name: StrictStr | None = Field(default=None, description="What the space is called.")
    description: StrictStr | None = Field(default=None, description="What it is for.")
    num_transformer_layers: WholeAxis = Field(description="Depths.")
    model_dim: WholeAxis = Field(description="Widths of the residual stream, in channels.")
    head_dim: WholeAxis = Field(default=64, description="Head widths, in channels; even.")
    num_gqa_groups: WholeAxis = Field(default=4, description="Query heads per KV head.")
    ffn_dim_divisor: WholeAxis = Field(default=256, description="Divisors, in channels.")
    qkv_multipliers: Points = Field(description="Values of each control point.")
    ffn_multipliers: Points = Field(description="Values of each control point.")
    aspect_ratio: Ratio | None = Field(
        default=None, description="Bounds of model_dim / num_transformer_layers."
    )
    schedule: SpaceSchedule = Field(default=SpaceSchedule(), description="Rounding and frame.")
    free: Free | None = Field(
        default=None,
        description="With it, every layer chooses freely among the values of the one entry of "
        "each schedule; OR-tools searches such a space.",
    )

    @validator(mode="after")
    def _searchable(self) -> Self:
        if any(h % 2 for h in self.head_dims):
            raise ValueError("head_dim must be even: RoPE turns channels in pairs")
        sizes = (self.layers, self.model_dims, self.head_dims, self.queries_per_kv_head)
        shapes = math.prod(map(len, (*sizes, self.divisors)))
        if shapes > MAX_SHAPES:
            raise ValueError(
                f"{shapes:,} combinations of depth, width, head_dim, num_gqa_groups and "
                f"ffn_dim_divisor; at most {MAX_SHAPES:,} are searched: take larger steps"
            )
        if self.layers[-1] > MAX_LAYERS:
            raise ValueError(f"num_transformer_layers goes up to {MAX_LAYERS:,} in a search")
        for key, axes in (("qkv_multipliers", self.qkv), ("ffn_multipliers", self.ffn)):
            if self.schedule.curve == "cosine" and len(axes) > 2:
                raise ValueError(f"{key} has {len(axes)} control points, but a cosine has two")
            for depth in self.layers:
                if len(axes) != depth and not is_control_points(len(axes), depth):
                    raise ValueError(
                        f"{key} has {len(axes)} control points, too many for {depth} layers"
                    )
            if math.prod(len(axis) for axis in axes) > MAX_SCHEDULES:
                raise ValueError(
                    f"{key} gives more than {MAX_SCHEDULES:,} schedules; take larger steps"
                )
        if self.free is not None:
            self._check_free()
        if not any(True for _ in self.shapes()):
            raise ValueError("aspect_ratio leaves no combination of depth and width")
        return self

    def _check_free(self) -> None:
        for key, axes in (("qkv_multipliers", self.qkv), ("ffn_multipliers", self.ffn)):
            if len(axes) != 1:
                raise ValueError(
                    f"{key} has {len(axes)} entries, but a free space has one: the values that "
                    "each layer chooses from, such as 0.5:4:0.1"
                )
        if self.schedule.model_copy(update={"decimals": RELEASED_DECIMALS}) != SpaceSchedule():
            raise ValueError("free lists have no frame and no curve: leave schedule out")

    @property
    def layers(self) -> tuple[int, ...]:
        """Depths, ascending."""
        return _whole(self.num_transformer_layers)

    @property
    def model_dims(self) -> tuple[int, ...]:
        """Widths, ascending."""
        return _whole(self.model_dim)

    @property
    def head_dims(self) -> tuple[int, ...]:
        """Head widths, ascending."""
        return _whole(self.head_dim)

    @property
    def queries_per_kv_head(self) -> tuple[int, ...]:
        """Query heads per KV head, ascending."""
        return _whole(self.num_gqa_groups)

    @property
    def divisors(self) -> tuple[int, ...]:
        """Divisors of the feed-forward widths, ascending."""
        return _whole(self.ffn_dim_divisor)

    @property
    def qkv(self) -> tuple[tuple[float, ...], ...]:
        """Values of each control point of the QKV schedule."""
        return tuple(_multipliers(axis) for axis in self.qkv_multipliers)

    @property
    def ffn(self) -> tuple[tuple[float, ...], ...]:
        """Values of each control point of the FFN schedule."""
        return tuple(_multipliers(axis) for axis in self.ffn_multipliers)

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Pairs of depth and width, those outside ``aspect_ratio`` left out."""
        ratio = self.aspect_ratio
        for depth, width in itertools.product(self.layers, self.model_dims):
            if ratio is None or ratio.least <= Fraction(width, depth) <= ratio.most:
                yield depth, width

    @property
    def size(self) -> int:
        """Number of designs, those of free lists left out."""
        return (
            sum(1 for _ in self.shapes())
            * len(self.head_dims)
            * len(self.queries_per_kv_head)
            * len(self.divisors)
            * math.prod(len(axis) for axis in (*self.qkv, *self.ffn))
        )


def _whole(axis: Any) -> tuple[int, ...]:
    values = axis.numbers() if isinstance(axis, WholeRange) else axis
    return tuple(sorted({int(v) for v in (values if isinstance(values, tuple) else (values,))}))


def _multipliers(axis: Any) -> tuple[float, ...]:
    values = axis.numbers() if isinstance(axis, MultiplierRange) else axis
    return tuple(sorted({float(v) for v in (values if isinstance(values, tuple) else (values,))}))


def shipped_spaces() -> dict[str, Path]:
    """The shipped spaces by name."""
    folder = Path(__file__).parent.parent / "spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(source: str) -> Space:
    """A space from a YAML or JSON file, or a shipped one by its name.

    Raises:
        FileNotFoundError: If there is neither.
        SpaceError: If the file is not a space; names file, line and key.
    """
    path = Path(source)
    if not exists(path):
        shipped = shipped_spaces()
        if source not in shipped:
            raise FileNotFoundError(
                f"{source}: no such file, and no shipped space (there are {', '.join(shipped)})"
            )
        path = shipped[source]
    document = read_bytes(path, source)
    if document.data is None or document.diagnostics:
        first = document.diagnostics[0]
        line = f":{first.span.line}" if first.span else ""
        raise SpaceError(f"{source}{line}: {first.message}; {first.help}")
    return make_space(document.data, document)


def make_space(values: dict[str, Any], document: Document | None = None) -> Space:
    """A space from plain values.

    Args:
        values: The keys.
        document: The file that they are from.

    Raises:
        SpaceError: If they make none; names the key, and of a file the line.
    """
    try:
        return Space.model_validate(values)
    except ValidationError as error:
        raise SpaceError(*_explained(error, document)) from None


def _explained(error: ValidationError, document: Document | None) -> list[str]:
    """One line per fault: file and line where there are such, key, and what is wrong."""
    lines = []
    problems = error.errors(include_url=False)
    deeper = {problem["loc"][:1] for problem in problems if len(problem["loc"]) > 1}
    for problem in problems:
        if problem["type"] == "too_short" and problem["loc"] in deeper:
            continue  # a list is "empty" because its entries have faults of their own
        # The forms' names are no part of the file.
        place = tuple(p for p in problem["loc"] if p not in ("number", "list", "range"))
        span = document.span(place) if document else None
        line = f":{span.line}" if span else ""
        where = f"{document.path}{line}: " if document else ""
        key = ".".join(str(part) for part in place)
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
        elif isinstance(problem["input"], int | float | str):
            message += f", not {problem['input']!r}"
        lines.append(where + (f"{key}: {message}" if key else message))
    return lines
