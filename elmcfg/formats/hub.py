"""The ``config.json`` of a hub model folder, as mlx-lm and transformers read it."""

from __future__ import annotations

import json
from typing import Any

from elmcfg.config import Config, resolve

_OWN_KEYS = {"name", "description", "source", "schedule"}


def values(config: Config) -> dict[str, Any]:
    """Plain values with every list written out, keys sorted as in the released files."""
    resolved = resolve(config)
    plain = resolved.model_dump(mode="json", exclude_none=True, exclude=_OWN_KEYS)
    points = plain.get("qkv_multipliers")
    if points is not None and len(points) == 1:
        # The hub's code takes a plain number for a uniform model, and no list of one.
        plain["qkv_multipliers"] = points[0]
    return dict(sorted(plain.items()))


def dump(config: Config) -> str:
    """The text of the ``config.json``."""
    return json.dumps(values(config), indent=2) + "\n"
