"""Whether a config is clean, decided without Pydantic.

Importing Pydantic and building the models takes longer than everything else ``validate`` does to
one file. Most files in most runs are clean, and that can be told from the committed JSON Schema,
which is generated from the same models, and from the cross-field rules and the advice, which take
plain values. Only a file that does not pass here is read with the models, which then say what is
wrong. A test holds the two to the same verdict.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from elmcfg.invariants import MULTIPLIER_LISTS, violations_of
from elmcfg.rules import advice_on
from elmcfg.rules.draft import Draft
from elmcfg.sources import VARIANT_SCHEMA, data_folder

_LARGEST = sys.float_info.max


def is_clean(values: Mapping[str, Any]) -> bool:
    """Whether the values make a valid config, with nothing in it that is worth a remark.

    ``False`` means only that the models must look.
    """
    if not _fits(values, _schema()):
        return False
    given = {key: value for key, value in values.items() if value is not None}
    for key in MULTIPLIER_LISTS:
        if isinstance(given.get(key), int | float):
            given[key] = [given[key]]
    draft = Draft(given)
    return not violations_of(draft) and not advice_on(draft)


@cache
def _schema() -> Mapping[str, Any]:
    text = (data_folder("schemas") / VARIANT_SCHEMA).read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """The part of JSON Schema that our own schema uses, as strictly as the models read it."""
    if "$ref" in schema:
        return _fits(value, _schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(_fits(value, option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return isinstance(value, str) and value in schema.get("enum", [schema.get("const")])
    return _CHECKS[schema["type"]](value, schema)


def _number(value: Any, schema: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST  # false of NaN too
        and value >= schema.get("minimum", value)
        and value > schema.get("exclusiveMinimum", float("-inf"))
        and value <= schema.get("maximum", value)
    )


def _integer(value: Any, schema: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and value % schema.get("multipleOf", 1) == 0
    )


def _array(value: Any, schema: Mapping[str, Any]) -> bool:
    items = schema["items"]
    return isinstance(value, list) and all(_fits(item, items) for item in value)


def _object(value: Any, schema: Mapping[str, Any]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    return (
        isinstance(value, dict)
        and all(key in value for key in schema.get("required", ()))
        and all(
            _fits(item, properties[key])
            if key in properties
            else isinstance(others, dict) and _fits(item, others)
            for key, item in value.items()
        )
    )


def _string(value: Any, schema: Mapping[str, Any]) -> bool:
    # The models refuse text that is not valid Unicode, which JSON's escapes can make.
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


_CHECKS: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
    "number": _number,
    "integer": _integer,
    "array": _array,
    "object": _object,
    "string": _string,
    "boolean": lambda value, schema: isinstance(value, bool),
    "null": lambda value, schema: value is None,
}
