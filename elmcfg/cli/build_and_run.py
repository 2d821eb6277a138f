"""``elmcfg build-and-run``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elmcfg.backend import BackendError
from elmcfg.cli.checklist import Checklist
from elmcfg.cli.common import (
    complete_config,
    config_argument,
    fail,
    format_option,
    note,
    out_style,
    quiet_option,
    say,
)
from elmcfg.cli.many import is_many, prove_many
from elmcfg.cli.parameters import BYTES, TIME
from elmcfg.costs import DTYPE_BYTES
from elmcfg.formats.weight_files import weights_named_by
from elmcfg.proof import CHECKS, Child, NotEnoughMemoryError, Options, Report
from elmcfg.render import proof

if TYPE_CHECKING:
    from elmcfg.config import Config


def _list_checks(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        say(proof.checks(CHECKS))
        ctx.exit()


@click.command("build-and-run")
@click.argument("sources", metavar="CONFIG...", nargs=-1, shell_complete=complete_config)
@click.option("--shapes-only", is_flag=True, help="Evaluate nothing: needs no memory and no time.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True,
    help="Where to run.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["auto", *DTYPE_BYTES]), default="auto", show_default=True,
    help="Type of the weights; auto is float32, or bfloat16 where more checks fit in it.",
)  # fmt: skip
@click.option(
    "--seq-len", type=click.IntRange(min=1),
    help="Tokens per sequence.  [default: 128, or the context length if that is shorter]",
)  # fmt: skip
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences."
)
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**64 - 1), default=0, show_default=True,
    help="Of weights and tokens.",
)  # fmt: skip
@click.option("--check", multiple=True, metavar="NAME", help="Run only this check; repeatable.")
@click.option("--skip", multiple=True, metavar="NAME", help="Leave this check out; repeatable.")
@click.option(
    "--timeout", type=TIME, default="30min", show_default=True,
    help="Most time for each config; a proof that takes longer is ended and has failed.",
)  # fmt: skip
@click.option(
    "--max-memory", type=BYTES,
    help="Most memory: what needs more is left out or refused, what takes more is ended.",
)  # fmt: skip
@click.option(
    "--save", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Write the proven model, with random weights, as a folder that mlx-lm loads.",
)  # fmt: skip
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), metavar="PATH",
    help="With --save: a SentencePiece model, a tokenizer.json, or a folder with a tokenizer.",
)  # fmt: skip
@click.option(
    "--list-checks", is_flag=True, is_eager=True, expose_value=False, callback=_list_checks,
    help="Show the checks and what each proves.",
)  # fmt: skip
@format_option("text", "json")
@quiet_option
def command(
    sources: tuple[str, ...],
    format_: str,
    quiet: bool,
    timeout: float,
    folder: Path | None,
    tokenizer: Path | None,
    **options: Any,
) -> None:
    """Build the MLX model of a config with random weights, run it, and prove it.

    It must have the tensors of the released checkpoints, compute what the papers' formulas say,
    and give the same in pieces, in batches, from disk and in other dtypes; --list-checks lists
    all that is looked at. Weights are random, also where CONFIG has its own; with --shapes-only
    there are none, and no number is computed. The proof runs in a process of its own: a crash, a
    hang or too much memory there is a failed check. Memory is estimated first: the largest proof
    that fits is chosen, with the reason, and a model that cannot even run is refused before it is
    built.

    Several configs, or a folder of them, are proven side by side, with one row each.

    \b
    Examples:
      elmcfg build-and-run tiny
      elmcfg build-and-run openelm-3b --shapes-only
      elmcfg build-and-run config.json --dtype bfloat16 --seq-len 512
      elmcfg build-and-run mine.yaml --skip gradient --format json
      elmcfg build-and-run variants/ --timeout 60s --max-memory 8GiB
      elmcfg build-and-run mine.yaml --save my-model

    Exit codes: 0 proven, 1 not proven or does not fit, 2 called wrongly.
    """
    if tokenizer is not None and folder is None:
        raise click.UsageError("--tokenizer goes with --save DIR")
    job = Job(_options(options), timeout, folder, tokenizer, format_ == "json", quiet)
    if not sources:
        raise click.UsageError("name at least one file, folder or shipped variant")
    if is_many(sources):
        if folder is not None:
            raise click.UsageError("--save takes one config")
        passed = prove_many(sources, job.options, timeout, as_json=job.as_json, quiet=quiet)
    else:
        passed = _prove_one(sources[0], job)
    sys.exit(0 if passed else 1)


@dataclass(frozen=True)
class Job:
    """What was asked for."""

    options: Options
    timeout: float
    folder: Path | None
    tokenizer: Path | None
    as_json: bool
    quiet: bool


def _options(given: dict[str, Any]) -> Options:
    try:
        return Options(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _prove_one(source: str, job: Job) -> bool:
    with Child() as child:
        child.start()  # It imports what it needs while the config is read here.
        config = config_argument(source)
        report = _proven(config, job, child)
    unused = weights_named_by(source)
    if job.as_json:
        from elmcfg.render import machine

        say(machine.text(machine.proof(config, report, unused)))
    else:
        say(proof.verdict(report, out_style()))
        if unused is not None:
            say(proof.weights_line([unused], computed=not report.shapes_only))
    return report.passed


def _proven(config: Config, job: Job, child: Child) -> Report:
    """The report; a model that has passed is saved where that was asked for."""
    show = Checklist(results=not job.as_json, running=not job.quiet)
    try:
        if job.folder is None:
            return child.prove(config, job.options, timeout=job.timeout, progress=show)
        from elmcfg.proof.saving import save

        saving = save(config, job.options, job.folder, child, job.timeout, job.tokenizer)
        with saving as write:
            report = child.prove(config, job.options, timeout=job.timeout, progress=show)
            remarks = write(report.dtype) if report.passed else []
        if report.passed:
            note(f"elmcfg: wrote {job.folder}", *remarks)
        return report
    except BrokenPipeError:  # The reader of our output has gone.
        raise
    except (BackendError, NotEnoughMemoryError, OSError) as error:
        fail(str(error), 1)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    finally:
        show.clear()
