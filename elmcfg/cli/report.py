"""``elmcfg report``."""

from __future__ import annotations

from pathlib import Path

import click

from elmcfg.cli.common import fail, format_option, note, out_style, quiet_option, say, width
from elmcfg.document import exists, write_atomically
from elmcfg.study.results import NotAStudyError, Results, read_results

_INSTALL = "reports need scipy, Jinja2 and vl-convert: pip install 'elmcfg[study]'"


@click.command("report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write the files here.  [default: the study's folder]",
)  # fmt: skip
@format_option("text", "json", "csv", "html")
@quiet_option
def command(folder: Path, output: Path | None, format_: str, quiet: bool) -> None:
    """Report a study, finished or not: who is lower, who ties, and how sure that is.

    Prints the report in the form asked for, and writes report.html (one page that needs no
    network), results.csv and results.json beside the study, in place of older ones.

    \b
    Examples:
      elmcfg report my-study
      elmcfg report my-study -o public/
      elmcfg report my-study --format json

    Exit codes: 0 reported, 1 the study is damaged or has no result yet, 2 no study there.
    """
    if not exists(folder / "study.json"):
        fail(f"{folder} is not a study's folder; elmcfg study PLAN.yaml -o DIR makes one", 2)
    try:
        forms = _forms(read_results(folder))
    except NotAStudyError as error:
        fail(str(error), 1)
    except ImportError:
        fail(_INSTALL, 2)
    say(forms[format_].rstrip("\n"))
    _write(output or folder, forms, quiet)


def _forms(results: Results) -> dict[str, str]:
    """The report in every form."""
    from elmcfg.render.study import page, values  # these, and scipy, are for those who report
    from elmcfg.study.verdict import judge

    found = judge(results.trials())
    return {
        "text": values.as_text(results, found, out_style(), width()),
        "json": values.as_json(results, found),
        "csv": values.as_csv(results, found),
        "html": page.page(results, found),
    }


def _write(folder: Path, forms: dict[str, str], quiet: bool) -> None:
    names = {"html": "report.html", "csv": "results.csv", "json": "results.json"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for form, name in names.items():
            write_atomically(folder / name, forms[form].rstrip("\n") + "\n", overwrite=True)
    except OSError as error:
        fail(f"{folder}: cannot be written: {error.strerror}; -o DIR writes elsewhere", 2)
    if not quiet:
        note(f"elmcfg: wrote {', '.join(names.values())} into {folder}")
