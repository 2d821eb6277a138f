"""A config whose layers may lack a part, as those of pruned models of other families do.

An OpenELM's layers have attention and a feed-forward each, and :class:`~elmcfg.config.Config` holds
them to it, so that what is valid can be built. Architecture search on other models drops such parts
or puts one matrix in their place (NVIDIA's Nemotron-NAS). They are shown, counted and compared, and
not built: hence a class of its own, which nothing but :mod:`elmcfg.formats.families` makes values
for.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from elmcfg.config import Config
from elmcfg.field_types import MAX_MULTIPLIER, MAX_SIZE

_Counts = tuple[Annotated[StrictInt, Field(ge=0, le=MAX_SIZE)], ...]
_Multiplier = Annotated[float, Field(strict=True, ge=0, le=MAX_MULTIPLIER, allow_inf_nan=False)]


class SparseConfig(Config):
    """A config in whose lists a 0 stands for a part that the layer has not.

    The rules between keys pass such layers by.

    Attributes:
        linear_attention: Layers with a matrix of (model_dim, model_dim) in place of attention.
        linear_ffn: Layers with such a matrix in place of the feed-forward.
    """

    num_query_heads: _Counts | None = None
    num_kv_heads: _Counts | None = None
    ffn_multipliers: tuple[_Multiplier, ...]
    linear_attention: _Counts | None = None
    linear_ffn: _Counts | None = None
