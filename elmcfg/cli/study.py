"""``elmcfg study``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elmcfg.cli import signals, study_progress
from elmcfg.cli.common import fail, format_option, note, quiet_option, say
from elmcfg.document import exists, is_file
from elmcfg.escaping import printable
from elmcfg.study import folder as files
from elmcfg.study.plan import KINDS, Plan, PlanError, read_plan

if TYPE_CHECKING:
    from elmcfg.study.estimate import Estimate
    from elmcfg.study.jobs import Job
    from elmcfg.study.journal import Record
    from elmcfg.study.running import Engine, Outcome
    from elmcfg.study.variants import Named

option = click.option


@click.command("study")
@click.argument("plan", required=False, type=click.Path(path_type=Path), metavar="[PLAN]")
@option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where it is kept.")
@option("--resume", is_flag=True, help="Go on with the study that is in DIR.")
@option("--dry-run", is_flag=True, help="Show jobs, costs and time; do nothing.")
@option("--variant", multiple=True, metavar="CONFIG", help="A file, folder or shipped variant.")
@option("--profile", multiple=True, metavar="NAME", help="A named schedule; repeatable.")
@option("--shape", multiple=True, metavar="KEY=VALUE", help="A key that the profiles share.")
@option("--match", metavar="COST", help="What variants are matched on: non-embedding-params ...")
@option("--target", metavar="AMOUNT", help="How much of it, such as 20M.")
@option("--tolerance", metavar="SHARE", help="How far off a variant may be.  [default: 1%]")
@option("--measure", metavar="KIND,...", help=f"What to measure: {', '.join(KINDS)}.")
@option("--seeds", type=click.IntRange(1, 1000), help="Runs of each training.  [default: 3]")
@option("--steps", type=click.IntRange(min=1), help="Of the trainings.")
@option("--learning-rate", metavar="X,...", help="Of the trainings; several are a sweep.")
@option("--corpus", metavar="FILE", help="Text to train on: kjv, synthetic, a file or folder.")
@option("--jobs", type=click.IntRange(1, 1024), help="Jobs at once on this machine.")
@option("--scheduler", metavar="ADDRESS", help="Run on dask, such as tcp://10.0.0.1:8786.")
@option("--timeout", metavar="TIME", help="Most time of a job, such as 1h.")
@option("--max-memory", metavar="BYTES", help="Most memory of a job, such as 8GiB.")
@option("--speed", metavar="FLOPS", help="For the estimate: 1TFLOPS, or h100; else measured.")
@format_option("text", "json")
@quiet_option
def command(
    plan: Path | None,
    output: Path | None,
    resume: bool,
    dry_run: bool,
    format_: str,
    quiet: bool,
    **flags: Any,
) -> None:
    """Compare many variants: costs, proofs, speed, and short trainings with paired seeds.

    Variants, what to measure and where stand in a PLAN, a YAML file, or in flags, which go before
    it. Everything that is done is kept in DIR, a record per job; a study that was interrupted
    goes on with --resume and loses nothing. 'elmcfg report DIR' shows what was found.

    \b
    Examples:
      elmcfg study plan.yaml --dry-run
      elmcfg study plan.yaml -o schedules/
      elmcfg study plan.yaml -o schedules/ --resume
      elmcfg study --variant openelm-270m --variant mine.yaml --measure costs,proof -o both/
      elmcfg study --profile uniform --profile crown --shape num_transformer_layers=12
          --shape model_dim=384 --match non-embedding-params --target 20M
          --measure training --steps 500 --corpus kjv -o schedules/
      elmcfg study plan.yaml -o schedules/ --scheduler tcp://10.0.0.1:8786

    Exit codes: 0 all done, 1 a job failed, 2 called wrongly.
    """
    study = _study(plan, _given(flags), output, resume)
    if dry_run:
        _show(study, output if resume else None, as_json=format_ == "json")
        return
    if output is None:
        raise click.UsageError("name a folder to keep it in: -o DIR (or --dry-run)")
    outcome = _run(study, output, resume, quiet)
    _tell(study, outcome, output, as_json=format_ == "json")
    sys.exit(1 if outcome.failed else 0)


@dataclass(frozen=True)
class Study:
    """A plan and what it comes to."""

    plan: Plan
    variants: tuple[Named, ...]
    budget: float | None
    jobs: list[Job]
    folder: Path


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags as a plan has them."""
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    values: dict[str, Any] = {}
    here = Path.cwd()
    variants: list[Any] = [_source(source, here) for source in given.get("variant", ())]
    variants += [{"profile": name} for name in given.get("profile", ())]
    if variants:
        values["variants"] = variants
    if "shape" in given:
        values["shape"] = dict(_pair(text) for text in given["shape"])
    if "measure" in given:
        values["measure"] = [part.strip() for part in given["measure"].split(",")]
    if "seeds" in given:
        values["seeds"] = given["seeds"]
    rates = [_number(part) for part in given.get("learning_rate", "").split(",") if part]
    training = {"steps": given.get("steps"), "learning_rate": rates or None}
    matched = {"cost": given.get("match"), "target": given.get("target")}
    engine = {key: given.get(key) for key in ("jobs", "timeout", "max_memory", "speed")}
    engine |= {
        "scheduler": given.get("scheduler"),
        "kind": "dask" if "scheduler" in given else None,
    }
    parts: dict[str, dict[str, Any]] = {
        "training": training,
        "match": matched | {"tolerance": given.get("tolerance")},
        "engine": engine,
        "corpus": {"source": _source(given["corpus"], here)} if "corpus" in given else {},
    }
    for name, part in parts.items():
        said = {key: value for key, value in part.items() if value is not None}
        if said:
            values[name] = said
    return values


