"""Synthetic studies: folders as ``elmcfg study`` leaves them, with results that are made up."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elmcfg.config import resolve
from elmcfg.costs import cost
from elmcfg.render import machine
from elmcfg.scaling import scale

PROFILES = ("uniform", "vanilla", "reverse", "crown")
STEPS = range(50, 501, 50)


def variant(name: str) -> dict[str, Any]:
    config = scale(
        profile=name, num_transformer_layers=12, model_dim=384, head_dim=32, vocab_size=256,
        num_gqa_groups=3, ffn_dim_divisor=64,
    )  # fmt: skip
    return {
        "name": name,
        "source": {"profile": name},
        "config": machine.config_values(resolve(config)),
        "cost": cost(config).values(),
        "deviation": 0.004,
    }


def training(bits: float, rate: float) -> dict[str, Any]:
    validation = [[step, bits + 40 / step] for step in STEPS[:-1]] + [[STEPS[-1], bits]]
    return {
        "curve": [[step, 0.7 * (bits + 40 / step) * 2] for step in STEPS],
        "validation": validation,
        "bits_per_byte": bits,
        "steps": 500,
        "tokens": 4_096_000,
        "tokens_per_second": 51_234.5,
        "peak_memory_bytes": 2**30,
        "parameters": 20_123_456,
        "learning_rate": rate,
        "corpus": {
            "name": "kjv", "sha256": "ab" * 32, "bytes": 4_300_000, "train_tokens": 4_085_000,
            "validation_tokens": 215_000, "validation_bytes": 215_000,
        },
        "model_flops_utilisation": None,
        "diverged_at": None,
    }  # fmt: skip


def made_up(
    names: Sequence[str], seeds: int, rates: Sequence[float], rng: random.Random
) -> dict[tuple[str, int, float], float]:
    """Bits per byte: the last variant is clearly worse, the others differ by noise."""
    return {
        (name, seed, rate): 2.25
        + 0.02 * seed
        + (0.2 if name == names[-1] else 0)
        + 0.001 * rng.random()
        + (0.05 if rate != rates[0] else 0)
        for name in names
        for seed in range(seeds)
        for rate in rates
    }


def write_study(
    folder: Path,
    names: Sequence[str] = PROFILES,
    seeds: int = 3,
    rates: Sequence[float] = (3e-4,),
    bits: Mapping[tuple[str, int, float], float] | None = None,
    statuses: Mapping[tuple[str, int], str] | None = None,
    **header: Any,
) -> list[dict[str, Any]]:
    """Write ``study.json`` and ``journal.jsonl``; the records are given back.

    Args:
        folder: Made if it is not there.
        names: Profiles, which are the variants.
        seeds: Of each variant.
        rates: Learning rates of each.
        bits: Bits per byte by variant, seed and rate; made up if left out.
        statuses: Of trainings that did not end well: failed, diverged, or missing (no record).
        header: Keys of ``study.json`` that are other than usual.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bits = bits or made_up(names, seeds, rates, random.Random(7))
    jobs: list[dict[str, Any]] = [
        {"key": f"c-{n}", "kind": "costs", "variant": n, "seed": None, "learning_rate": None}
        for n in names
    ]
    jobs += [
        {"key": f"t-{n}-{s}-{r}", "kind": "training", "variant": n, "seed": s, "learning_rate": r}
        for n in names
        for s in range(seeds)
        for r in rates
    ]
    values = {
        "format": 1,
        "version": "0.1.0",
        "name": "schedules-20m",
        "match": {"cost": "non-embedding-params", "target": 20_000_000, "tolerance": 0.01},
        "variants": [variant(name) for name in names],
        "jobs": jobs,
        "settings": {"training": {"steps": 500, "batch_size": 32, "seq_len": 256}},
    }
    (folder / "study.json").write_text(json.dumps(values | header))
    (folder / "plan.yaml").write_text("name: schedules-20m\n")
    records = []
    costs = {v["name"]: v["cost"] for v in values["variants"]}  # type: ignore[attr-defined]
    for job in jobs:
        status = (statuses or {}).get((job["variant"], job["seed"]), "done")
        if status == "missing":
            continue
        result = (
            costs[job["variant"]]
            if job["kind"] == "costs"
            else training(bits[job["variant"], job["seed"], job["learning_rate"]], 3e-4)
        )
        if job["kind"] == "training":
            result["learning_rate"] = job["learning_rate"]
        error = {
            "type": "OutOfMemory",
            "message": "the child was ended",
            "signal": "SIGKILL",
            "step": 120,
        }
        records.append(
            job
            | {
                "status": status,
                "error": error if status == "failed" else None,
                "result": None if status == "failed" else result,
                "started": "2026-11-24T09:00:00Z",
                "seconds": 12.5,
                "host": "here",
                "device": "cpu",
                "versions": {"elmcfg": "0.1.0", "mlx": "0.32.4", "python": "3.11.9"},
                "attempt": 1,
            }
        )
    (folder / "journal.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return records
