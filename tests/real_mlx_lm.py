"""Runs configs in the real mlx-lm, one after another, until one of them takes the process along.

Reads a JSON list of configs from standard input; prints one JSON object a line: the shapes of the
parameters and whether the logits are numbers, or the error. Nothing here imports elmcfg.
"""

import json
import sys
from typing import Any


def outcome(config: dict[str, Any]) -> dict[str, Any]:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    try:
        model_class, args_class = _get_classes(config)
        model = model_class(args_class.from_dict(config))
        logits = model(mx.array([[0, 0, 0]]))
        mx.eval(logits)
    except Exception as error:  # whatever it stops with is the answer
        return {"error": f"{type(error).__name__}: {error}"}
    tensors: Any = tree_flatten(model.parameters())
    shapes = {name: list(tensor.shape) for name, tensor in tensors}
    return {"shapes": shapes, "finite": bool(mx.isfinite(logits).all().item())}


if __name__ == "__main__":
    for config in json.load(sys.stdin):
        print(json.dumps(outcome(config)), flush=True)
