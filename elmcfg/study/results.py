"""A study's folder, finished or not, to one value: its variants, and the last word on every job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from elmcfg.config import Config
from elmcfg.document import read_regular
from elmcfg.geometry import Geometry, geometry
from elmcfg.study import folder as files
from elmcfg.study.journal import Journal
from elmcfg.study.records import (
    CostValues,
    Count,
    ErrorValues,
    MatchValues,
    Name,
    Number,
    ResultValues,
    Trained,
)
from elmcfg.study.verdict import Trial


class NotAStudyError(ValueError):
    """A folder is no study's, or what it holds cannot be read; the message says what to do."""


class Variant(BaseModel):
    """A variant as ``study.json`` has it.

    Attributes:
        name: Its name in the study.
        source: Where it came from: a file, a profile, a search.
        config: The released config's keys, the lists written out.
        cost: As ``show --format json`` gives it.
        deviation: Relative distance of the matched cost from the target, such as 0.004; None where
            nothing is matched.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name
    source: Any = None
    config: dict[str, Any]
    cost: CostValues
    deviation: Number | None = None

    def shape(self) -> Geometry:
        """The integers of every layer."""
        return geometry(Config.model_validate(self.config))


class Job(BaseModel):
    """A job as ``study.json`` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: Name
    kind: Name
    variant: Name
    seed: Count | None = None
    learning_rate: Number | None = None


class Run(Job):
    """The record of a job that counts.

    Attributes:
        status: ``done``, ``diverged`` or ``failed``.
        error: Type, message, signal and last step, where it failed.
        result: What was measured, by kind.
        seconds: Wall-clock seconds.
        attempt: Which try it was, from 1.
        host: Name of the machine.
        device: What MLX computed on, for people; None where it did not.
        versions: Of elmcfg, MLX and Python.
    """

    status: Name
    error: ErrorValues | None = None
    result: ResultValues | None = None
    seconds: Number = 0.0
    attempt: Count = 1
    host: str | None = None
    device: str | None = None
    versions: dict[str, Any] = {}

    def trial(self) -> Trial:
        """The training, for comparison.

        Raises:
            NotAStudyError: If the result is not a training's.
        """
        try:
            trained = Trained.model_validate(self.result)
        except ValidationError as error:
            raise self._damaged(_first(error)) from error
        # The journal's own rate: a sweep's jobs are told apart by it.
        rate = trained.learning_rate if self.learning_rate is None else self.learning_rate
        if self.seed is None or rate is None:
            raise self._damaged("it has no seed or learning rate")
        return Trial(self.variant, self.seed, rate, trained.bits_per_byte, trained.validation)

    def _damaged(self, reason: str) -> NotAStudyError:
        return NotAStudyError(
            f"journal.jsonl: the training {self.key} of {self.variant} is not a whole result "
            f"({reason}); run the study again with --resume after removing that line"
        )


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int
    name: Name
    match: MatchValues | None = None
    variants: tuple[Variant, ...] = Field(min_length=1)
    jobs: tuple[Job, ...]
    settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = {variant.name for variant in self.variants}
        if len(names) < len(self.variants):
            raise ValueError("two variants have one name")
        stray = next((job for job in self.jobs if job.variant not in names), None)
        if stray is not None:
            raise ValueError(f"the job {stray.key} is of {stray.variant}, which is no variant")
        return self


