"""What the models say of values: Pydantic's errors in the terms of the field, as violations.

Pydantic's cross-field validator does not run once a field has failed, so the same rules
(:mod:`elmcfg.invariants`) are then applied here to whatever is usable: a typo in one key does not
hide a bad list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from elmcfg.codes import CODES
from elmcfg.config import Config, Schedule
from elmcfg.diagnostics import Loc, Severity, Violation, value_at
from elmcfg.field_types import MAX_SINGLE
from elmcfg.invariants import violations_of
from elmcfg.rules import advice
from elmcfg.rules.draft import HEAD_LISTS, MULTIPLIER_LISTS, Draft, present
from elmcfg.rules.unknown_key import COUNTERPARTS, WITHOUT_EFFECT, help_for, near
from elmcfg.rules.wording import shown

# Keys that other programs put into a config.json and that say nothing about the shape.
_FOREIGN_KEYS = frozenset(
    {
        "_name_or_path",
        "attention_dropout",
        "attn_implementation",
        "dtype",
        "is_decoder",
        "is_encoder_decoder",
        "pad_token_id",
        "quantization",
        "quantization_config",
        "tie_word_embeddings",
        "tokenizer_class",
    }
)
_TYING = "tie_word_embeddings"
_PER_LAYER = HEAD_LISTS + MULTIPLIER_LISTS
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_unicode": "valid Unicode text",
}
_RANGE_CODES = {
    **dict.fromkeys(HEAD_LISTS, "ELM202"),
    **dict.fromkeys(MULTIPLIER_LISTS, "ELM205"),
    "head_dim": "ELM204",
    "ffn_dim_divisor": "ELM206",
}
_DEFAULTS = {
    key: field.default for key, field in Config.model_fields.items() if not field.is_required()
}
_EXAMPLES = {
    "num_transformer_layers": "16",
    "model_dim": "1280",
    "head_dim": "64",
    "vocab_size": "32000",
    "ffn_multipliers": "[0.5, 4.0]",
}


def read_values(
    values: Mapping[str, Any], *, lenient: bool = False, model: type[Config] = Config
) -> tuple[Config | None, list[tuple[Violation, Severity]]]:
    """A config from plain values, and everything found in them: faults first, then advice.

    Args:
        values: Keys and values as a document holds them.
        lenient: Whether keys of other programs may stand among ours, as in a hub ``config.json``.
        model: The class of the config.
    """
    config, draft, broken = _read(values, lenient=lenient, model=model)
    found = _foreign_keys(values) if lenient else []
    broken += advice(draft)
    return config, found + [(v, CODES[v.code].severity) for v in broken]


def draft_of(values: Mapping[str, Any], *, lenient: bool = False) -> Draft:
    """What is usable of plain values; see :func:`read_values`."""
    return _read(values, lenient=lenient)[1]


def _read(
    values: Mapping[str, Any], *, lenient: bool, model: type[Config] = Config
) -> tuple[Config | None, Draft, list[Violation]]:
    """A config where the values make one, what is usable of them, and every fault."""
    foreign: dict[str, Any] | None = None
    if lenient:
        foreign = {key: value for key, value in values.items() if key not in Config.model_fields}
        values = {key: value for key, value in values.items() if key in Config.model_fields}
    elif values.get(_TYING, 0) is values.get("share_input_output_layers", True):
        # The one key that a written config.json has beside ours; so it can be read as a mapping.
        values = {key: value for key, value in values.items() if key != _TYING}
    try:
        return model.model_validate(values), Draft(present(_usable(values, ())), foreign), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    draft = Draft(present(_usable(values, errors)), foreign)
    broken = [e["ctx"]["violation"] for e in errors if e["type"] == "broken_rule"]
    if not broken:
        broken = [_field_violation(e, values) for e in errors] + violations_of(draft)
    return None, draft, broken


def _foreign_keys(values: Mapping[str, Any]) -> list[tuple[Violation, Severity]]:
    """Remarks on the keys of a hub ``config.json`` that are not ours."""
    unknown = [k for k in values if k not in Config.model_fields and k not in _FOREIGN_KEYS]
    found = [(v, Severity.WARNING) for key in unknown if (v := _foreign_key(key, values))]
    warned = {violation.loc[0] for violation, _ in found}
    other = [key for key in unknown if key not in warned]
    if other:
        names = ", ".join(shown(key).strip('"') for key in other)
        found.append((_foreign(other[0], names), Severity.INFO))
    return found


def _foreign_key(key: str, values: Mapping[str, Any]) -> Violation | None:
    """Return what is wrong with one key that is not ours, if anything is."""
    if key in COUNTERPARTS or key in WITHOUT_EFFECT:
        remedy = help_for(key, values, _DEFAULTS)
        message = f"{key} is ignored by the programs that read an OpenELM's config.json"
        return Violation("ELM102", (key,), message, remedy) if remedy else None
    meant = near(key, Config.model_fields, values)
    return _unknown(key, meant, (key,)) if meant else None


def _usable(values: Mapping[str, Any], errors: Iterable[ErrorDetails]) -> dict[str, Any]:
    """The values that passed; ``None`` for a whole value or a list entry that did not."""
    usable: dict[str, Any] = {
        key: list(value) if isinstance(value, list | tuple) else value
        for key, value in values.items()
        if value is not None and key in Config.model_fields
    }
    for key in MULTIPLIER_LISTS:
        value = usable.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            usable[key] = [value]
    for error in errors:
        loc = error["loc"]
        if not loc or loc[0] not in usable or error["type"] == "broken_rule":
            continue
        key = str(loc[0])
        if len(loc) == 2 and isinstance(loc[1], int) and isinstance(usable[key], list):
            usable[key][loc[1]] = None
        else:
            usable[key] = None
    return usable


def _unknown(key: str, meant: Sequence[str], loc: Loc) -> Violation:
    remedy = f"did you mean {' or '.join(meant)}?" if meant else "remove it, or check its spelling"
    return Violation("ELM102", loc, f"unknown key {shown(key)}", remedy)


def _unknown_in(values: Mapping[str, Any], loc: Loc) -> Violation:
    """Return the violation of a key that no config has, in a file that may have no others."""
    key, holder = str(loc[-1]), value_at(values, loc[:-1]) or {}
    if loc[:-1] == () and (key in COUNTERPARTS or key in WITHOUT_EFFECT):
        remedy = help_for(key, values, _DEFAULTS) or "remove it"
        return Violation("ELM102", loc, f"unknown key {shown(key)}", remedy)
    known = Schedule.model_fields if len(loc) > 1 else Config.model_fields
    return _unknown(key, near(key, known, holder), loc)


def _foreign(first: str, names: str) -> Violation:
    return Violation(
        "ELM102",
        (first,),
        f"keys of other programs are not checked: {names}",
        "the programs that read an OpenELM's config.json ignore them",
    )


def _field_violation(error: ErrorDetails, values: Mapping[str, Any]) -> Violation:
    """Return a field error of Pydantic in the field's own terms."""
    loc: Loc = error["loc"]
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    key = str(loc[0]) if loc else ""
    where = ".".join(str(part) for part in loc)
    if len(loc) == 2 and key in _PER_LAYER:
        where = f"layer {loc[1]}: {key}"
    if kind == "missing":
        example = _EXAMPLES.get(key)
        return Violation(
            "ELM101",
            loc[:-1],
            f"{where} is missing",
            f"add it, for example {key}: {example}" if example else "add it",
        )
    if kind in ("extra_forbidden", "invalid_key"):
        return _unknown_in(values, loc)
    said = f"{where} is {shown(value)}"
    if kind == "literal_error":
        return Violation(
            "ELM104",
            loc,
            f"{said}, but OpenELM has {limits.get('expected', 'another')}",
            f"write {str(limits.get('expected', '')).replace(chr(39), '')}",
        )
    if kind in _EXPECTED:
        remedy = _type_remedy(kind, value)
        return Violation("ELM103", loc, f"{said}, but {_EXPECTED[kind]} belongs here", remedy)
    bound, remedy = _range(kind, limits)
    return Violation(_RANGE_CODES.get(key, "ELM207"), loc, f"{said}, but must be {bound}", remedy)


