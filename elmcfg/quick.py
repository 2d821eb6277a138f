"""Whether a config is clean, decided without Pydantic.

Importing Pydantic and building the models takes longer than everything else ``validate`` does to
one file. Most files in most runs are clean, and that can be told from the committed JSON Schema,
which is generated from the same models, and from the cross-field rules and the advice, which take
plain values. Only a file that does not pass here is read with the models, which then say what is
wrong. A test holds the two to the same verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from math import inf, isfinite
from typing import Any

from elmcfg.diagnostics import Loc
from elmcfg.invariants import violations_of
from elmcfg.rules import advice
from elmcfg.rules.draft import MULTIPLIER_LISTS, Draft
from elmcfg.sources import VARIANT_SCHEMA, data_folder

Check = Callable[[Any], bool]
Schema = Mapping[str, Any]


def is_clean(values: Mapping[str, Any], *, as_json: bool = False) -> bool:
    """Whether the values make a valid config, with nothing in it that is worth a remark.

    ``False`` means only that the models must look.

    Args:
        values: Keys and values as a document holds them.
        as_json: Whether they stand in a ``config.json``, which other programs read too.
    """
    if not _check()(values):
        return False
    given = {key: value for key, value in values.items() if value is not None}
    for key in MULTIPLIER_LISTS:
        if isinstance(given.get(key), int | float):
            given[key] = [given[key]]
    draft = Draft(given, {} if as_json else None)
    return not violations_of(draft) and not advice(draft)


def fits(loc: Loc, value: Any) -> bool:
    """Whether a value could stand at a place, as far as its type and range tell."""
    schema = _schema()
    for part in loc:
        schema = _inner(schema, part)
    return _compiled(schema, _schema()["$defs"])(value)


def _inner(schema: Schema, part: str | int) -> Schema:
    """The schema of what stands below a key or an index; where there is none, nothing fits."""
    for option in schema.get("anyOf", [schema]):
        named = option.get("$ref", "").rpartition("/")[2]
        holder = _schema()["$defs"][named] if named else option
        below = {part: holder.get("items")} if isinstance(part, int) else holder.get("properties")
        inner: Schema | None = (below or {}).get(part)
        if inner is not None:
            return inner
    return {"enum": []}


@cache
def _schema() -> Schema:
    text = (data_folder("schemas") / VARIANT_SCHEMA).read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


@cache
def _check() -> Check:
    return _compiled(_schema(), _schema()["$defs"])


def _compiled(schema: Schema, definitions: Schema) -> Check:
    """The part of JSON Schema that our own schema uses, as strictly as the models read it."""
    if "$ref" in schema:
        return _compiled(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        options = [_compiled(option, definitions) for option in schema["anyOf"]]
        return lambda value: any(option(value) for option in options)
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return lambda value: isinstance(value, str) and value in allowed
    kind = schema["type"]
    if kind == "object":
        return _object(schema, definitions)
    if kind == "array":
        return _array(schema, definitions)
    return _SCALARS[kind](schema)


def _object(schema: Schema, definitions: Schema) -> Check:
    known = {key: _compiled(s, definitions) for key, s in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties")
    other = _compiled(others, definitions) if isinstance(others, dict) else None
    required = schema.get("required", ())

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or not all(key in value for key in required):
            return False
        for key, item in value.items():
            fits = known.get(key, other)
            if fits is None or not fits(item):
                return False
        return True

    return check


def _array(schema: Schema, definitions: Schema) -> Check:
    items = schema["items"]
    fits = _compiled(items, definitions)
    if items.get("type") not in ("integer", "number"):
        return lambda value: isinstance(value, list) and all(map(fits, value))
    types = {int} if items["type"] == "integer" else {int, float}
    # Of numbers of the right type, the ends and one that is not finite tell all there is to tell.
    return lambda value: (
        isinstance(value, list)
        and (
            not value
            or (
                types.issuperset(map(type, value))
                and fits(min(value))
                and fits(max(value))
                and ((int in types and float not in types) or all(map(_finite, value)))
            )
        )
    )


def _finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False


def _number(schema: Schema) -> Check:
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    above = schema.get("exclusiveMinimum", -inf)
    return lambda value: (
        type(value) in (int, float) and least <= value <= most and value > above and _finite(value)
    )


def _integer(schema: Schema) -> Check:
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    step = schema.get("multipleOf", 1)
    return lambda value: type(value) is int and least <= value <= most and value % step == 0


def _string(schema: Schema) -> Check:
    # The models refuse text that is not valid Unicode, which JSON's escapes can make.
    return lambda value: (
        isinstance(value, str)
        and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))
    )


_SCALARS: dict[str, Callable[[Schema], Check]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "boolean": lambda schema: lambda value: isinstance(value, bool),
    "null": lambda schema: lambda value: value is None,
}
