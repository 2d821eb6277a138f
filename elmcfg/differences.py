"""What two models differ in: keys, layers and costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from elmcfg.config import Config
from elmcfg.costs import Cost, as_run
from elmcfg.geometry import geometry
from elmcfg.storage import DTYPE_BYTES, Storage

_NOT_COMPARED = {
    "name", "description", "source", "schedule", "architectures", "auto_map",
    "transformers_version", "qkv_multipliers", "ffn_multipliers", "num_query_heads",
    "num_kv_heads", "num_gqa_groups",
}  # fmt: skip
LAYER_KEYS = ("num_query_heads", "num_kv_heads", "ffn_dim")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two models differ in.

    Attributes:
        keys: Keys of the config with another value, each with both; the lists and the recipe for
            them are compared as layers.
        layers: Index, and for each of :data:`LAYER_KEYS` both numbers, of the layers that differ;
            None where a model has no such layer.
        same_layers: How many layers are alike.
        costs: Name, unit and both numbers of each cost, alike or not.
    """

    keys: dict[str, tuple[Any, Any]]
    layers: tuple[tuple[int, dict[str, tuple[int | None, int | None]]], ...]
    same_layers: int
    costs: tuple[tuple[str, str, int, int], ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two are the same model."""
        return not self.keys and not self.layers


def compare(
    first: Config,
    second: Config,
    *,
    context_length: int | None = None,
    unknown: Collection[str] = (),
    stored: tuple[Storage | None, Storage | None] = (None, None),
    weight_dtype: str | None = None,
    cache_dtype: str | None = None,
) -> Comparison:
    """Compare two models by what they are, not by how their files say it.

    Args:
        first: One model.
        second: The other.
        context_length: Tokens of context for FLOPs and KV cache; the longer of the two models'
            own where not given.
        unknown: Keys that are not known of one of them, and so not compared.
        stored: How the checkpoint of each is stored, where that is known.
        weight_dtype: As for :func:`elmcfg.costs.as_run`.
        cache_dtype: As for :func:`elmcfg.costs.as_run`.

    Raises:
        ValueError: If ``context_length`` is not 1 to 2**30.
    """
    skipped = _NOT_COMPARED | set(unknown)
    a, b = (config.model_dump(mode="json", exclude=skipped) for config in (first, second))
    layers = [
        {key: [getattr(layer, key) for layer in geometry(config).layers] for key in LAYER_KEYS}
        for config in (first, second)
    ]
    depths = first.num_transformer_layers, second.num_transformer_layers
    differing = []
    for i in range(max(depths)):
        one, other = (
            {key: side[key][i] if i < n else None for key in LAYER_KEYS}
            for side, n in zip(layers, depths, strict=True)
        )
        if one != other:
            differing.append((i, {key: (one[key], other[key]) for key in LAYER_KEYS}))
    context = context_length
    if context is None:
        context = max(first.max_context_length, second.max_context_length)
    a, b = _as_stored(a, stored[0]), _as_stored(b, stored[1])
    as_asked = partial(
        as_run, context_length=context, weight_dtype=weight_dtype, cache_dtype=cache_dtype
    )
    return Comparison(
        keys={key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)},
        layers=tuple(differing),
        same_layers=max(depths) - len(differing),
        costs=tuple(
            (name, unit, x, y)
            for (name, unit, x), (_, _, y) in zip(
                *(
                    _costs(as_asked(config, stored=one), context)
                    for config, one in zip((first, second), stored, strict=True)
                ),
                strict=True,
            )
        ),
    )


def _as_stored(keys: dict[str, Any], stored: Storage | None) -> dict[str, Any]:
    """Return the keys with the dtype or the quantization that the weights really have."""
    if stored is None:
        return keys
    if stored.label not in DTYPE_BYTES:
        return keys | {"quantization": stored.label}
    return keys | ({"torch_dtype": stored.label} if "torch_dtype" in keys else {})


def _costs(spent: Cost, context: int) -> list[tuple[str, str, int]]:
    p, f = spent.parameters, spent.flops_per_token
    return [
        ("parameters", "", p.total),
        ("  embedding", "", p.embedding),
        ("  attention", "", p.attention),
        ("  ffn", "", p.ffn),
        ("  norm", "", p.norm),
        ("weights", "bytes", spent.weight_bytes),
        (f"KV cache at {context:,}", "bytes", spent.kv_cache_bytes_per_token * context),
        ("FLOPs/token, prefill", "FLOPs", f.prefill),
        ("FLOPs/token, decode", "FLOPs", f.decode),
        ("FLOPs/token, training", "FLOPs", f.training),
    ]