@dataclass(frozen=True)
class Results:
    """A study as far as it has come.

    Attributes:
        name: The study's.
        match: The cost the variants were matched on, with target and tolerance; None if they were
            not.
        settings: Of training, corpus and engine, as the plan gave them.
        variants: In the plan's order.
        runs: Of jobs that have a record, in the plan's order.
        missing: Jobs without a record.
        remarks: What was passed over when reading: torn lines, records of other jobs.
    """

    name: str
    match: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    variants: tuple[Variant, ...]
    runs: tuple[Run, ...]
    missing: tuple[Job, ...]
    remarks: tuple[str, ...]

    def of(self, kind: str, variant: str | None = None) -> tuple[Run, ...]:
        """The runs of one kind, of one variant or all."""
        return tuple(r for r in self.runs if r.kind == kind and variant in (None, r.variant))

    def trials(self) -> list[Trial]:
        """The trainings that came to their end.

        Raises:
            NotAStudyError: If one of them is not a whole result, or stands there twice.
        """
        trials = [run.trial() for run in self.of("training") if run.status == "done"]
        seen: set[tuple[str, int, float]] = set()
        for trial in trials:
            job = (trial.variant, trial.seed, trial.learning_rate)
            if job in seen:
                raise NotAStudyError(
                    f"study.json: {trial.variant} has two trainings with seed {trial.seed} and "
                    f"learning rate {trial.learning_rate:g}"
                )
            seen.add(job)
        return trials


def read_results(folder: Path) -> Results:
    """Read a study's folder.

    Which record of a job counts, and which lines are none, :mod:`elmcfg.study.journal` says; what
    was passed over is told in the remarks.

    Raises:
        NotAStudyError: If the folder is no study's, ``study.json`` is damaged or of a format not
            known here, or there is no record yet.
    """
    header = _header(folder / files.STUDY)
    path = folder / files.JOURNAL
    try:
        journal = Journal(path)
    except OSError as error:
        raise NotAStudyError(f"{path} cannot be read: {error.strerror}") from error
    records = journal.records()
    damaged = journal.damaged
    names = {variant.name for variant in header.variants}
    runs: dict[str, Run] = {}
    for job in header.jobs:
        if job.key in records:
            try:
                run = Run.model_validate(records[job.key])
            except ValidationError:
                damaged += 1
                continue
            if run.kind == job.kind and run.variant in names:
                runs[job.key] = run
            else:
                damaged += 1
    passed_over = {
        "damaged lines": damaged,
        "records of jobs that the plan no longer has": len(
            records.keys() - {job.key for job in header.jobs}
        ),
    }
    if not runs:
        raise NotAStudyError(
            f"{folder}: the journal has no finished job yet; "
            f"elmcfg study --resume {folder} goes on with the study"
        )
    return Results(
        name=header.name,
        match=header.match,
        settings=header.settings,
        variants=header.variants,
        # Where two variants are one model, a record is of both.
        runs=tuple(
            runs[job.key].model_copy(update={"variant": job.variant})
            for job in header.jobs
            if job.key in runs
        ),
        missing=tuple(job for job in header.jobs if job.key not in runs),
        remarks=tuple(
            f"{n} {what} in the journal passed over" for what, n in passed_over.items() if n
        ),
    )


def _header(path: Path) -> _Header:
    try:
        values = from_json(read_regular(path, files.MAX_STUDY_BYTES))
        header = _Header.model_validate(values)
        for variant in header.variants:
            variant.shape()
    except (FileNotFoundError, NotADirectoryError):
        raise NotAStudyError(
            f"{path.parent} is not a study's folder: it has no study.json; "
            "elmcfg study PLAN.yaml -o DIR makes one"
        ) from None
    except ValidationError as error:
        raise NotAStudyError(f"{path}: {_first(error)}") from error
    except (OSError, ValueError) as error:
        raise NotAStudyError(f"{path} cannot be read: {error}") from error
    if header.format != files.FORMAT:
        raise NotAStudyError(
            f"{path} has format {header.format!r}, and this elmcfg reads format {files.FORMAT}; "
            "use the elmcfg that made it"
        )
    return header


def _first(error: ValidationError) -> str:
    """Return the first of the problems: where it is, and what."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def spread(values: Sequence[float]) -> float:
    """How far apart positive values lie: the greatest over the least, less one."""
    return max(values) / min(values) - 1 if values and min(values) > 0 else 0.0
