"""A config as far as it is known: plain values, and what follows from those that are usable.

Rules look at drafts, never at documents or models, so that the same rule serves a finished config
and the usable part of a broken one. What several rules need (the multiplier of every layer, the
widths) is worked out once. What cannot be known is ``None``, and a rule that needs it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from elmcfg import schedule
from elmcfg.geometry import ffn_dim, query_heads

Values = Mapping[str, Any]

_CACHE_DTYPE_BYTES = 2

HEAD_LISTS = ("num_query_heads", "num_kv_heads")
MULTIPLIER_LISTS = ("qkv_multipliers", "ffn_multipliers")

# What a config says where it says nothing; a test holds these to the models' own defaults.
DEFAULTS: Mapping[str, Any] = {
    "ffn_dim_divisor": 256,
    "ffn_with_glu": True,
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "rope_max_length": 4096,
    "max_context_length": 2048,
    "torch_dtype": "bfloat16",
}


def present(values: Values) -> dict[str, Any]:
    """The values with ``None`` for each 0 of a list, which is a part that its layer has not."""
    listed = {key: values[key] for key in HEAD_LISTS + MULTIPLIER_LISTS if values.get(key)}
    return {**values, **{key: [entry or None for entry in v] for key, v in listed.items()}}


class Draft:
    """The usable values of a config, and what follows from them.

    Args:
        values: Only values that passed their own type and range; ``None`` for one that did not, and
            for an entry of a list that did not.
        foreign: Keys of other programs that stood beside them, unchecked; ``None`` where no other
            program reads the file.
    """

    def __init__(self, values: Values, foreign: Values | None = None) -> None:
        self.values = values
        self.foreign: Values = foreign or {}
        self.has_readers = foreign is not None

    def get(self, key: str) -> Any:
        """A value; the default where the key is not given, ``None`` where it is unusable."""
        return self.values[key] if key in self.values else DEFAULTS.get(key)

    @property
    def ties_in_transformers(self) -> bool | None:
        """Whether transformers ties the output head by its own key; ``None`` if it has no say."""
        return bool(self.foreign.get("tie_word_embeddings", True)) if self.has_readers else None

    @cached_property
    def layers(self) -> int | None:
        """Number of layers."""
        return self.values.get("num_transformer_layers")

    @cached_property
    def expanded(self) -> Mapping[str, tuple[float, ...] | None]:
        """The multipliers of each list by layer, where its points are whole; may hold zeros."""
        return {key: self._expand(key) for key in MULTIPLIER_LISTS}

    def _expand(self, key: str) -> tuple[float, ...] | None:
        points, n = self.values.get(key), self.layers
        if points is None or n is None or None in points:
            return None
        if len(points) != n and not schedule.is_control_points(len(points), n):
            return None
        options = self.values.get("schedule") or {}
        return schedule.multipliers(
            points,
            n,
            decimals=options.get("decimals", schedule.RELEASED_DECIMALS),
            frame=options.get("frame_" + key.removesuffix("s")),
        )

    def _positive(self, key: str) -> tuple[float, ...] | None:
        expanded = self.expanded[key]
        return expanded if expanded and 0 not in expanded else None

    @cached_property
    def qkv_multipliers(self) -> tuple[float, ...] | None:
        """The QKV multiplier of each layer, where the recipe is there, whole and above zero."""
        return self._positive("qkv_multipliers")

    @cached_property
    def ffn_multipliers(self) -> tuple[float, ...] | None:
        """The FFN multiplier of each layer."""
        return self._positive("ffn_multipliers")

    @cached_property
    def recipe_heads(self) -> list[int] | None:
        """The query heads that the recipe gives each layer."""
        groups = self.values.get("num_gqa_groups")
        return None if groups is None else self.recipe_heads_for(groups)

    def recipe_heads_for(self, queries_per_kv_head: int) -> list[int] | None:
        """Return the query heads that the multipliers give each layer, so many per KV head."""
        multipliers, get = self.qkv_multipliers, self.values.get
        d, h = get("model_dim"), get("head_dim")
        if multipliers is None or d is None or h is None:
            return None
        return [query_heads(m, d, h, queries_per_kv_head) for m in multipliers]

    @cached_property
    def heads(self) -> Sequence[int] | None:
        """The query heads of each layer: the list, or what the recipe gives."""
        given = self._list("num_query_heads")
        return given if "num_query_heads" in self.values else self.recipe_heads

    @cached_property
    def kv_heads(self) -> Sequence[int] | None:
        """The KV heads of each layer: the list, or what the recipe gives."""
        if "num_kv_heads" in self.values:
            return self._list("num_kv_heads")
        groups, heads = self.values.get("num_gqa_groups"), self.recipe_heads
        return None if groups is None or heads is None else [q // groups for q in heads]

    def _list(self, key: str) -> Sequence[int] | None:
        entries: Sequence[int] | None = self.values.get(key)
        whole = entries is not None and len(entries) == self.layers and None not in entries
        return entries if whole else None

    @cached_property
    def ffn_widths(self) -> list[int] | None:
        """The feed-forward width of each layer, in channels."""
        multipliers, d = self.ffn_multipliers, self.values.get("model_dim")
        divisor = self.get("ffn_dim_divisor")
        if multipliers is None or d is None or divisor is None:
            return None
        return [ffn_dim(m, d, divisor) for m in multipliers]

    @cached_property
    def parameters(self) -> int | None:
        """Parameters, norms left out; the formulas are those of :mod:`elmcfg.costs`, on sums."""
        d, h, vocabulary = (self.values.get(k) for k in ("model_dim", "head_dim", "vocab_size"))
        if d is None or h is None or vocabulary is None:
            return None
        if self.heads is None or self.kv_heads is None or self.ffn_widths is None:
            return None
        attention = 2 * (sum(self.heads) + sum(self.kv_heads)) * h * d
        ffn = (3 if self.get("ffn_with_glu") else 2) * sum(self.ffn_widths) * d
        tables = 1 if self.get("share_input_output_layers") else 2
        total: int = tables * vocabulary * d + attention + ffn
        return total

    @cached_property
    def cache_bytes(self) -> int | None:
        """Bytes of the KV cache of one full context, in a dtype of 2 bytes."""
        context, h = self.get("max_context_length"), self.values.get("head_dim")
        if context is None or h is None or self.kv_heads is None:
            return None
        total: int = 2 * sum(self.kv_heads) * h * _CACHE_DTYPE_BYTES * context
        return total
