"""What a geometry costs: parameters by part, KV-cache bytes, FLOPs and weight bytes.

Each formula stands where it is used, with its unit. Conventions differ between tools, by factors
of 2 to 8, so they are part of the value: :attr:`Flops.convention` says what was counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from elmcfg.geometry import Geometry, LayerShape, geometry
from elmcfg.storage import DTYPE_BYTES as DTYPE_BYTES
from elmcfg.storage import PACKINGS, Storage, named, plain

if TYPE_CHECKING:
    from elmcfg.config import Config

KV_CACHE_DTYPE_BYTES = 2
MAX_CONTEXT_LENGTH = 2**30
"""As long as a config's own context can be."""
FLOPS_CONVENTION = (
    "one multiply-add is 2 FLOPs; matrix multiplications only; attention counts the query-key "
    "and weight-value products; prefill is the mean over a causal sequence of context_length "
    "tokens, decode is its last token, training is forward and backward of prefill (3x)"
)


STORED = (*DTYPE_BYTES, *PACKINGS)
"""Names of what weights and a KV cache can be stored in."""

_BFLOAT16 = plain("bfloat16")


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Parameters of one layer, its KV-cache bytes per token, and the bytes of its weights."""

    attention: int
    ffn: int
    norm: int
    kv_cache_bytes_per_token: int
    weight_bytes: int

    @property
    def parameters(self) -> int:
        """All parameters of the layer."""
        return self.attention + self.ffn + self.norm


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts by part.

    Attributes:
        total: All of them.
        embedding: The token embedding table, and the output head where it is not shared.
        non_embedding: All but ``embedding``.
        attention: QKV and output projections of all layers.
        ffn: Feed-forward projections of all layers.
        norm: RMSNorm weights: two per layer, QK norms where on, and the final one.
    """

    total: int
    embedding: int
    non_embedding: int
    attention: int
    ffn: int
    norm: int


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations per token at a context length; see ``convention``.

    Attributes:
        context_length: Tokens of context that the attention terms assume.
        linear: All projections of all layers: 2 per matrix parameter.
        lm_head: The output head: 2 * vocab_size * model_dim, shared or not.
        attention: Attention of one token over ``context_length`` positions.
        prefill: Mean per token of one causal pass over ``context_length`` tokens.
        decode: One new token after ``context_length - 1`` cached ones.
        training: Forward and backward pass, 3 * prefill.
        convention: What was counted, in words.
    """

    context_length: int
    linear: int
    lm_head: int
    attention: int
    prefill: int
    decode: int
    training: int
    convention: str = FLOPS_CONVENTION


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs of a model.

    Attributes:
        parameters: Counts by part.
        layers: Costs of each layer.
        kv_cache_bytes_per_token: Keys and values of all layers, in ``cache_dtype``.
        flops_per_token: See :class:`Flops`.
        weight_bytes: Bytes of all parameters, as ``weight_dtype`` says.
        table_bytes: Of these the embedding table's, and the output head's where it is not shared.
        weight_dtype: How the weights are stored, in words.
        cache_dtype: How the KV cache is stored, in words.
    """

    parameters: Parameters
    layers: tuple[LayerCost, ...]
    kv_cache_bytes_per_token: int
    flops_per_token: Flops
    weight_bytes: int
    table_bytes: tuple[int, ...]
    weight_dtype: str
    cache_dtype: str

    def values(self) -> dict[str, Any]:
        """As every JSON output has them, without the per-layer ones, which stand in the layers."""
        return {
            "parameters": asdict(self.parameters),
            "kv_cache_bytes_per_token": self.kv_cache_bytes_per_token,
            "flops_per_token": asdict(self.flops_per_token),
            "weight_bytes": self.weight_bytes,
            "weight_dtype": self.weight_dtype,
            "cache_dtype": self.cache_dtype,
        }

    @property
    def running_totals(self) -> list[tuple[int, int]]:
        """For each layer the bytes of weights and of KV cache per token up to and with it.

        They begin with the embedding table (and an untied output head) and leave the final norm
        out. It is where to cut a model that is to be spread over devices.
        """
        weights, cache = sum(self.table_bytes), 0
        totals = []
        for layer in self.layers:
            weights += layer.weight_bytes
            cache += layer.kv_cache_bytes_per_token
            totals.append((weights, cache))
        return totals


def layer_cost(
    layer: LayerShape,
    shape: Geometry,
    storage: Storage = _BFLOAT16,
    head_bytes: int | None = None,
) -> LayerCost:
    """Return the costs of one layer, with its weights in a form of storage.

    With D channels, H channels per head, Q query heads, K KV heads and F feed-forward channels:
    attention is ``(Q + 2K) * H * D`` for the fused QKV projection and ``Q * H * D`` for the output;
    the feed-forward is ``3 * F * D`` with a gate and ``2 * F * D`` without; the norms are
    ``2 * D``, and ``2 * H`` more with QK norm. The cache holds K keys and K values of H numbers.
    A part that the layer has not costs nothing, its norm included; a matrix in its place is
    ``D * D``, with the norm (``modeling_decilm.py`` of nvidia/Llama-3_1-Nemotron-51B-Instruct).
    """
    d, h = shape.model_dim, shape.head_dim
    q, kv, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
    qk_norm = 2 * h if shape.normalize_qk_projections and q else 0
    norm = (layer.has_attention + layer.has_ffn) * d + qk_norm
    attention = d * d if layer.linear_attention else (2 * q + 2 * kv) * h * d
    ffn = d * d if layer.linear_ffn else (3 if shape.ffn_with_glu else 2) * f * d
    matrix_bytes = (attention + ffn) * storage.width
    if not storage.is_plain:
        matrix_bytes = sum(storage.matrix_bytes(*m) for m in shape.layer_matrices(layer))
    return LayerCost(
        attention=attention,
        ffn=ffn,
        norm=norm,
        kv_cache_bytes_per_token=2 * kv * (head_bytes or h * KV_CACHE_DTYPE_BYTES),
        weight_bytes=norm * storage.width + matrix_bytes,
    )


