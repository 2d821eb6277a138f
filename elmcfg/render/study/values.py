"""A study's results for programs (JSON, CSV) and for a terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
from textwrap import fill
from typing import TYPE_CHECKING, Any

from elmcfg.escaping import printable
from elmcfg.render.machine import text as json_text
from elmcfg.render.study import words
from elmcfg.render.style import Style
from elmcfg.render.tables import table
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.study.results import Results
    from elmcfg.study.verdict import Verdict


def rows(results: Results, found: Verdict) -> list[dict[str, Any]]:
    """One row per variant, lowest bits per byte first and untrained ones last."""
    by_name = {s.variant: s for s in found.summaries}
    made = []
    for variant in results.variants:
        summary = by_name.get(variant.name)
        training = results.of("training", variant.name)
        ends = [r.result for r in training if r.status == "done" and r.result]
        proof = [r for r in results.of("proof", variant.name) if r.result]
        speed = [r.result for r in results.of("speed", variant.name) if r.result]
        parameters = variant.cost.get("parameters", {})
        made.append(
            {
                "variant": variant.name,
                "bits_per_byte": summary.mean if summary else None,
                "noise": summary.noise if summary else None,
                "seeds": len(summary.seeds) if summary else 0,
                "learning_rate": summary.chosen.learning_rate if summary else None,
                "failed": sum(r.status != "done" for r in training),
                "deviation": variant.deviation,
                "parameters": parameters.get("total"),
                "non_embedding": parameters.get("non_embedding"),
                "kv_cache_bytes_per_token": variant.cost.get("kv_cache_bytes_per_token"),
                "training_flops_per_token": variant.cost.get("flops_per_token", {}).get("training"),
                "tokens_per_second": _mean([r.get("tokens_per_second") for r in ends]),
                "peak_memory_bytes": max((r.get("peak_memory_bytes") or 0 for r in ends), default=0)
                or None,
                "proven": all((r.result or {}).get("passed") for r in proof) if proof else None,
                "prefill_tokens_per_second": _mean(
                    [r.get("prefill_tokens_per_second") for r in speed]
                ),
                "decode_tokens_per_second": _mean(
                    [r.get("decode_tokens_per_second") for r in speed]
                ),
            }
        )
    return sorted(made, key=lambda row: (row["bits_per_byte"] is None, row["bits_per_byte"] or 0))


def _mean(numbers: list[float | None]) -> float | None:
    known = [n for n in numbers if n is not None]
    return sum(known) / len(known) if known else None


def as_json(results: Results, found: Verdict) -> str:
    """One object: the verdict with every difference, the variants, and every run without curves."""
    return json_text(
        {
            "name": results.name,
            "finished": not results.missing,
            "match": results.match,
            "settings": results.settings,
            "verdict": {"sentences": words.verdict(results, found), **dataclasses.asdict(found)},
            "cautions": [*words.cautions(results, found), words.PROXY],
            "variants": rows(results, found),
            "runs": [run.model_dump(mode="json", exclude={"result"}) for run in results.runs],
            "missing": [job.model_dump(mode="json") for job in results.missing],
        }
    )


def as_csv(results: Results, found: Verdict) -> str:
    """One row per run, with the costs of its variant, for a spreadsheet."""
    costs = {row["variant"]: row for row in rows(results, found)}
    measured = ("bits_per_byte", "steps", "tokens", "tokens_per_second", "peak_memory_bytes")
    spent = ("parameters", "non_embedding", "kv_cache_bytes_per_token", "training_flops_per_token")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", "kind", "seed", "learning_rate", "status", *measured, *spent])
    for run in results.runs:
        result = run.result or {}
        cost = costs.get(run.variant, {})
        writer.writerow(
            [
                *(printable(run.variant), printable(run.kind), run.seed, run.learning_rate),
                printable(run.status),
                *(result.get(key) if run.kind == "training" else None for key in measured),
                *(cost.get(key) for key in spent),
            ]
        )
    return stream.getvalue()


def as_text(results: Results, found: Verdict, style: Style, width: int) -> str:
    """The verdict, the table, the comparisons and the cautions, for a terminal."""
    done = len(results.runs)
    total = done + len(results.missing)
    lines = [style(printable(f"{results.name}: {done:,} of {total:,} jobs recorded"), "bold")]
    lines += [fill(printable(s), width) for s in words.verdict(results, found)]
    head = ("variant", "bits/byte", "± seeds", "seeds", "lr", "parameters", "KV B/token", "peak")
    variants = [
        head,
        *(
            (
                row["variant"],
                number(row["bits_per_byte"], ".4f"),
                number(row["noise"], ".4f"),
                str(row["seeds"]),
                number(row["learning_rate"], "g"),
                number(row["parameters"], ",d"),
                number(row["kv_cache_bytes_per_token"], ",d"),
                binary(row["peak_memory_bytes"]) if row["peak_memory_bytes"] else "-",
            )
            for row in rows(results, found)
        ),
    ]
    lines += ["", *table(variants, style)]
    if found.comparisons:
        pairs = [("compared", "difference and its interval", "seeds", "outcome")]
        pairs += [
            (f"{c.first} - {c.second}", words.difference(c), str(len(c.seeds)), c.outcome.value)
            for c in found.comparisons
        ]
        lines += ["", *table(pairs, style)]
    agreement = words.agreement(found)
    lines += ["", fill(agreement, width)] if agreement else []
    lost = words.lost(results)
    lines += ["", style("failed or diverged", "bold")] if lost else []
    lines += [fill(printable(words.loss(run)), width, subsequent_indent="  ") for run in lost]
    said = [*words.cautions(results, found), words.PROXY]
    lines += [
        "",
        *(fill(printable(s), width, initial_indent="- ", subsequent_indent="  ") for s in said),
    ]
    return "\n".join(lines)


def number(given: float | None, form: str) -> str:
    """A number in a form, or a dash."""
    return "-" if given is None else format(given, form)
