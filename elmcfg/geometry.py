"""From a config to the final integers of every layer: the only home of arithmetic on shapes.

A layer-wise-scaled config speaks in *multipliers*; a model is built from *integers*. Between the
two stands one rounding rule, :func:`make_divisible`, and it moves widths further than one expects.
Everything that rounds a width is in this module, so that the model code contains no rounding and
the linter, the cost formulas and the proof all see the same numbers.

Functions here take plain numbers wherever they can, so that they serve a config that is only
partly valid as well as a finished one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg import schedule

if TYPE_CHECKING:
    from elmcfg.config import Config


def make_divisible(value: float, divisor: int) -> int:
    """Round ``value`` to a multiple of ``divisor``, never losing more than 10 %.

    The rule, in order: round to the nearest multiple (halves go up); use at least one divisor; add
    one more divisor where that came out below ``0.9 * value``.

    *Why it exists.* Widths that are multiples of 8, 64 or 256 fill vector lanes, matrix tiles and
    quantization groups. The rule comes from TensorFlow's MobileNet (tensorflow/models,
    ``research/slim/nets/mobilenet``) by way of CoreNet (``corenet/utils/math_utils.py``).

    *Its traps.*

    * The floor: no width is smaller than one divisor, so "no feed-forward" cannot be expressed.
    * The 10 % rule widens small widths a lot: 288 over 256 becomes 512, which is 78 % more.
    * A multiplier of 1.0 need not give ``model_dim / head_dim`` heads: at ``model_dim`` 576,
      ``head_dim`` 64 and 4 queries per KV head it gives 12 heads, not 9.
    * CoreNet's MLX example compares with ``<=`` where this, CoreNet's trainer and mlx-lm compare
      with ``<``. The two differ only when the divisor has a factor of 3.

    Args:
        value: The wanted width, positive and finite, in channels.
        divisor: The width must be a multiple of this; a positive integer, in channels.

    Returns:
        A positive multiple of ``divisor``, in channels.

    Raises:
        ValueError: If ``divisor`` is not positive, or ``value`` is negative, infinite or NaN.
    """
    if divisor < 1:
        raise ValueError(f"divisor must be a positive integer, got {divisor}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"value must be finite and not negative, got {value}")
    rounded = nearest_multiple(value, divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def nearest_multiple(value: float, divisor: int) -> int:
    """:func:`make_divisible` without its 10 % rule, and of a number of any sign; in channels."""
    return max(divisor, int(value + divisor / 2) // divisor * divisor)


def query_heads(multiplier: float, model_dim: int, head_dim: int, queries_per_kv_head: int) -> int:
    """Number of query heads of a layer with this QKV multiplier.

    The query width ``model_dim * multiplier`` is rounded to a multiple of ``head_dim *
    queries_per_kv_head``, so that heads are whole and every KV head serves equally many queries
    (CoreNet, ``general_gpt.py``).

    Args:
        multiplier: QKV multiplier of the layer, after the schedule's rounding.
        model_dim: Width of the residual stream, in channels.
        head_dim: Width of one head, in channels.
        queries_per_kv_head: Query heads that share one KV head. The released configs call this
            ``num_gqa_groups``, which it is not: 1 is multi-head attention, and as many as there
            are query heads is multi-query attention.

    Raises:
        ValueError: As :func:`make_divisible`.
    """
    return make_divisible(model_dim * multiplier, head_dim * queries_per_kv_head) // head_dim


def ffn_dim(multiplier: float, model_dim: int, divisor: int) -> int:
    """Feed-forward width of a layer with this FFN multiplier, in channels.

    Raises:
        ValueError: As :func:`make_divisible`.
    """
    return make_divisible(model_dim * multiplier, divisor)


def shortest_multiplier(width: int, model_dim: int, divisor: int) -> float:
    """What a width is of ``model_dim``, in the fewest decimals (at least two) that still give it.

    Args:
        width: In channels.
        model_dim: In channels.
        divisor: What widths are multiples of, in channels.

    Returns:
        Of a width that no multiplier gives, the ratio as it is.
    """
    for decimals in range(2, 16):
        short = round(width / model_dim, decimals)
        if short > 0 and make_divisible(model_dim * short, divisor) == width:
            return short
    return width / model_dim


def usual_rope_length(context: int) -> int:
    """Return the ``rope_max_length`` of a context: twice as long, as in the released models."""
    return 2 * context


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The final integers of one layer, with the multipliers that asked for them.

    Attributes:
        index: Position in the stack, from 0.
        num_query_heads: Query heads.
        num_kv_heads: Key/value heads; divides ``num_query_heads``.
        ffn_dim: Feed-forward width, in channels.
        qkv_multiplier: The multiplier asked for, or the effective one where the config gives the
            head lists alone.
        ffn_multiplier: The multiplier asked for.
        effective_qkv_multiplier: ``num_query_heads * head_dim / model_dim``: what was got.
        effective_ffn_multiplier: ``ffn_dim / model_dim``: what was got.
        linear_attention: Whether one square matrix stands in place of attention, which then has no
            heads; never in an OpenELM.
        linear_ffn: Whether one stands in place of the feed-forward, whose width is then 0.
    """

    index: int
    num_query_heads: int
    num_kv_heads: int
    ffn_dim: int
    qkv_multiplier: float
    ffn_multiplier: float
    effective_qkv_multiplier: float
    effective_ffn_multiplier: float
    linear_attention: bool = False
    linear_ffn: bool = False

    @property
    def has_attention(self) -> bool:
        """Whether there is attention, or what stands in its place."""
        return self.num_query_heads > 0 or self.linear_attention

    @property
    def has_ffn(self) -> bool:
        """Whether there is a feed-forward, or what stands in its place."""
        return self.ffn_dim > 0 or self.linear_ffn


