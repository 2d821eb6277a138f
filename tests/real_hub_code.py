"""Runs configs in the hub's own code for OpenELM, under whatever transformers is installed.

    python tests/real_hub_code.py FOLDER < configs.json

FOLDER holds ``configuration_openelm.py`` and ``modeling_openelm.py`` of apple/OpenELM. Needs torch
and transformers, which elmcfg's own tests do without: see ``tests/fuzz/verdicts.py --hub-code``.

Reads a JSON list of configs from standard input. Prints one JSON object a line: the query and KV
heads, the shapes, whether the output head is the embedding, how many tokens of six get logits; or
the error, and at which stage. Nothing here imports elmcfg.
"""

import importlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_TOKENS = 6


def load(folder: Path) -> tuple[Any, Any]:
    """The classes of the config and of the model."""
    try:
        sys.path.insert(0, str(folder.parent))
        modeling = importlib.import_module(f"{folder.name}.modeling_openelm")
    except ImportError:  # with its one import between the two files made absolute
        sys.path.insert(0, str(folder))
        modeling = importlib.import_module("modeling_openelm")
    return modeling.OpenELMConfig, modeling.OpenELMForCausalLM


def outcome(classes: tuple[Any, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What becomes of one config."""
    import torch

    stage = "config"
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(values))
            config = classes[0].from_pretrained(folder)
        stage = "built"
        model = classes[1](config).float().eval()
        stage = "forward"
        tokens = torch.arange(_TOKENS)[None] % values["vocab_size"]
        with torch.no_grad():
            logits = model(tokens).logits
    except Exception as error:  # whatever it stops with is the answer
        return {"error": f"{type(error).__name__}: {error}"[:300], "stage": stage}
    embedding = model.transformer.token_embeddings.weight
    return {
        "heads": [config.num_query_heads, config.num_kv_heads],
        "shapes": {name: list(tensor.shape) for name, tensor in model.state_dict().items()},
        "tied": model.lm_head is None or model.lm_head.weight.data_ptr() == embedding.data_ptr(),
        "tokens": logits.shape[1],
        "finite": bool(torch.isfinite(logits).all()),
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    os.environ["HF_HUB_OFFLINE"] = "1"
    both = load(Path(sys.argv[1]).resolve())
    for config in json.load(sys.stdin):
        print(json.dumps(outcome(both, config)), flush=True)
