"""The types of a config's fields: what a size, a multiplier or a RoPE base may be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

Dtype = Literal["float32", "bfloat16", "float16"]
"""The dtypes that weights can have; :data:`elmcfg.costs.DTYPE_BYTES` has their bytes."""

MAX_LAYERS = 1_024
"""Twice what llama.cpp has room for (512), and more than the 1,000 of DeepNet (arXiv 2203.00555),
the deepest transformer published. Each layer costs time and a line of output."""
MAX_SIZE = 2**30
MAX_MULTIPLIER = 1_000.0
MAX_SINGLE = 3.4028234663852886e38  # a larger number is infinite in single precision
MIN_ROPE_BASE = 1e-29  # below it the angles of RoPE, up to MAX_SIZE / base, are infinite too


def _one_point(value: Any) -> Any:
    """Take a plain number for "every layer the same", as CoreNet and the hub's code do."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,)
    return value


def _whole_where_possible(value: float) -> int | float:
    """Write 10000, not 10000.0, as the released configs do; a long integer stays a float."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _writable(value: str) -> str:
    """Refuse lone surrogates, which JSON's escapes can make and no file can hold."""
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise PydanticCustomError("string_unicode", "Input should be valid Unicode text")
    return value


Text = Annotated[StrictStr, AfterValidator(_writable)]
Size = Annotated[StrictInt, Field(ge=1, le=MAX_SIZE)]
PositiveFloat = Annotated[
    float,
    Field(strict=True, gt=0, le=MAX_SINGLE, allow_inf_nan=False),
    PlainSerializer(_whole_where_possible, return_type=int | float),
]
RopeBase = Annotated[
    float,
    Field(strict=True, ge=MIN_ROPE_BASE, le=MAX_SINGLE, allow_inf_nan=False),
    PlainSerializer(_whole_where_possible, return_type=int | float),
]
Multiplier = Annotated[float, Field(strict=True, gt=0, le=MAX_MULTIPLIER, allow_inf_nan=False)]
Multipliers = Annotated[
    tuple[Multiplier, ...],
    BeforeValidator(_one_point, json_schema_input_type=Multiplier | tuple[Multiplier, ...]),
]
HeadCounts = tuple[Annotated[StrictInt, Field(ge=1, le=MAX_SIZE)], ...]
TokenId = Annotated[StrictInt, Field(ge=0, le=MAX_SIZE)]