@dataclass(frozen=True, slots=True)
class Geometry:
    """Every number that a model's shapes depend on, and nothing else.

    Attributes:
        vocab_size: Rows of the embedding table.
        model_dim: Width of the residual stream, in channels.
        head_dim: Width of one head, in channels.
        ffn_with_glu: Whether the feed-forward has a gate (3 matrices' worth) or not (2).
        normalize_qk_projections: Whether queries and keys are RMS-normalised per head.
        share_input_output_layers: Whether the embedding table is also the output head.
        layers: One :class:`LayerShape` per layer.
    """

    vocab_size: int
    model_dim: int
    head_dim: int
    ffn_with_glu: bool
    normalize_qk_projections: bool
    share_input_output_layers: bool
    layers: tuple[LayerShape, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every layer has heads and a feed-forward, as in every OpenELM."""
        return all(layer.num_query_heads and layer.ffn_dim for layer in self.layers)

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Return rows and columns of every matrix by its module's name, gaps in layers or not."""
        d = self.model_dim
        found = {"transformer.token_embeddings": (self.vocab_size, d)}
        for layer in self.layers:
            found |= {name: (rows, columns) for name, rows, columns in self.layer_matrices(layer)}
        if not self.share_input_output_layers:
            found["lm_head"] = (self.vocab_size, d)
        return found

    def layer_matrices(self, layer: LayerShape) -> list[tuple[str, int, int]]:
        """Name, rows and columns of each matrix of a layer."""
        d, h = self.model_dim, self.head_dim
        q, kv, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
        prefix = f"transformer.layers.{layer.index}."
        found = []
        if layer.linear_attention:
            found.append((prefix + "attn", d, d))
        elif q:
            found.append((prefix + "attn.qkv_proj", (q + 2 * kv) * h, d))
            found.append((prefix + "attn.out_proj", d, q * h))
        if layer.linear_ffn:
            found.append((prefix + "ffn", d, d))
        elif f:
            found.append((prefix + "ffn.proj_1", 2 * f if self.ffn_with_glu else f, d))
            found.append((prefix + "ffn.proj_2", d, f))
        return found

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of a checkpoint with this geometry.

        Names are those of the released checkpoints. ``qkv_proj`` holds the rows of the query
        heads, then the keys, then the values; ``proj_1`` holds the gate, then the up projection.
        """
        d, h = self.model_dim, self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "transformer.token_embeddings.weight": (self.vocab_size, d)
        }
        for layer in self.layers:
            prefix = f"transformer.layers.{layer.index}."
            q, kv, f = layer.num_query_heads, layer.num_kv_heads, layer.ffn_dim
            shapes[prefix + "attn.qkv_proj.weight"] = ((q + 2 * kv) * h, d)
            shapes[prefix + "attn.out_proj.weight"] = (d, q * h)
            if self.normalize_qk_projections:
                shapes[prefix + "attn.q_norm.weight"] = (h,)
                shapes[prefix + "attn.k_norm.weight"] = (h,)
            shapes[prefix + "ffn.proj_1.weight"] = (2 * f if self.ffn_with_glu else f, d)
            shapes[prefix + "ffn.proj_2.weight"] = (d, f)
            shapes[prefix + "attn_norm.weight"] = (d,)
            shapes[prefix + "ffn_norm.weight"] = (d,)
        shapes["transformer.norm.weight"] = (d,)
        if not self.share_input_output_layers:
            shapes["lm_head.weight"] = (self.vocab_size, d)
        return shapes


def geometry(config: Config) -> Geometry:
    """Resolve a config to the final integers of each layer.

    Head counts are taken from the config's lists where it gives them, and made from the recipe
    where it does not; a valid config that gives both gives the same numbers twice.
    """
    n, d, h = config.num_transformer_layers, config.model_dim, config.head_dim
    options = config.schedule
    ffn_multipliers = schedule.multipliers(
        config.ffn_multipliers,
        n,
        decimals=options.decimals,
        frame=options.frame_ffn_multiplier,
    )
    qkv_multipliers = None
    if config.qkv_multipliers is not None:
        qkv_multipliers = schedule.multipliers(
            config.qkv_multipliers,
            n,
            decimals=options.decimals,
            frame=options.frame_qkv_multiplier,
        )
    heads, kv_heads = config.num_query_heads, config.num_kv_heads
    if heads is None or kv_heads is None:
        groups = config.num_gqa_groups
        if qkv_multipliers is None or groups is None:
            raise AssertionError("a valid config has the head lists or the recipe for them")
        heads = tuple(query_heads(m, d, h, groups) for m in qkv_multipliers)
        kv_heads = tuple(q // groups for q in heads)

    # Only a SparseConfig has layers without a part, and these.
    linear_attention, linear_ffn = (
        frozenset(getattr(config, f"linear_{part}", None) or ()) for part in ("attention", "ffn")
    )
    layers = []
    for i in range(n):
        m = ffn_multipliers[i]
        width = ffn_dim(m, d, config.ffn_dim_divisor) if m > 0 else 0
        effective = heads[i] * h / d
        layers.append(
            LayerShape(
                index=i,
                num_query_heads=heads[i],
                num_kv_heads=kv_heads[i],
                ffn_dim=width,
                qkv_multiplier=qkv_multipliers[i] if qkv_multipliers else effective,
                ffn_multiplier=ffn_multipliers[i],
                effective_qkv_multiplier=effective,
                effective_ffn_multiplier=width / d,
                linear_attention=i in linear_attention,
                linear_ffn=i in linear_ffn,
            )
        )
    return Geometry(
        vocab_size=config.vocab_size,
        model_dim=d,
        head_dim=h,
        ffn_with_glu=config.ffn_with_glu,
        normalize_qk_projections=config.normalize_qk_projections,
        share_input_output_layers=config.share_input_output_layers,
        layers=tuple(layers),
    )