def _head_bytes(dtype: str, shape: Geometry) -> int:
    """Return the bytes of a key or a value of one head.

    Raises:
        ValueError: If there is no such dtype, or MLX cannot quantize the keys of such heads.
    """
    if dtype in DTYPE_BYTES:
        return shape.head_dim * DTYPE_BYTES[dtype]
    if dtype not in PACKINGS:
        raise ValueError(f"cache_dtype is {dtype!r}; there are {', '.join(STORED)}")
    packing = PACKINGS[dtype]
    if shape.head_dim % packing.group_size:
        raise ValueError(
            f"head_dim {shape.head_dim} is not whole groups of {packing.group_size}, so that "
            f"mlx-lm cannot keep the KV cache in {dtype}; count it in bfloat16, float16 or float32"
        )
    return packing.nbytes(1, shape.head_dim, 2)


def cost(
    config: Config,
    *,
    context_length: int | None = None,
    weight_dtype: str | Storage | None = None,
    cache_dtype: str | None = None,
) -> Cost:
    """Return all costs of a config, in closed form.

    Args:
        config: A valid config.
        context_length: Tokens of context that the attention FLOPs assume; the config's
            ``max_context_length`` where not given.
        weight_dtype: How the weights are stored: one of :data:`STORED`, or what a checkpoint has;
            the config's ``torch_dtype`` where not given.
        cache_dtype: One of :data:`STORED`; a 2-byte dtype where not given.

    Raises:
        ValueError: If ``context_length`` is not 1 to :data:`MAX_CONTEXT_LENGTH`, or there is no
            such dtype.
    """
    context = config.max_context_length if context_length is None else context_length
    if not 1 <= context <= MAX_CONTEXT_LENGTH:
        shown = f"{context:,}" if abs(context) < 10**18 else "a longer number"
        raise ValueError(f"context_length must be 1 to {MAX_CONTEXT_LENGTH:,}, got {shown}")
    shape = geometry(config)
    storage = _storage(weight_dtype or config.torch_dtype, shape)
    head_bytes = None if cache_dtype is None else _head_bytes(cache_dtype, shape)
    layers = tuple(layer_cost(one, shape, storage, head_bytes) for one in shape.layers)
    tables = tuple(
        storage.matrix_bytes(name, shape.vocab_size, shape.model_dim)
        for name in ("transformer.token_embeddings", "lm_head")
    )[: 1 if shape.share_input_output_layers else 2]
    attention = sum(layer.attention for layer in layers)
    ffn = sum(layer.ffn for layer in layers)
    norm = sum(layer.norm for layer in layers) + shape.model_dim
    table = shape.vocab_size * shape.model_dim
    embedding = table if shape.share_input_output_layers else 2 * table
    non_embedding = attention + ffn + norm

    linear = 2 * (attention + ffn)
    query_channels = shape.head_dim * sum(layer.num_query_heads for layer in shape.layers)
    # Two products (QK^T and weights times V), 2 FLOPs per multiply-add, per position attended to.
    attention_flops = 4 * query_channels * context
    # The mean of 1, 2, ..., context positions is (context + 1) / 2; 4 of that is always whole.
    prefill = linear + 2 * table + 2 * query_channels * (context + 1)
    return Cost(
        parameters=Parameters(
            total=embedding + non_embedding,
            embedding=embedding,
            non_embedding=non_embedding,
            attention=attention,
            ffn=ffn,
            norm=norm,
        ),
        layers=layers,
        kv_cache_bytes_per_token=sum(layer.kv_cache_bytes_per_token for layer in layers),
        flops_per_token=Flops(
            context_length=context,
            linear=linear,
            lm_head=2 * table,
            attention=attention_flops,
            prefill=prefill,
            decode=linear + 2 * table + attention_flops,
            training=3 * prefill,
        ),
        weight_bytes=sum(tables)
        + sum(layer.weight_bytes for layer in layers)
        + shape.model_dim * storage.width,
        table_bytes=tables,
        weight_dtype=storage.label,
        cache_dtype=cache_dtype or "2-byte dtype",
    )


def as_run(
    config: Config,
    *,
    context_length: int | None = None,
    stored: Storage | None = None,
    weight_dtype: str | None = None,
    cache_dtype: str | None = None,
) -> Cost:
    """Return the costs in the dtypes that are asked for, or else in those the model has.

    Args:
        config: As for :func:`cost`.
        context_length: As for :func:`cost`.
        stored: How the checkpoint of the model is stored, where that is known.
        weight_dtype: As for :func:`cost`; if not given, ``stored`` or the config's own counts.
        cache_dtype: As for :func:`cost`; if not given, the config's own counts.

    Raises:
        ValueError: As for :func:`cost`.
    """
    return cost(
        config,
        context_length=context_length,
        weight_dtype=weight_dtype or stored or config.weight_dtype,
        cache_dtype=cache_dtype or config.cache_dtype,
    )


def _storage(weight_dtype: str | Storage, shape: Geometry) -> Storage:
    if isinstance(weight_dtype, Storage):
        return weight_dtype
    if weight_dtype not in STORED:
        raise ValueError(f"weight_dtype is {weight_dtype!r}; there are {', '.join(STORED)}")
    return named(weight_dtype, shape)
