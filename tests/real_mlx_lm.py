"""Runs configs in the real mlx-lm, each in a process that may die of it.

Reads a JSON list of configs from standard input; prints one JSON object a line, in order: the
shapes of the parameters and whether the logits are numbers; or the error and whether it came while
the model was built or in its first forward pass; or the signal that took the process along. Nothing
here imports elmcfg.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

# Parameters of a model that is also computed; of larger ones only the shapes are looked at.
MOST_PARAMETERS = 3_000_000


def outcome(config: dict[str, Any]) -> dict[str, Any]:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    stage = "built"
    try:
        model_class, args_class = _get_classes(config)
        model = model_class(args_class.from_dict(config))
        tensors: Any = tree_flatten(model.parameters())
        shapes = {name: list(tensor.shape) for name, tensor in tensors}
        stage = "forward"
        logits = model(mx.array([[0, 0, 0]]))
        if sum(math.prod(shape) for shape in shapes.values()) > MOST_PARAMETERS:
            return {"shapes": shapes, "finite": None}
        finite = bool(mx.isfinite(logits).all().item())
    except Exception as error:  # whatever it stops with is the answer
        return {"error": f"{type(error).__name__}: {error}"[:300], "stage": stage}
    return {"shapes": shapes, "finite": finite}


def _batch(configs: Sequence[dict[str, Any]], first: int, answers: int) -> None:
    """Write the answers from one config on; the process may die on the way."""
    for config in configs[first:]:
        line = json.dumps(outcome(config)) + "\n"
        while line:
            line = line[os.write(answers, line.encode("ascii")) :]


def outcomes(configs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The outcome of each config. A child does many of them; one that died is replaced."""
    import mlx_lm.models.openelm
    import mlx_lm.utils  # noqa: F401  # takes seconds, which the children need not

    finished = 0
    while finished < len(configs):
        answers, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _batch(configs, finished, theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        with os.fdopen(answers, encoding="ascii") as stream:
            for line in stream:
                finished += 1
                yield json.loads(line)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            finished += 1
            yield {"signal": os.WTERMSIG(status)}


if __name__ == "__main__":
    for answer in outcomes(json.load(sys.stdin)):
        print(json.dumps(answer), flush=True)
