"""What the tests compare with: published figures, and the published rule written out again.

Nothing here imports elmcfg.
"""

from dataclasses import dataclass

import numpy as np


def runs(*pairs: tuple[int, int]) -> list[int]:
    """``(3, 5), (4, 7)`` is five 3s, then seven 4s."""
    return [value for value, count in pairs for _ in range(count)]


@dataclass(frozen=True)
class Released:
    """A model released as apple/OpenELM-* (arXiv 2404.14619), from its config.json."""

    name: str
    layers: int
    model_dim: int
    head_dim: int
    kv_heads: list[int]
    ffn_multipliers: list[float]
    parameters: int
    parameters_32128: int
    kv_bytes: int
    arrays: int


RELEASED = [
    Released(
        "openelm-270m",
        16,
        1280,
        64,
        runs((3, 5), (4, 7), (5, 4)),
        [0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13, 2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0],
        271_527_168,
        271_691_008,
        16_128,
        130,
    ),
    Released(
        "openelm-450m",
        20,
        1536,
        64,
        runs((3, 3), (4, 7), (5, 6), (6, 4)),
        [
            *(0.5, 0.68, 0.87, 1.05, 1.24, 1.42, 1.61, 1.79, 1.97, 2.16),
            *(2.34, 2.53, 2.71, 2.89, 3.08, 3.26, 3.45, 3.63, 3.82, 4.0),
        ],
        457_179_136,
        457_375_744,
        23_296,
        162,
    ),
    Released(
        "openelm-1_1b",
        28,
        2048,
        64,
        runs((4, 3), (5, 7), (6, 8), (7, 6), (8, 4)),
        [
            *(0.5, 0.63, 0.76, 0.89, 1.02, 1.15, 1.28, 1.41, 1.54, 1.67, 1.8, 1.93, 2.06, 2.19),
            *(2.31, 2.44, 2.57, 2.7, 2.83, 2.96, 3.09, 3.22, 3.35, 3.48, 3.61, 3.74, 3.87, 4.0),
        ],
        1_079_891_456,
        1_080_153_600,
        43_264,
        226,
    ),
    Released(
        "openelm-3b",
        36,
        3072,
        128,
        runs((3, 4), (4, 14), (5, 12), (6, 6)),
        [n / 10 for n in range(5, 41)],
        3_036_647_424,
        3_037_040_640,
        83_968,
        290,
    ),
]
FFN_WIDTHS_270M = [768, 1024, 1280, 1536, 1792, 2048, 2560, 2816, 3072, 3328, 3584, 3840]
FFN_WIDTHS_270M += [4352, 4608, 4864, 5120]


def make_divisible(value: float, divisor: int) -> int:
    """By brute force: the nearest multiple, the upper one of two, mended by the 10 % rule."""
    candidates = [n * divisor for n in range(1, int(value // divisor) + 3)]
    nearest = max(candidates, key=lambda c: (-abs(c - value), c))
    return nearest + divisor if nearest < 0.9 * value else nearest


def corenet_divisible(value: float, divisor: int) -> int:
    """The formula of apple/corenet's ``make_divisible``, in its own floating-point arithmetic.

    Where rounding errors make a tie, the brute force may come out one divisor apart.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Lists:
    """What CoreNet makes of a recipe."""

    query_heads: list[int]
    kv_heads: list[int]
    ffn_multipliers: list[float]
    ffn_widths: list[int]


def corenet_lists(
    layers: int,
    model_dim: int,
    head_dim: int,
    queries_per_kv_head: int,
    qkv: tuple[float, float],
    ffn: tuple[float, float],
    divisor: int = 256,
) -> Lists:
    """The rule of apple/corenet's GPTConfig for two end points, with numpy's own arithmetic."""

    def spread(ends: tuple[float, float]) -> list[np.float64]:
        return [np.round(x, 2) for x in np.linspace(ends[0], ends[1], num=layers, dtype=float)]

    ffn_multipliers = spread(ffn)
    widths = [
        corenet_divisible(float(model_dim * m), head_dim * queries_per_kv_head) for m in spread(qkv)
    ]
    query_heads = [width // head_dim for width in widths]
    return Lists(
        query_heads,
        [q // queries_per_kv_head for q in query_heads],
        [float(m) for m in ffn_multipliers],
        [corenet_divisible(float(model_dim * m), divisor) for m in ffn_multipliers],
    )


def count_parameters(
    vocab: int,
    model_dim: int,
    head_dim: int,
    query_heads: list[int],
    kv_heads: list[int],
    ffn_widths: list[int],
    *,
    glu: bool = True,
    qk_norm: bool = True,
    tied: bool = True,
) -> int:
    """The formula of the architecture, term by term."""
    total = vocab * model_dim + model_dim
    for q, kv, f in zip(query_heads, kv_heads, ffn_widths, strict=True):
        total += (q + 2 * kv) * head_dim * model_dim + q * head_dim * model_dim
        total += (3 if glu else 2) * f * model_dim
        total += 2 * model_dim + (2 * head_dim if qk_norm else 0)
    return total if tied else total + vocab * model_dim
