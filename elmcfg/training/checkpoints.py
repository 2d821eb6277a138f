"""Where a run stands, in one file that is there whole or not at all.

It holds the weights and the optimiser's state bit for bit (safetensors), and in its metadata the
step, what was found so far, and the fingerprint of the run it belongs to. No state of a random
generator: batches are a function of the seed and the step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from elmcfg.document import new_file, open_regular
from elmcfg.training.errors import CheckpointError

FILE = "checkpoint.safetensors"


@dataclass
class Standing:
    """What a run has found so far.

    Attributes:
        step: Steps done.
        losses: Of the steps since the last point of the curve.
        first_loss: Of the first step of all.
        curve: Points of the learning curve.
        validation: Points of the validation curve.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    first_loss: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)


def save(folder: Path, fingerprint: str, standing: Standing, state: dict[str, Any]) -> None:
    """Write a checkpoint in place of the last one.

    Raises:
        CheckpointError: If it cannot be written, such as on a full disk; the last one stays.
    """
    metadata = {"fingerprint": fingerprint, "standing": json.dumps(asdict(standing))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new_file(folder / FILE, overwrite=True) as place, place.open("wb") as stream:
            mx.save_safetensors(stream, dict(tree_flatten(state)), metadata)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"checkpoint {folder / FILE}: cannot be written: {reason}") from error


def load(folder: Path, fingerprint: str) -> tuple[Standing, dict[str, Any]] | None:
    """The last checkpoint; None where there is none.

    Raises:
        CheckpointError: If it cannot be read, or belongs to another run.
    """
    path = folder / FILE
    remedy = "remove it to start again, or use another folder"
    try:
        with open_regular(path, None) as stream:
            loaded: Any = mx.load(stream, format="safetensors", return_metadata=True)
            arrays, metadata = loaded
            mx.eval(arrays)
        theirs, kept = metadata["fingerprint"], json.loads(metadata["standing"])
    except FileNotFoundError:
        return None
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: cannot be read; {remedy}") from error
    if theirs != fingerprint:
        raise CheckpointError(
            f"checkpoint {path}: is of another config, settings, corpus, seed or version; {remedy}"
        )
    for name in ("curve", "validation"):
        kept[name] = [(step, value) for step, value in kept[name]]
    return Standing(**kept), tree_unflatten(list(arrays.items()))
