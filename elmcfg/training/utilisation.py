"""What part of a device's speed a training run uses (model FLOPs utilisation, arXiv 2204.02311)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmcfg.costs import cost

if TYPE_CHECKING:
    from elmcfg.config import Config


def model_flops_utilisation(
    config: Config, seq_len: int, tokens_per_second: float, peak: float
) -> float:
    """FLOPs of forward and backward pass as a share of the device's peak.

    Args:
        config: The model.
        seq_len: Tokens per sequence.
        tokens_per_second: Of training.
        peak: FLOPs per second, of one large matrix product for instance
            (:func:`elmcfg.speed.matmul_flops_per_second`).
    """
    return cost(config, context_length=seq_len).flops_per_token.training * tokens_per_second / peak
