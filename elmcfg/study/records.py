"""What a study's files say, as far as a report needs it: the models that damaged files fail.

A folder may be a stranger's, or damaged: a report takes no number that is text, not finite or
beyond all measure, and no name that is none.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

MOST_BITS = 1e6
"""Bits per byte beyond which a training has no result."""

Count = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Number = Annotated[float, Field(strict=True, ge=-1e100, le=1e100, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=1_000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Parameters(_Part):
    total: Count | None = None
    non_embedding: Count | None = None


class _Flops(_Part):
    training: Count | None = None


class _Cost(_Part):
    parameters: _Parameters = _Parameters()
    kv_cache_bytes_per_token: Count | None = None
    flops_per_token: _Flops = _Flops()


class _Match(_Part):
    cost: Name | None = None
    target: Number | None = None
    tolerance: Number | Name | None = None


class _Error(_Part):
    type: Name
    message: str
    signal: Name | None = None
    step: Count | str | None = None


class _Corpus(_Part):
    name: Name
    sha256: Name


class _Result(_Part):
    passed: bool | None = None
    corpus: _Corpus | None = None
    diverged_at: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    peak_memory_bytes: Count | None = None
    tokens_per_second: Number | None = None
    prefill_tokens_per_second: Number | None = None
    decode_tokens_per_second: Number | None = None


def _checked(model: type[_Part]) -> PlainValidator:
    """Return a validator of plain values that keeps them as they are, whatever else they hold."""

    def check(values: Any) -> dict[str, Any]:
        model.model_validate(values)
        return dict(values)

    return PlainValidator(check)


CostValues = Annotated[dict[str, Any], _checked(_Cost)]
MatchValues = Annotated[dict[str, Any], _checked(_Match)]
ErrorValues = Annotated[dict[str, Any], _checked(_Error)]
ResultValues = Annotated[dict[str, Any], _checked(_Result)]

Bits = Annotated[float, Field(strict=True, ge=-MOST_BITS, le=MOST_BITS, allow_inf_nan=False)]


class Trained(_Part):
    """The result of a training that came to its end."""

    bits_per_byte: Bits
    validation: tuple[tuple[Count, Bits], ...]
    learning_rate: Number | None = None
