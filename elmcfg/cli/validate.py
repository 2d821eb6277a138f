"""``elmcfg validate``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from elmcfg import portability, settings
from elmcfg.checking import Checked, Fixing, Tally, Task, check
from elmcfg.cli.common import (
    complete_config,
    fail,
    format_option,
    note,
    quiet_option,
    say,
    width,
)
from elmcfg.cli.terminal import write_exactly
from elmcfg.document import write_back
from elmcfg.escaping import escaped
from elmcfg.render import frames
from elmcfg.render.reports import FORMATS, View, report_of
from elmcfg.render.style import Style, wants_colour
from elmcfg.sources import NO_CONFIGS, STDIN, Input, SourceNotFoundError, find, is_folder


@click.command("validate")
@click.argument("paths", nargs=-1, metavar="[CONFIG]...", shell_complete=complete_config)
@format_option(*FORMATS)
@click.option(
    "--target", "targets", multiple=True, metavar="PROGRAM",
    help=f"Say what this program would do with it: {', '.join(portability.TARGETS)}, or all.",
)  # fmt: skip
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path),
    help="Hold the config against this checkpoint: a safetensors file, an index, or a folder.",
)  # fmt: skip
@click.option("--fix", "fixing", flag_value="write", help="Mend what can be mended safely.")
@click.option("--diff", "fixing", flag_value="diff", help="Show what --fix would change.")
@click.option("--unsafe-fixes", is_flag=True, help="Also mend what may change the model.")
@click.option("--select", multiple=True, metavar="CODE,...", help="Report only these codes.")
@click.option("--ignore", multiple=True, metavar="CODE,...", help="Do not report these codes.")
@click.option(
    "--per-file-ignores", multiple=True, metavar="PATTERN:CODE,...",
    help="Do not report these codes in these files.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option(
    "--stdin-filename", "stdin_name", default="<stdin>", metavar="NAME",
    help="What to call standard input.",
)  # fmt: skip
@quiet_option
def command(paths: tuple[str, ...], **flags: Any) -> None:
    """Check configs, and show every problem at its line and column with a remedy.

    A CONFIG is a YAML or JSON file, a folder (searched for files that look like configs, without
    what .gitignore names and links out of it), a pattern such as '**/*.yaml', - for standard
    input, or the name of a shipped variant. A hub config.json is valid as it stands, and is held
    against the safetensors files beside it.

    CODE is a code, such as ELM409, or the beginning of one: ELM4 is all advice. [tool.elmcfg] in
    pyproject.toml holds the same settings, and in YAML a comment leaves a finding out:
    "# elmcfg: ignore[ELM409] reason".

    \b
    Examples:
      elmcfg validate config.json
      elmcfg validate variants/ my-model/config.json
      elmcfg validate --target all openelm-270m
      elmcfg validate --weights my-model/ edited.yaml
      elmcfg validate --diff .
      elmcfg validate --format sarif . > elmcfg.sarif
      elmcfg scale --layers 16 --model-dim 1280 | elmcfg validate -

    Exit codes: 0 no errors, 1 errors (with --diff: changes), 2 no such file or nothing to check.
    """
    if not paths:
        raise click.UsageError("name at least one file, folder, pattern or shipped variant")
    task = _task(flags)
    inputs, lacking = _inputs(paths, flags["stdin_name"])
    tally = Tally()
    results = tally.watch(_written(check(inputs, task), task, lacking), dict(lacking))
    _show(results, tally, flags, aside=task.fixing is Fixing.WRITE and STDIN in paths)
    empty = [path for path in paths if is_folder(path) and path not in tally.folders]
    if problems := [*lacking.values(), *(f"{path}: {NO_CONFIGS}" for path in empty)]:
        # A file that is not there is a call gone wrong, not a config gone wrong.
        fail(problems, 2)
    sys.exit(1 if tally.errors or (tally.fixed and task.fixing is Fixing.DIFF) else 0)


def _task(flags: Mapping[str, Any]) -> Task:
    try:
        wanted = settings.load(Path.cwd()).extended(
            targets=flags["targets"],
            select=flags["select"],
            ignore=flags["ignore"],
            per_file_ignores=flags["per_file_ignores"],
            strict=flags["strict"],
        )
        wanted = replace(wanted, targets=portability.targets(wanted.targets))
    except ValueError as error:
        fail(str(error), 2)
    fixing = Fixing(flags["fixing"] or Fixing.NONE)
    return Task(wanted, flags["weights"], fixing, flags["unsafe_fixes"])


def _inputs(paths: Iterable[str], stdin_name: str) -> tuple[list[Input], dict[str, str]]:
    """The files that the arguments stand for, each once, sorted; and what is wrong with others."""
    found: dict[str, Input] = {}
    lacking: dict[str, str] = {}
    for path in paths:
        try:
            for item in find(path, stdin_name):
                before = found.get(item.shown, item)
                found[item.shown] = replace(
                    item,
                    folders=(*before.folders, *item.folders),
                    named=before.named or item.named,
                )
        except SourceNotFoundError as error:
            lacking[path] = str(error)
    return sorted(found.values(), key=lambda item: item.shown), lacking


def _written(results: Iterable[Checked], task: Task, lacking: dict[str, str]) -> Iterator[Checked]:
    """The same, with what was mended written back, and standard input to standard output."""
    for checked in results:
        yield checked
        if task.fixing is not Fixing.WRITE:
            continue
        if checked.input.path is None:
            write_exactly(checked.text.removesuffix("\n") + "\n")
        elif checked.before is not None:
            try:
                folder = checked.input.folder
                write_back(Path(checked.input.path), checked.before, checked.text, folder)
            except OSError as error:
                shown = checked.input.shown
                lacking[shown] = f"{shown}: not mended: {error.strerror or error}"


def _show(
    results: Iterable[Checked], tally: Tally, flags: Mapping[str, Any], *, aside: bool
) -> None:
    """The report, and its closing line for people.

    Args:
        results: What was checked.
        tally: Counts them.
        flags: Of the command.
        aside: Whether standard output is taken, by a mended text.
    """
    form = "diff" if flags["fixing"] == Fixing.DIFF else flags["format_"]
    view = View(Style(colour=wants_colour(sys.stderr if aside else sys.stdout)), width())
    garbled = False
    for piece in report_of(form)(results, view):
        say(piece, err=aside)
        garbled = garbled or (form == "diff" and escaped(f"{piece}\n") != f"{piece}\n")
    if garbled:
        note(
            "elmcfg: this diff cannot be applied: characters that would garble a terminal are "
            "shown as \\x1b and the like; --fix changes the files themselves"
        )
    if not flags["quiet"] and form in ("text", "concise"):
        say(frames.summary(tally, view.style), err=aside)
    if not flags["quiet"]:
        if form in ("text", "concise") and (unchecked := frames.unchecked(tally)):
            say(unchecked, err=aside)
        left = frames.errors_left(tally, dry=form == "diff") if flags["fixing"] else ""
        for line in filter(None, (left, frames.remedies(tally))):
            note(line)
