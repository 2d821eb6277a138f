"""New variants from a recipe: what ``elmcfg scale`` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elmcfg.config import Config
from elmcfg.diagnostics import Diagnostic, InvalidConfigError, Severity
from elmcfg.findings import read_values


def scale(
    *,
    num_transformer_layers: int,
    model_dim: int,
    head_dim: int = 64,
    num_gqa_groups: int = 4,
    qkv_multipliers: float | Sequence[float] = (0.5, 1.0),
    ffn_multipliers: float | Sequence[float] = (0.5, 4.0),
    ffn_dim_divisor: int = 256,
    vocab_size: int = 32000,
    **keys: Any,
) -> Config:
    """A config from a recipe; the defaults are those of the released models (arXiv 2404.14619).

    Args:
        num_transformer_layers: Depth.
        model_dim: Width of the residual stream, in channels.
        head_dim: Width of a head, in channels; even.
        num_gqa_groups: Query heads per KV head.
        qkv_multipliers: Control points (or one value per layer) of the query width.
        ffn_multipliers: Control points (or one value per layer) of the feed-forward width.
        ffn_dim_divisor: Feed-forward widths are multiples of this, in channels.
        vocab_size: Tokens.
        **keys: Any other key of a config.

    Raises:
        InvalidConfigError: If the recipe makes no valid config; carries every reason.
    """
    values = {
        "num_transformer_layers": num_transformer_layers,
        "model_dim": model_dim,
        "head_dim": head_dim,
        "num_gqa_groups": num_gqa_groups,
        "qkv_multipliers": qkv_multipliers,
        "ffn_multipliers": ffn_multipliers,
        "ffn_dim_divisor": ffn_dim_divisor,
        "vocab_size": vocab_size,
        **keys,
    }
    config, found = read_values(values)
    if config is None:
        raise InvalidConfigError(
            Diagnostic("scale", None, v.code, severity, v.loc, v.message, v.help)
            for v, severity in found
            if severity is Severity.ERROR
        )
    return config
