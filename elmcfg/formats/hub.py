"""The ``config.json`` of a hub model folder, as mlx-lm and transformers read it."""

from __future__ import annotations

import json
from typing import Any

from elmcfg.config import Config, resolve
from elmcfg.formats import variant

_OWN_KEYS = {"name", "description", "source", "schedule", "weight_dtype", "cache_dtype"}

OWN_CODE = {
    "AutoConfig": "configuration_openelm.OpenELMConfig",
    "AutoModelForCausalLM": "modeling_openelm.OpenELMForCausalLM",
}
"""The ``auto_map`` of the released config.json files (apple/OpenELM): files beside the config."""


def foreign_code(config: Config) -> dict[str, str]:
    """Entries of ``auto_map`` that are not the released configs': code that nobody vouches for.

    An entry may name another repository (``somebody/code--modeling.Model``), which transformers
    downloads and runs for whoever trusts the model's code.
    """
    given = config.auto_map or {}
    return {name: code for name, code in given.items() if OWN_CODE.get(name) != code}


def values(config: Config) -> dict[str, Any]:
    """Plain values with every list written out, keys sorted as in the released files.

    An ``auto_map`` that names any :func:`foreign_code` is left out: who trusts what elmcfg writes
    shall not run what a stranger wrote.
    """
    resolved = resolve(config)
    if foreign_code(config):
        resolved = resolved.model_copy(update={"auto_map": None})
    plain = {k: v for k, v in variant.values(resolved).items() if k not in _OWN_KEYS}
    points = plain.get("qkv_multipliers")
    if points is not None and len(points) == 1:
        # The hub's code takes a plain number for a uniform model, and no list of one.
        plain["qkv_multipliers"] = points[0]
    if not config.share_input_output_layers:
        # transformers ties by this key, which is true for it unless the file says otherwise.
        plain["tie_word_embeddings"] = False
    return dict(sorted(plain.items()))


def dump(config: Config) -> str:
    """The text of the ``config.json``."""
    return json.dumps(values(config), indent=2) + "\n"
