"""The JSON Schema of variant files, generated from the Pydantic models.

``schemas/variant.schema.json`` is this module's output, committed so that editors and other
validators can use it; ``python -m elmcfg.schema`` writes it again.
"""

from __future__ import annotations

import json
from typing import Any

from elmcfg.config import Config
from elmcfg.document import write_atomically
from elmcfg.sources import VARIANT_SCHEMA, data_folder


def variant_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a variant file; every released config.json satisfies it.

    It says what one key can say alone. The rules between keys (list lengths, divisibility, recipe
    against lists) are beyond JSON Schema; ``elmcfg validate`` checks them.
    """
    schema = Config.model_json_schema(mode="validation")
    schema["description"] = (
        "A layer-wise-scaled (OpenELM-style) transformer, in the keys of a released config.json."
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **{key: value for key, value in schema.items() if key != "$schema"},
    }


def text() -> str:
    """The schema as the text of the file."""
    return json.dumps(variant_schema(), indent=2, sort_keys=False) + "\n"


if __name__ == "__main__":
    write_atomically(data_folder("schemas") / VARIANT_SCHEMA, text(), overwrite=True)
