"""A study's folder, finished or not, to one value: its variants, and the last word on every job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from elmcfg.config import Config
from elmcfg.document import read_regular
from elmcfg.geometry import Geometry, geometry
from elmcfg.study import folder as files
from elmcfg.study.journal import Journal
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

    name: str
    source: Any = None
    config: dict[str, Any]
    cost: dict[str, Any]
    deviation: float | None = None

    def shape(self) -> Geometry:
        """The integers of every layer."""
        return geometry(Config.model_validate(self.config))


class Job(BaseModel):
    """A job as ``study.json`` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    kind: str
    variant: str
    seed: int | None = None
    learning_rate: float | None = None


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

    status: str
    error: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    seconds: float = 0.0
    attempt: int = 1
    host: str | None = None
    device: str | None = None
    versions: dict[str, Any] = {}

    def trial(self) -> Trial:
        """The training, for comparison.

        Raises:
            NotAStudyError: If the result is not a training's.
        """
        try:
            if self.result is None or self.seed is None:
                raise KeyError("result")
            # The journal's own rate: a sweep's jobs are told apart by it.
            rate = self.learning_rate
            return Trial(
                variant=self.variant,
                seed=self.seed,
                learning_rate=float(self.result["learning_rate"] if rate is None else rate),
                bits_per_byte=float(self.result["bits_per_byte"]),
                validation=tuple((int(s), float(b)) for s, b in self.result["validation"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NotAStudyError(
                f"journal.jsonl: the training {self.key} of {self.variant} is not a whole result "
                f"({error}); run the study again with --resume after removing that line"
            ) from error


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int
    name: str
    match: dict[str, Any] | None = None
    variants: tuple[Variant, ...]
    jobs: tuple[Job, ...]
    settings: dict[str, Any] = {}


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
            NotAStudyError: If one of them is not a whole result.
        """
        return [run.trial() for run in self.of("training") if run.status == "done"]


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
    runs: dict[str, Run] = {}
    for job in header.jobs:
        if job.key in records:
            try:
                runs[job.key] = Run.model_validate(records[job.key])
            except ValidationError:
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
        runs=tuple(runs[job.key] for job in header.jobs if job.key in runs),
        missing=tuple(job for job in header.jobs if job.key not in runs),
        remarks=tuple(
            f"{n} {what} in the journal passed over" for what, n in passed_over.items() if n
        ),
    )


def _header(path: Path) -> _Header:
    try:
        values = json.loads(read_regular(path, files.MAX_STUDY_BYTES))
        header = _Header.model_validate(values)
        for variant in header.variants:
            variant.shape()
    except (FileNotFoundError, NotADirectoryError):
        raise NotAStudyError(
            f"{path.parent} is not a study's folder: it has no study.json; "
            "elmcfg study PLAN.yaml -o DIR makes one"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NotAStudyError(f"{path}: {where or 'a config'}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise NotAStudyError(f"{path} cannot be read: {error}") from error
    if header.format != files.FORMAT:
        raise NotAStudyError(
            f"{path} has format {header.format!r}, and this elmcfg reads format {files.FORMAT}; "
            "use the elmcfg that made it"
        )
    return header


def spread(values: Sequence[float]) -> float:
    """How far apart positive values lie: the greatest over the least, less one."""
    return max(values) / min(values) - 1 if values and min(values) > 0 else 0.0