def _range(kind: str, limits: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "greater_than":
        return f"greater than {limits['gt']:g}", "use a positive number"
    if kind == "greater_than_equal":
        kind_of_number = "number" if isinstance(limits["ge"], float) else "whole number"
        return f"at least {limits['ge']:g}", f"use a {kind_of_number} from {limits['ge']:g}"
    if kind == "less_than_equal":
        if limits["le"] == MAX_SINGLE:
            return f"at most {MAX_SINGLE:g}, the largest number of single precision", (
                "use a smaller number"
            )
        return f"at most {limits['le']:,}", "use a smaller number"
    if kind == "multiple_of":
        return "even" if limits["multiple_of"] == 2 else f"a multiple of {limits['multiple_of']}", (
            "RoPE turns channels in pairs; 64 and 128 are usual"
        )
    if kind == "finite_number":
        return "finite", "write a finite number"
    return "another value", ""


def _type_remedy(kind: str, value: Any) -> str:
    """How to write what was meant."""
    if value in ("None", "none", "NULL"):
        return "for no value, write null"
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        if kind == "float_type" and "e" in value.lower() and "." not in value:
            mantissa, _, exponent = value.lower().partition("e")
            return f"YAML 1.1 reads {value} as text; write {mantissa}.0e{exponent}"
        if number.is_integer() or kind == "float_type":
            return f"remove the quotes: {value}"
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if isinstance(value, bool) and kind in ("int_type", "float_type"):
        return "YAML 1.1 reads yes, no, on and off as true and false"
    if isinstance(value, list) and kind in ("int_type", "float_type"):
        return "one number for the whole model, not one per layer"
    if kind == "tuple_type":
        return "write a list with one entry per layer"
    return ""
