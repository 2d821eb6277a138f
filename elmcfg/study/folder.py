"""The files of a study: its plan, what the plan came to, the journal, and checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from elmcfg import __version__
from elmcfg.document import dump_yaml, exists, is_temporary, read_regular, write_atomically

if TYPE_CHECKING:
    from elmcfg.study.jobs import Job
    from elmcfg.study.plan import Plan
    from elmcfg.study.variants import Named

PLAN, STUDY, JOURNAL, CLAIMS, CHECKPOINTS = (
    "plan.yaml", "study.json", "journal.jsonl", "claims.lock", "checkpoints",
)  # fmt: skip
DASK_LOG = "dask.log"
_OWN = (PLAN, STUDY, JOURNAL, CLAIMS, CHECKPOINTS)

MAX_STUDY_BYTES = 2**28
"""Largest ``study.json`` that is read; one of a million jobs has some 150 MB."""

FORMAT = 1
"""The format of ``study.json``, a number that changes when a reader of the old would misread it."""


class StudyFolderError(ValueError):
    """A folder cannot be used; the message says what to do."""


def prepare(folder: Path, *, resume: bool) -> None:
    """See that a study can be written there.

    Raises:
        StudyFolderError: If there is something else, or a study that is not to be resumed.
    """
    if exists(folder) and not folder.is_dir():
        raise StudyFolderError(f"{folder}: this is a file; name a folder")
    if exists(folder):
        # A study that could not begin, for want of room, has left no more than these.
        others = [path for path in folder.iterdir() if not _is_own(path.name)]
        if others and not (folder / STUDY).is_file():
            raise StudyFolderError(f"{folder}: there are other files already; name a new folder")
        if (folder / STUDY).is_file() and not resume:
            raise StudyFolderError(
                f"{folder}: there is a study already; go on with it by --resume, or name another"
            )
    try:
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyFolderError(f"{folder}: cannot be made: {error.strerror}") from None


def _is_own(name: str) -> bool:
    """Return whether a study writes a file of this name, or one on its way to it."""
    return name in _OWN or any(is_temporary(name, own) for own in _OWN)


def write(
    folder: Path,
    plan: Plan,
    found: tuple[Named, ...],
    budget: float | None,
    todo: list[Job],
    base: Path,
) -> None:
    """Write plan.yaml and study.json, which remembers the folder that the plan's paths count from.

    Raises:
        OSError: If they cannot be written; the message says what to do.
    """
    values = study_values(plan, found, budget, todo)
    values["settings"]["folder"] = str(base.absolute())
    text = to_json(values, indent=1).decode() + "\n"
    try:
        write_atomically(folder / PLAN, dump_yaml(plan.values()), overwrite=True)
        write_atomically(folder / STUDY, text, overwrite=True)
    except OSError as error:
        raise OSError(
            f"{folder}: cannot be written: {error.strerror}; make room, or name another folder"
        ) from error


def study_values(
    plan: Plan, found: tuple[Named, ...], budget: float | None, todo: list[Job]
) -> dict[str, Any]:
    """What study.json holds."""
    match = None
    if plan.match is not None:
        match = {**plan.match.model_dump(mode="json"), "target": budget}
        match["matched"] = all(abs(v.deviation or 0.0) <= plan.match.tolerance for v in found)
    return {
        "format": FORMAT,
        "version": __version__,
        "name": plan.name,
        "match": match,
        "variants": [
            {
                "name": v.name,
                "source": v.source,
                "config": v.values,
                "cost": v.cost.values(),
                "deviation": v.deviation,
            }
            for v in found
        ],
        "jobs": [
            {
                "key": job.key,
                "kind": job.kind,
                "variant": job.variant.name,
                "seed": job.seed,
                "learning_rate": job.learning_rate,
            }
            for job in todo
        ],
        "settings": plan.model_dump(
            mode="json", include={"measure", "seeds", "proof", "speed", "training", "corpus"}
        ),
    }


def base_of(folder: Path) -> Path | None:
    """Return the folder that the paths of a study's plan count from; None where none is known."""
    try:
        values = from_json(read_regular(folder / STUDY, MAX_STUDY_BYTES))
        return Path(values["settings"]["folder"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def checkpoints(folder: Path, key: str) -> Path:
    """Where a training keeps its checkpoints until it is recorded."""
    return (folder / CHECKPOINTS / key).absolute()


def forget(folder: Path, key: str) -> None:
    """Remove the checkpoints of a training that is recorded."""
    shutil.rmtree(checkpoints(folder, key), ignore_errors=True)
