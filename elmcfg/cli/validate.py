"""``elmcfg validate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from elmcfg import portability
from elmcfg.cli.common import fail, format_option, framed, out_style, quiet_option, say
from elmcfg.diagnostics import Diagnostic, Severity, has_errors
from elmcfg.document import Document
from elmcfg.linter import diagnose
from elmcfg.render import frames
from elmcfg.sources import SourceNotFoundError, checkpoint_beside, discover


def _known_targets(
    ctx: click.Context, param: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    try:
        return portability.targets(names)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command("validate")
@click.argument("paths", nargs=-1, metavar="[CONFIG]...")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="PROGRAM",
    callback=_known_targets,
    help="Say what this program would do with the config; repeatable: "
    f"{', '.join(portability.TARGETS)}, or all.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, path_type=Path),
    help="Hold the config against this checkpoint: a safetensors file, an index, or a folder.",
)
@format_option("text", "json")
@quiet_option
def command(
    paths: tuple[str, ...],
    targets: tuple[str, ...],
    weights: Path | None,
    format_: str,
    quiet: bool,
) -> None:
    """Check configs, and show every problem at its line and column with a remedy.

    A CONFIG is a YAML or JSON file, a folder (searched for files that look like configs), - for
    standard input, or the name of a shipped variant. A hub config.json is valid as it stands, and
    is held against the safetensors files beside it.

    \b
    Examples:
      elmcfg validate config.json
      elmcfg validate variants/ my-model/config.json
      elmcfg scale --layers 16 --model-dim 1280 | elmcfg validate -
      elmcfg validate --target all openelm-270m
      elmcfg validate --weights my-model/ my-model/config.json
      elmcfg validate --format json . > findings.json

    Exit codes: 0 no errors, 1 errors, 2 no such file or nothing to check.
    """
    if not paths:
        raise click.UsageError("name at least one file, folder or shipped variant")
    documents, found, missing = _check_all(paths, targets, weights)
    if format_ == "json":
        from elmcfg.render import machine  # its other results need the models

        say(machine.text(machine.diagnostics(found, len(documents))))
    else:
        _print(found, documents, quiet)
    if missing:
        fail("\n".join(missing), 2)
    # A file that is not there is a call gone wrong, not a config gone wrong.
    sys.exit(1 if has_errors(found) else 0)


def _check_all(
    paths: tuple[str, ...], targets: tuple[str, ...], weights: Path | None
) -> tuple[list[Document], list[Diagnostic], list[str]]:
    documents: list[Document] = []
    found: list[Diagnostic] = []
    missing: list[str] = []
    for path in paths:
        try:
            for document in discover([path]):
                documents.append(document)
                checkpoint = weights or checkpoint_beside(document.path)
                found += diagnose(document, targets=targets, weights=checkpoint)
        except SourceNotFoundError as error:
            missing.append(str(error))
            message, remedy = "no such file, shipped variant or folder with configs", "check it"
            found.append(Diagnostic(path, None, "ELM001", Severity.ERROR, (), message, remedy))
    return documents, sorted(found, key=lambda d: d.sort_key), missing


def _print(found: list[Diagnostic], documents: list[Document], quiet: bool) -> None:
    style = out_style()
    if found:
        say(framed(found, documents, style))
    if not quiet:
        errors = sum(d.severity is Severity.ERROR for d in found)
        warnings = sum(d.severity is Severity.WARNING for d in found)
        say(frames.summary(len(documents), errors, warnings, style))
