"""A study as one HTML page that needs no network: its text, tables, charts and their runtime."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.escaping import printable
from elmcfg.render.study import charts, words
from elmcfg.render.study.values import rows

if TYPE_CHECKING:
    from elmcfg.study.results import Results
    from elmcfg.study.verdict import Verdict


_HERE = "elmcfg.render.study"


def page(results: Results, found: Verdict) -> str:
    """The whole page.

    Raises:
        ImportError: If Jinja2 or vl-convert is missing (the extra ``elmcfg[study]``).
    """
    import vl_convert
    from jinja2 import Environment, PackageLoader, StrictUndefined

    table = rows(results, found)
    reference = results.variants[0].name
    figures = _figures(results, found, table, reference)
    here = files(_HERE)
    environment = Environment(
        loader=PackageLoader(_HERE, ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    corpora = {
        json.dumps(run.result["corpus"], sort_keys=True): run.result["corpus"]
        for run in results.of("training")
        if run.result and run.result.get("corpus")
    }
    return environment.get_template("page.html.j2").render(
        results=results,
        found=found,
        version=__version__,
        total=len(results.runs) + len(results.missing),
        verdict=words.verdict(results, found),
        cautions=words.cautions(results, found),
        proxy=words.PROXY,
        agreement=words.agreement(found),
        lost=[words.loss(run) for run in words.lost(results)],
        rows=table,
        figures=figures,
        hidden_shapes=max(0, len(results.variants) - charts.MOST_SHAPES),
        corpora=list(corpora.values()),
        devices=sorted({f"{run.device} on {run.host}" for run in results.runs if run.device}),
        versions=sorted({_versions(run.versions) for run in results.runs if run.versions}),
        css=(here / "page.css").read_text(encoding="utf-8"),
        script=(here / "page.js").read_text(encoding="utf-8"),
        specs=_inline([spec for group in figures.values() for _, spec in group]),
        # The runtime stands in a script element, which only its own end tag may end.
        # (Its stub wants the argument that it does without.)
        runtime=vl_convert.javascript_bundle().replace(  # type: ignore[call-arg]
            "</script", "<\\/script"
        ),
    )


def _figures(
    results: Results, found: Verdict, table: list[dict[str, Any]], reference: str
) -> dict[str, list[tuple[str, charts.Spec]]]:
    curves = charts.curves(found, results, None)
    less = charts.curves(found, results, reference) if len(found.summaries) > 1 else None
    titles = [("Bits per byte by step", curves), (f"The same, less {reference}", less)]
    return {
        "curves": [(title, spec) for title, spec in titles if spec is not None],
        "pareto": [(spec["description"], spec) for spec in charts.pareto(table, found)],
        "shapes": charts.shapes(results),
    }


def _printable(value: Any) -> Any:
    """Return a value of the template, where it is text with what a page should not hold escaped.

    Markup is ours: the styles and the script.
    """
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _inline(specs: list[charts.Spec]) -> str:
    """JSON that may stand in a script element: no name of a variant can end it."""
    return json.dumps(specs, separators=(",", ":")).replace("<", "\\u003c")


def _versions(versions: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
