"""Results as plain values for ``--format json``: the promised keys, always present."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg import __version__
from elmcfg.config import Config, resolve

if TYPE_CHECKING:
    from elmcfg.costs import Cost
    from elmcfg.geometry import Geometry
    from elmcfg.hardware import Roofline
    from elmcfg.infer import Inference
    from elmcfg.proof import Report


def text(values: dict[str, Any]) -> str:
    """One JSON object, with the version first."""
    return json.dumps({"version": __version__, **values}, indent=2)


def config_values(config: Config) -> dict[str, Any]:
    """Every key of the config, with the lists written out."""
    return resolve(config).model_dump(mode="json")


def scaled(config: Config, cost: Cost) -> dict[str, Any]:
    """What ``scale`` made."""
    return {"config": config_values(config), "cost": cost.values(), "candidates": []}


def inference(found: Inference) -> dict[str, Any]:
    """The recipe of a config, and how exactly it explains each list."""
    return {
        "exact": found.is_exact,
        "num_gqa_groups": found.queries_per_kv_head,
        "layers_with_other_num_gqa_groups": list(found.differing_kv),
        "qkv_multipliers": dataclasses.asdict(found.qkv) | {"profile": found.qkv.profile},
        "ffn_multipliers": dataclasses.asdict(found.ffn) | {"profile": found.ffn.profile},
    }


def roofline(bound: Roofline) -> dict[str, Any]:
    """Bounds of time on a machine."""
    return dataclasses.asdict(bound)


def shown(config: Config, shape: Geometry, cost: Cost) -> dict[str, Any]:
    """What ``show`` shows."""
    return {
        "config": config_values(config),
        "layers": [
            dataclasses.asdict(layer)
            | {
                "parameters": spent.parameters,
                "kv_cache_bytes_per_token": spent.kv_cache_bytes_per_token,
                "cumulative_weight_bytes": weights,
                "cumulative_kv_cache_bytes_per_token": cache,
            }
            for layer, spent, (weights, cache) in zip(
                shape.layers, cost.layers, cost.running_totals, strict=True
            )
        ],
        "cost": cost.values(),
    }


def proof(config: Config, report: Report, unused: Path | None) -> dict[str, Any]:
    """Return what ``build-and-run`` has measured.

    Args:
        config: Of the model.
        report: What the checks found.
        unused: A file of weights that the config came with, and that were not run.
    """
    weights = _weights(None if report.shapes_only else "random", unused)
    return {"config": config_values(config), **report.values(), "weights": weights}


def _weights(source: str | None, unused: Path | None) -> dict[str, str | None]:
    return {"source": source, "unused": None if unused is None else str(unused)}


def proof_of_many(
    path: str, config: Config | None, outcome: Report | Exception | None, unused: Path | None
) -> dict[str, Any]:
    """One of several results: the keys of :func:`proof`, where it came from, and what went wrong.

    Args:
        path: Of the config.
        config: None where it has errors.
        outcome: The report, or why there is none.
        unused: As :func:`proof` has it.
    """
    if config is not None and outcome is not None and not isinstance(outcome, Exception):
        return {"path": path, **proof(config, outcome, unused), "error": None}
    return {
        "path": path,
        "config": None if config is None else config_values(config),
        "passed": False,
        "device": None,
        "dtype": None,
        "parameters": {"predicted": None, "counted": None},
        "checks": [],
        "peak_memory_bytes": 0,
        "seconds": 0.0,
        "estimated_memory_bytes": 0,
        "plan": None,
        "shapes_only": False,
        "weights": _weights(None, unused),
        "error": "not a valid config" if config is None else str(outcome),
    }
