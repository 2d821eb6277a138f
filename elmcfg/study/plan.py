"""What a study compares and how: the plan, as a YAML or JSON file and as a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
)
from pydantic import model_validator as validator
from pydantic_core import PydanticCustomError

from elmcfg import units
from elmcfg.diagnostics import Loc
from elmcfg.document import Document, read_bytes
from elmcfg.field_types import Dtype, PositiveFloat
from elmcfg.hardware import MACHINES
from elmcfg.profiles import profile as named_profile
from elmcfg.proof.device import DeviceName
from elmcfg.search.budgets import quantity
from elmcfg.training.settings import SHARE, CorpusSpec, TrainingSettings, written

Kind = Literal["costs", "proof", "speed", "training"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What can be measured of a variant."""

MAX_JOBS = 1_000_000
MAX_SEEDS = 1_000


class PlanError(ValueError):
    """A plan cannot be used; a line for every problem, with file, line and column.

    Args:
        lines: They may quote what breaks lines, so that they are kept apart.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _speed(value: Any) -> Any:
    """FLOP/s as a number or as text, or the name of a machine."""
    if isinstance(value, str) and value not in MACHINES:
        try:
            return units.rate(value)
        except ValueError as error:
            raise PydanticCustomError(
                "speed",
                "{reason}, or name one of {machines}",
                {"reason": str(error), "machines": ", ".join(MACHINES)},
            ) from None
    if not isinstance(value, str) and (
        not isinstance(value, int | float) or not 0 < value <= units.MOST
    ):
        raise PydanticCustomError("speed", "must be greater than 0, and at most 1e36")
    return value if isinstance(value, str) else float(value)


def _known(check: Any) -> Any:
    def read(value: str) -> str:
        try:
            return str(check(value))
        except ValueError as error:
            raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from None

    return read


Name = Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f]+$")]
Cost = Annotated[StrictStr, BeforeValidator(_known(lambda name: quantity(name).name))]
Profile = Annotated[StrictStr, BeforeValidator(_known(lambda name: named_profile(name).name))]
Seconds = Annotated[float, written(units.duration), Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, written(units.size), Field(gt=0)]
Keys = dict[StrictStr, Any]


class ProfileVariant(_Part):
    """A named schedule, on the study's budget where it has one."""

    profile: Profile = Field(
        description="Name of a profile; 'elmcfg scale --list-profiles' lists them."
    )
    name: Name | None = Field(default=None, description="What to call it; the profile's name.")
    shape: Keys = Field(default={}, description="Keys of the config, over the plan's shape.")


class ScaleVariant(_Part):
    """What ``elmcfg scale`` makes of these flags."""

    scale: Keys = Field(
        description="Flags of elmcfg scale, without dashes in front: a recipe, 'from' and what is "
        "to be other, or a budget, with 'count' for several designs."
    )
    name: Name | None = Field(default=None, description="What to call it.")


class ParetoVariants(_Part):
    """Designs along an exact front, as ``elmcfg scale --pareto COSTS --count N`` gives them."""

    pareto: StrictStr = Field(description="Two or three costs, such as params,kv-cache.")
    count: Annotated[StrictInt, Field(ge=2, le=1000)] = Field(
        default=5, description="How many designs, well spread."
    )
    flags: Keys = Field(default={}, description="Other flags of elmcfg scale.")
    name: Name | None = Field(default=None, description="The stem of their names.")


class FileVariant(_Part):
    """A config from a file, or a shipped one."""

    file: StrictStr = Field(description="Path or name of a config.")
    name: Name | None = Field(default=None, description="What to call it.")


def _form(value: Any) -> str:
    """Which form a variant is meant as, so that only that one's faults are told."""
    if isinstance(value, str):
        return "source"
    keys = value if isinstance(value, Mapping) else getattr(value, "model_fields_set", ())
    return next((key for key in ("profile", "scale", "pareto") if key in keys), "file")


Variant = Annotated[
    Annotated[Annotated[StrictStr, Field(min_length=1)], Tag("source")]
    | Annotated[ProfileVariant, Tag("profile")]
    | Annotated[ScaleVariant, Tag("scale")]
    | Annotated[ParetoVariants, Tag("pareto")]
    | Annotated[FileVariant, Tag("file")],
    Discriminator(_form),
]
_FORMS = ("source", "profile", "scale", "pareto", "file")


