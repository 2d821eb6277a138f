"""The one vocabulary: the keys of a released OpenELM ``config.json``, typed, bounded and related.

Sources of the fields: the configs released as apple/OpenELM-* (arXiv 2404.14619), CoreNet's
``general_gpt.py`` (apple/corenet), and mlx-lm's ``models/openelm.py`` for ``rms_norm_eps``. Every
field carries title, description, unit and source, which feed the JSON Schema in ``schemas/``.

A :class:`Config` that exists is valid: it is frozen, its lists are tuples, its numbers are
finite, unknown keys are refused, and the rules of :mod:`elmcfg.invariants` hold. It keeps what it
was given, recipe or lists; :func:`resolve` writes the lists out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from elmcfg import schedule as _schedule
from elmcfg.diagnostics import value_at
from elmcfg.field_types import (
    MAX_LAYERS,
    MAX_SIZE,
    Dtype,
    HeadCounts,
    Multiplier,
    Multipliers,
    PositiveFloat,
    RopeBase,
    Size,
    Text,
    TokenId,
)
from elmcfg.geometry import geometry
from elmcfg.invariants import violations
from elmcfg.storage import Stored

_OPENELM = "apple/OpenELM config.json"
_CORENET = "apple/corenet general_gpt.py"
_PAPER = "arXiv 2404.14619"


def _described(
    title: str, description: str, *, unit: str | None = None, source: str, **bounds: Any
) -> Any:
    extra: dict[str, Any] = {"source": source}
    if unit is not None:
        extra["unit"] = unit
    return Field(title=title, description=description, json_schema_extra=extra, **bounds)


class Schedule(BaseModel):
    """How control points become one multiplier per layer, beyond what ``config.json`` can say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimals: Annotated[StrictInt, Field(ge=0, le=12)] | None = _described(
        "Decimals",
        "Decimals that interpolated multipliers are rounded to, with numpy's rounding; null "
        "leaves them as they are. CoreNet and the released models round to 2.",
        source=_CORENET,
        default=_schedule.RELEASED_DECIMALS,
        examples=[2, None],
    )
    frame_qkv_multiplier: Multiplier | None = _described(
        "QKV multiplier of the frame",
        "Forced onto the first and the last layer after interpolation.",
        source="arXiv 2509.06518, baroian/OLMo-custom",
        default=None,
        examples=[1.0],
    )
    frame_ffn_multiplier: Multiplier | None = _described(
        "FFN multiplier of the frame",
        "Forced onto the first and the last layer after interpolation.",
        source="arXiv 2509.06518, baroian/OLMo-custom",
        default=None,
        examples=[4.0],
    )


