"""``elmcfg validate``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from elmcfg import settings
from elmcfg.checking import Checked, Fixing, Task, check
from elmcfg.cli.common import fail, note, out_style, quiet_option, say, width
from elmcfg.diagnostics import Diagnostic, Severity
from elmcfg.render import frames
from elmcfg.render.reports import MODULES, View, report_of
from elmcfg.sources import Input, SourceNotFoundError, find


@click.command("validate")
@click.argument("paths", nargs=-1, metavar="[CONFIG]...")
@click.option(
    "--format", "format_", type=click.Choice(list(MODULES)), default="text", show_default=True,
    help="Form of the output.",
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
    r"""Check configs, and show every problem at its line and column with a remedy.

    A CONFIG is a YAML or JSON file, a folder (searched for files that look like configs, without
    what .gitignore names), a pattern such as '**/*.yaml', - for standard input, or the name of a
    shipped variant. A hub config.json is valid as it stands.

    CODE is a code, such as ELM402, or the beginning of one: ELM4 is all advice. [tool.elmcfg] in
    pyproject.toml can hold the same settings, and in YAML a comment leaves a finding out:
    "# elmcfg: ignore[ELM402] reason".

    \b
    Examples:
      elmcfg validate config.json
      elmcfg validate variants/ my-model/config.json
      elmcfg validate --diff .                     what --fix would change
      elmcfg validate --format sarif . > elmcfg.sarif
      elmcfg scale --layers 16 --model-dim 1280 | elmcfg validate -

    Exit codes: 0 no errors, 1 errors (or, with --diff, changes), 2 no such file or nothing to check.
    """
    if not paths:
        raise click.UsageError("name at least one file, folder, pattern or shipped variant")
    fixing = Fixing(flags["fixing"] or Fixing.NONE)
    task = Task(_settings(flags), fixing, flags["unsafe_fixes"])
    inputs, missing = _inputs(paths, flags["stdin_name"])
    tally = _Tally()
    results = tally.watch(_finished(check(inputs, task), task, tally), missing)
    if fixing is Fixing.DIFF:
        _show_diffs(results)
    else:
        _show_report(results, flags["format_"], to_stdin=fixing is Fixing.WRITE and "-" in paths)
    _end(tally, [*missing.values(), *tally.empty(paths)], flags["quiet"], flags["format_"], fixing)


@dataclass
class _Tally:
    """What has passed by."""

    files: int = 0
    errors: int = 0
    warnings: int = 0
    fixed: int = 0
    ...