def _source(name: str, here: Path) -> str:
    """A path from here, whatever folder the plan lies in; any other name as it is."""
    return str(here / name) if exists(here / name) else name


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--shape {text}: write KEY=VALUE, such as model_dim=384")
    from elmcfg.document import parse

    read = parse(f"{key}: {value}", "--shape").data or {}
    return key.strip().replace("-", "_"), read.get(key, value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--learning-rate: {text!r} is not a number") from None


def _study(plan: Path | None, given: dict[str, Any], output: Path | None, resume: bool) -> Study:
    from elmcfg.study.jobs import jobs
    from elmcfg.study.plan import MAX_JOBS
    from elmcfg.study.variants import variants

    folder = Path.cwd() if plan is None else plan.parent
    if plan is None and resume and output is not None and is_file(output / files.PLAN):
        plan = output / files.PLAN
        folder = files.base_of(output) or Path.cwd()
    if plan is None and "variants" not in given:
        raise click.UsageError("name a PLAN, or variants by --variant and --profile")
    try:
        read, document = read_plan(plan, given)
        found, budget = variants(read, folder, document)
        count = len(found) * (3 + len(read.seeds) * len(read.training.rates))
        if count > MAX_JOBS:
            fail(f"that would be {count:,} jobs; at most {MAX_JOBS:,} make a study", 2)
        return Study(read, found, budget, list(jobs(read, found, folder, document)), folder)
    except PlanError as error:
        fail(["the plan cannot be used", *error.lines], 2)


def _show(study: Study, output: Path | None, *, as_json: bool) -> None:
    """Jobs, costs and time; of a study that is resumed, of what is left."""
    from elmcfg.render.study import plan

    finished = _finished(study.jobs, output)
    guess = _guess(study, finished)
    if as_json:
        from elmcfg.render import machine

        values = files.study_values(study.plan, study.variants, study.budget, study.jobs)
        values.pop("version")
        said: dict[str, Any] = {"seconds": guess.most, "seconds_least": guess.least}
        said |= {"flops": guess.flops, "how": guess.how}
        say(machine.text({**values, "done": len(finished), "estimate": said}))
        return
    say(plan.text(study.plan, study.variants, study.budget, study.jobs))
    if finished:
        say(f"{len(finished):,} of them are done")
    say(f"estimated time: {study_progress.between(guess.least, guess.most)} ({guess.how})")


def _finished(jobs: list[Job], output: Path | None) -> list[tuple[Job, Record]]:
    """The jobs that need not be done again, with their records."""
    from elmcfg.study.journal import Journal

    if output is None:
        return []
    try:
        journal = Journal(output / files.JOURNAL)
    except OSError as error:
        fail(f"{output / files.JOURNAL}: cannot be read: {error.strerror}", 2)
    records = {job.key: (job, journal.final(job.key)) for job in jobs}
    return [(job, record) for job, record in records.values() if record is not None]


def _guess(study: Study, finished: list[tuple[Job, Record]]) -> Estimate:
    from elmcfg.study.estimate import estimate

    done = {job.key for job, _ in finished}
    left = {job.key: job for job in study.jobs if job.key not in done}
    places = study.plan.engine.jobs or _places(study.plan)
    try:
        return estimate(list(left.values()), finished, study.plan.engine, places)
    except ValueError as error:
        fail(str(error), 1)


def _places(plan: Plan) -> int:
    from elmcfg.study.local import places

    return 1 if plan.engine.kind == "dask" else places()


def _run(study: Study, output: Path, resume: bool, quiet: bool) -> Outcome:
    from elmcfg.study.cluster import ClusterError, require_dask
    from elmcfg.study.running import run

    try:
        if study.plan.engine.kind == "dask":
            require_dask()  # before anything is worked out and written
        files.prepare(output, resume=resume)
        files.write(output, study.plan, study.variants, study.budget, study.jobs, study.folder)
        with study_progress.progress(study.jobs, quiet=quiet) as told:
            return run(output, study.jobs, partial(_engine, study.plan, output, told), told)
    except files.StudyFolderError as error:
        fail(str(error), 2)
    except ClusterError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        note(f"elmcfg: interrupted; what is done is kept: go on with -o {output} --resume")
        sys.exit(signals.exit_code())


def _engine(plan: Plan, output: Path, progress: study_progress.Silent) -> Engine:
    how = plan.engine
    if how.kind == "dask":
        from elmcfg.study.cluster import Cluster

        return Cluster(
            how.scheduler or "",
            how.timeout,
            how.max_memory,
            how.wait_for_workers,
            log=output / files.DASK_LOG,
            report=progress.report,
        )
    from elmcfg.study.local import Local

    return Local(how.jobs, how.timeout, how.max_memory, progress.step)


def _tell(study: Study, outcome: Outcome, output: Path, *, as_json: bool) -> None:
    if as_json:
        from elmcfg.render import machine

        counts = {"done": outcome.done, "diverged": outcome.diverged, "failed": outcome.failed}
        say(machine.text({"name": study.plan.name, "folder": str(output), **counts}))
        return
    diverged = f", {outcome.diverged:,} diverged" if outcome.diverged else ""
    jobs = f"{outcome.done:,} of {len(study.jobs):,} jobs done{diverged}, {outcome.failed:,} failed"
    say(printable(f"{study.plan.name}: {jobs}; elmcfg report {output}"))