class Config(BaseModel):
    """A layer-wise-scaled transformer, as a released OpenELM ``config.json`` describes it.

    Raises:
        pydantic.ValidationError: Listing every field that has a wrong type or range, or, where
            the fields are sound, every broken rule between them, each with its exact ``loc``.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        title="elmcfg variant",
    )

    name: Text | None = _described(
        "Name",
        "What the variant is called.",
        source="elmcfg",
        default=None,
        examples=["openelm-270m"],
    )
    description: Text | None = _described(
        "Description",
        "What the variant is for, in a sentence or two.",
        source="elmcfg",
        default=None,
        examples=["Vanilla layer-wise scaling, as released."],
    )
    source: Text | None = _described(
        "Source",
        "Where the shape comes from: a paper, a repository.",
        source="elmcfg",
        default=None,
        examples=["arXiv 2404.14619"],
    )
    model_type: Literal["openelm"] = _described(
        "Model type",
        "Chooses the model code in mlx-lm and transformers.",
        source=_OPENELM,
        default="openelm",
    )
    num_transformer_layers: Annotated[StrictInt, Field(ge=1, le=MAX_LAYERS)] = _described(
        "Number of layers", "Depth of the model.", unit="layers", source=_OPENELM, examples=[16, 36]
    )
    model_dim: Size = _described(
        "Model width",
        "Width of the residual stream.",
        unit="channels",
        source=_OPENELM,
        examples=[1280, 3072],
    )
    head_dim: Annotated[StrictInt, Field(ge=2, le=MAX_SIZE, multiple_of=2)] = _described(
        "Head width",
        "Width of one attention head; even, since RoPE turns channels in pairs.",
        unit="channels",
        source=_OPENELM,
        examples=[64, 128],
    )
    vocab_size: Size = _described(
        "Vocabulary size",
        "Rows of the embedding table.",
        unit="tokens",
        source=_OPENELM,
        examples=[32000],
    )
    num_gqa_groups: Size | None = _described(
        "Query heads per KV head",
        "Despite its name, the number of query heads that share one KV head: 1 is multi-head "
        "attention. Part of the recipe for the head lists.",
        unit="query heads per KV head",
        source=_CORENET,
        default=None,
        examples=[4],
    )
    qkv_multipliers: Multipliers | None = _described(
        "QKV multipliers",
        "Query width of each layer as a multiple of model_dim, before rounding to whole heads: "
        "control points over the depth (the released models have two), or one per layer.",
        unit="model widths",
        source=_PAPER,
        default=None,
        examples=[[0.5, 1.0]],
    )
    ffn_multipliers: Multipliers = _described(
        "FFN multipliers",
        "Feed-forward width of each layer as a multiple of model_dim, before rounding to "
        "ffn_dim_divisor: one per layer (as released), or control points over the depth.",
        unit="model widths",
        source=_PAPER,
        examples=[[0.5, 4.0]],
    )
    num_query_heads: HeadCounts | None = _described(
        "Query heads",
        "Query heads of each layer; a multiple of the layer's KV heads.",
        unit="heads",
        source=_OPENELM,
        default=None,
        examples=[[12, 12, 16, 20]],
    )
    num_kv_heads: HeadCounts | None = _described(
        "KV heads",
        "Key/value heads of each layer.",
        unit="heads",
        source=_OPENELM,
        default=None,
        examples=[[3, 3, 4, 5]],
    )
    ffn_dim_divisor: Size = _described(
        "FFN divisor",
        "Feed-forward widths are rounded to a multiple of this.",
        unit="channels",
        source=_OPENELM,
        default=256,
        examples=[256],
    )
    ffn_with_glu: StrictBool = _described(
        "Gated feed-forward",
        "Whether the feed-forward has a gate (SwiGLU). mlx-lm ignores false and builds the gate.",
        source=_OPENELM,
        default=True,
    )
    activation_fn_name: Literal["swish"] = _described(
        "Activation", "Activation of the feed-forward.", source=_OPENELM, default="swish"
    )
    normalization_layer_name: Literal["rms_norm"] = _described(
        "Normalization", "Normalization layer.", source=_OPENELM, default="rms_norm"
    )
    normalize_qk_projections: StrictBool = _described(
        "QK normalization",
        "Whether queries and keys are RMS-normalised per head. The default here and in mlx-lm is "
        "true, in CoreNet and in the hub's code false.",
        source=_OPENELM,
        default=True,
    )
    share_input_output_layers: StrictBool = _described(
        "Tied embeddings",
        "Whether the embedding table is also the output head. The default here and in mlx-lm is "
        "true, in CoreNet and in the hub's code false.",
        source=_OPENELM,
        default=True,
    )
    rms_norm_eps: PositiveFloat = _described(
        "RMSNorm epsilon",
        "Added to the mean square. Fixed at 1e-6 in CoreNet and absent from the released configs.",
        source="ml-explore/mlx-lm models/openelm.py",
        default=1e-6,
        examples=[1e-6],
    )
    rope_freq_constant: RopeBase = _described(
        "RoPE base",
        "Base of the rotary frequencies; within what single precision can compute with.",
        source=_OPENELM,
        default=10000.0,
        examples=[10000],
    )
    rope_max_length: Size = _described(
        "RoPE table length",
        "Positions that CoreNet precomputes; twice the context in the released models.",
        unit="tokens",
        source=_OPENELM,
        default=4096,
        examples=[4096],
    )
    max_context_length: Size = _described(
        "Context length",
        "Longest sequence.",
        unit="tokens",
        source=_OPENELM,
        default=2048,
        examples=[2048],
    )
    initializer_range: PositiveFloat = _described(
        "Initializer range",
        "Standard deviation of initial weights in the hub's code.",
        source=_OPENELM,
        default=0.02,
        examples=[0.02],
    )
    bos_token_id: TokenId | None = _described(
        "BOS token", "Token that begins a text.", source=_OPENELM, default=1, examples=[1]
    )
    eos_token_id: TokenId | None = _described(
        "EOS token", "Token that ends a text.", source=_OPENELM, default=2, examples=[2]
    )
    torch_dtype: Dtype = _described(
        "Checkpoint dtype",
        "Type of the weights in the checkpoint.",
        source=_OPENELM,
        default="bfloat16",
        examples=["bfloat16"],
    )
    use_cache: StrictBool = _described(
        "Use KV cache", "Whether the hub's code returns a cache.", source=_OPENELM, default=True
    )
    architectures: tuple[Text, ...] | None = _described(
        "Architectures",
        "Class names in the hub's code.",
        source=_OPENELM,
        default=None,
        examples=[["OpenELMForCausalLM"]],
    )
    auto_map: dict[Text, Text] | None = _described(
        "Auto map",
        "Where transformers finds the hub's code.",
        source=_OPENELM,
        default=None,
        examples=[{"AutoConfig": "configuration_openelm.OpenELMConfig"}],
    )
    transformers_version: Text | None = _described(
        "transformers version", "The version that wrote the file.", source=_OPENELM,
        default=None, examples=["4.39.3"],
    )  # fmt: skip
    weight_dtype: Stored | None = _described(
        "Weights as run", "Dtype that costs count the weights in.", source="elmcfg",
        default=None, examples=["q4"],
    )  # fmt: skip
    cache_dtype: Stored | None = _described(
        "Cache as run", "Dtype that costs count the KV cache in.", source="elmcfg",
        default=None, examples=["q8"],
    )  # fmt: skip
    schedule: Schedule = _described(
        "Schedule options",
        "How control points become one multiplier per layer, beyond what config.json can say.",
        source="elmcfg",
        default=Schedule(),
    )

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Self:
        dumped = self.model_dump(exclude_defaults=True)
        # Below the top a null says something: decimals of null is another schedule than none given.
        values = {key: value for key, value in dumped.items() if value is not None}
        found = violations(values)
        if found:
            # A ValueError would be given an empty loc; a ValidationError keeps each line's own.
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(
                        type=PydanticCustomError(
                            "broken_rule",
                            "{message} ({help})",
                            {"message": v.message, "help": v.help, "violation": v},
                        ),
                        loc=v.loc,
                        input=value_at(values, v.loc),
                    )
                    for v in found
                ],
            )
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, validated, unlike Pydantic's own.

        Raises:
            pydantic.ValidationError: If the changed config is not valid.
        """
        given = self.model_dump(include=self.model_fields_set)
        return type(self).model_validate({**given, **(update or {})})

    @classmethod
    def model_construct(  # type: ignore[override]  # it never returns
        cls, _fields_set: set[str] | None = None, **values: Any
    ) -> NoReturn:
        """Refused: it would make a config without validating it.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Config is always validated; use Config(...) or Config.model_validate")


def resolve(config: Config) -> Config:
    """The same model with every list written out, one entry per layer, as the hub has them.

    ``qkv_multipliers`` is kept as control points where that is what the released configs would
    say (at most two points, rounded to two decimals); otherwise it too is written out, because the
    hub's code would read the short form as another schedule. ``schedule`` has then nothing left
    to say and goes back to its default.
    """
    shape = geometry(config)
    update: dict[str, Any] = {
        "num_query_heads": tuple(layer.num_query_heads for layer in shape.layers),
        "num_kv_heads": tuple(layer.num_kv_heads for layer in shape.layers),
        "ffn_multipliers": tuple(layer.ffn_multiplier for layer in shape.layers),
        "schedule": Schedule(),
    }
    points = config.qkv_multipliers
    plain = config.schedule.frame_qkv_multiplier is None and (
        config.schedule.decimals == _schedule.RELEASED_DECIMALS
    )
    if points is not None and not (plain and len(points) <= 2):
        update["qkv_multipliers"] = tuple(layer.qkv_multiplier for layer in shape.layers)
    return config.model_copy(update=update)