class Match(_Part):
    """What the variants must have in common for the comparison to be fair."""

    cost: Cost = Field(default="non-embedding-params", description="What is matched.")
    target: Annotated[float, written(units.count), Field(gt=0)] | None = Field(
        default=None, description="How much of it; null is what the first variant has."
    )
    tolerance: Annotated[float, SHARE, Field(ge=0, lt=1)] = Field(
        default=0.01, description="How far off a variant may be, as a share."
    )


class Proof(_Part):
    """How variants are proven, as by ``elmcfg build-and-run``."""

    shapes_only: bool = Field(default=False, description="Evaluate nothing.")
    device: DeviceName = Field(default="auto", description="Where.")
    dtype: Dtype = Field(default="float32", description="Type of the weights.")
    seq_len: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="Tokens per sequence."
    )
    skip: tuple[StrictStr, ...] = Field(default=(), description="Checks to leave out.")


class Speed(_Part):
    """How fast variants read a prompt and go on from it."""

    device: DeviceName = Field(default="auto", description="Where.")
    dtype: Dtype = Field(default="float32", description="Type of the weights.")
    seq_len: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="Tokens of the prompt; null is 256, or what the context leaves."
    )
    decode_tokens: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(
        default=32, description="Tokens generated after it."
    )
    runs: Annotated[StrictInt, Field(ge=1, le=1000)] = Field(
        default=3, description="Repetitions; the fastest counts."
    )


Rates = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


class Training(TrainingSettings):
    """How variants are trained; several learning rates are a sweep for each variant."""

    learning_rate: PositiveFloat | Rates = Field(  # type: ignore[assignment]
        default=TrainingSettings.model_fields["learning_rate"].default,
        description="Learning rate after the warm-up, or several to try for each variant.",
    )

    @property
    def rates(self) -> tuple[float, ...]:
        """Every learning rate, without repetition."""
        given = self.learning_rate
        return tuple(dict.fromkeys(given if isinstance(given, tuple) else (given,)))

    def at(self, rate: float) -> TrainingSettings:
        """The settings of one run."""
        return TrainingSettings(**{**self.model_dump(), "learning_rate": rate})


class Engine(_Part):
    """Where the jobs run, and what each may take."""

    kind: Literal["local", "dask"] = Field(default="local", description="This machine, or a dask.")
    jobs: Annotated[StrictInt, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Jobs at once on this machine; null is one per two cores, and one on a GPU.",
    )
    scheduler: StrictStr | None = Field(
        default=None,
        description="Such as tcp://10.0.0.1:8786, or tls:// with the certificates that dask's own "
        "configuration names.",
    )
    wait_for_workers: Seconds | None = Field(
        default=None,
        description="Most time in which dask has no worker at all, such as 30min, before a job "
        "that waits for one fails; null is 24h.",
    )
    timeout: Seconds | None = Field(default=None, description="Most time of a job, such as 1h.")
    max_memory: Bytes | None = Field(default=None, description="Most memory of a job: 8GiB.")
    speed: (
        Annotated[float | str, BeforeValidator(_speed, json_schema_input_type=float | str)] | None
    ) = Field(
        default=None,
        description="Sustained FLOP/s for estimates, such as 1TFLOPS, or a machine, such as h100; "
        "null is measured on this one.",
    )

    @validator(mode="after")
    def _reachable(self) -> Self:
        if self.kind == "dask" and self.scheduler is None:
            raise PydanticCustomError(
                "scheduler", "dask needs a scheduler, such as tcp://10.0.0.1:8786"
            )
        if self.scheduler is not None and "kind" not in self.model_fields_set:
            raise PydanticCustomError(
                "scheduler", "a scheduler is dask's; say kind: dask, or kind: local to leave it out"
            )
        return self


