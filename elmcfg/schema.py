"""The JSON Schemas of variant files and search spaces, generated from the Pydantic models.

``schemas/`` is this module's output, committed so that editors and other validators can use it;
``python -m elmcfg.schema`` writes it again.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from elmcfg.config import Config
from elmcfg.document import write_atomically
from elmcfg.search.space import Space
from elmcfg.sources import VARIANT_SCHEMA, data_folder
from elmcfg.study.plan import Plan

SPACE_SCHEMA = "space.schema.json"
STUDY_SCHEMA = "study.schema.json"


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def variant_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a variant file; every released config.json satisfies it.

    It says what one key can say alone. The rules between keys (list lengths, divisibility, recipe
    against lists) are beyond JSON Schema; ``elmcfg validate`` checks them.
    """
    schema = _schema(Config)
    schema["description"] = (
        "A layer-wise-scaled (OpenELM-style) transformer, in the keys of a released config.json."
    )
    return schema


def space_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a search space (``elmcfg scale --space FILE``)."""
    return _schema(Space)


def study_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a study's plan (``elmcfg study PLAN``)."""
    return _schema(Plan)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **model.model_json_schema(mode="validation")}


SCHEMAS = {
    VARIANT_SCHEMA: variant_schema,
    SPACE_SCHEMA: space_schema,
    STUDY_SCHEMA: study_schema,
}
"""Name of each schema file, and what makes it."""


def text(name: str = VARIANT_SCHEMA) -> str:
    """A schema as the text of its file."""
    return json.dumps(SCHEMAS[name](), indent=2) + "\n"


if __name__ == "__main__":
    for file in SCHEMAS:
        write_atomically(data_folder("schemas") / file, text(file), overwrite=True)