def _seeds(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > MAX_SEEDS:
        raise PydanticCustomError("seeds", "must be at most {most}", {"most": MAX_SEEDS})
    return list(range(value))


class Plan(BaseModel):
    """What ``elmcfg study`` does: which variants, what to measure of each, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="elmcfg study plan")

    name: Name = Field(default="study", description="What the study is called.")
    description: StrictStr | None = Field(default=None, description="What it is for.")
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = Field(
        description="Configs by path, folder, pattern or shipped name, profiles, and designs."
    )
    shape: Keys = Field(
        default={}, description="Keys of a config that the profiles share, such as model_dim."
    )
    match: Match | None = Field(
        default=None, description="What the variants are matched on; null compares as they are."
    )
    measure: Annotated[tuple[Kind, ...], Field(min_length=1)] = Field(
        default=("costs",), description="What is measured of each variant."
    )
    seeds: Annotated[
        tuple[Annotated[StrictInt, Field(ge=0, lt=2**63)], ...],
        BeforeValidator(_seeds, json_schema_input_type=int | list[int]),
        Field(min_length=1, max_length=MAX_SEEDS),
    ] = Field(default=(0, 1, 2), description="Of the trainings; a number n is 0 to n - 1.")
    proof: Proof = Field(default=Proof(), description="Settings of the proofs.")
    speed: Speed = Field(default=Speed(), description="Settings of the speeds.")
    training: Training = Field(default=Training(), description="Settings of the trainings.")
    corpus: CorpusSpec = Field(default=CorpusSpec(), description="The text to train on.")
    engine: Engine = Field(default=Engine(), description="Where the jobs run.")

    def values(self) -> dict[str, Any]:
        """Plain values, as the file has them, with what was given alone."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


def read_plan(
    path: Path | None, flags: Mapping[str, Any] | None = None
) -> tuple[Plan, Document | None]:
    """A plan from a file, with flags over it; either may be left out.

    Paths in the file count from its folder.

    Args:
        path: A YAML or JSON file.
        flags: Keys of a plan; mappings go key by key over the file's.

    Returns:
        The plan, and the file's text with its places.

    Raises:
        PlanError: If that makes no plan; a line for every problem.
    """
    document = None if path is None else read_bytes(path, str(path))
    if document is not None and (document.data is None or document.diagnostics):
        raise PlanError(*_of_the_text(document))
    values = _over(document.data or {} if document else {}, flags or {})
    try:
        plan = Plan.model_validate(values)
    except ValidationError as error:
        raise PlanError(*_explained(error, document)) from None
    return plan, document


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[key] = {**inner, **value} if both and inner is not None else value
    return merged


def _of_the_text(document: Document) -> list[str]:
    lines = []
    for found in document.diagnostics:
        place = f":{found.span.line}:{found.span.column}" if found.span else ""
        # The document room's advice on what a config begins with is not about plans.
        remedy = "begin with 'variants: ...'" if found.code == "ELM005" else found.help
        lines.append(f"{document.path}{place}: {found.message}" + (f"; {remedy}" if remedy else ""))
    return lines or [f"{document.path}: not a mapping; begin with 'variants: ...'"]


def _explained(error: ValidationError, document: Document | None) -> list[str]:
    """One line per fault: file, line and column where there are such, key, and what is wrong."""
    from difflib import get_close_matches

    found = []
    for problem in error.errors(include_url=False):
        # The forms' names, which Pydantic puts after the index, are no part of the file.
        place = tuple(
            part
            for i, part in enumerate(problem["loc"])
            if not (i == 2 and problem["loc"][0] == "variants" and part in _FORMS)
            and part not in ("float", "constrained-float")
            and not str(part).startswith("tuple[")
        )
        unknown = problem["type"] == "extra_forbidden"
        span = document.span(place, of_key=unknown) if document else None
        key = ".".join(str(part) for part in place)
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
        if unknown:
            close = get_close_matches(str(place[-1]), _all_keys(), n=1)
            message = "unknown key" + (f"; did you mean {close[0]}?" if close else "")
        elif problem["type"] == "missing":
            message = "missing"
        elif isinstance(problem["input"], int | float | str) and repr(problem["input"]) not in (
            message
        ):
            message += f", not {problem['input']!r}"
        line = place_of(document, place, of_key=unknown) + (f"{key}: {message}" if key else message)
        found.append(((span.line, span.column) if span else (0, 0), line))
    return list(dict.fromkeys(line for _, line in sorted(found)))


def place_of(document: Document | None, loc: Loc, *, of_key: bool = False) -> str:
    """File, line and column of an entry, to stand before what is wrong with it."""
    if document is None:
        return ""
    span = document.span(loc, of_key=of_key)
    return f"{document.path}:{span.line}:{span.column}: " if span else f"{document.path}: "


def _all_keys() -> list[str]:
    parts: tuple[type[BaseModel], ...] = (
        *(Plan, Match, Proof, Speed, Training, CorpusSpec, Engine),
        *(ProfileVariant, ScaleVariant, ParetoVariants, FileVariant),
    )
    return [key for part in parts for key in part.model_fields]
