"""How far two ways of computing the same numbers may differ, and where that comes from.

Two programs that compute the same sums in another order differ by rounding, which grows with the
depth and the length. On OpenELM-270M in float32, one pass of 128 tokens and the same in pieces
differ by 1e-6 of the largest logit, and at 1024 tokens by 2e-6. The tolerance leaves a factor of
fifty for deeper models and other machines; the 2-byte types are allowed as many of *their*
rounding units (2**-10 and 2**-7 against 2**-23), or fewer. What is wrong, rather than rounded,
differs by a tenth of the numbers themselves and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from elmcfg.proof.subject import CheckFailedError

if TYPE_CHECKING:
    import mlx.core as mx

TOLERANCES = {"float32": 1e-4, "float16": 5e-2, "bfloat16": 1e-1}
"""Largest difference allowed, as a share of the largest number that is compared."""


def number(x: mx.array) -> float:
    """The one number that an array holds."""
    return cast("float", x.item())


def largest(x: mx.array) -> float:
    """The largest size of any number; NaN if one of them is NaN."""
    import mlx.core as mx

    return number(mx.abs(x.astype(mx.float32)).max())


def share_of_difference(found: mx.array, expected: mx.array) -> float:
    """The largest difference, as a share of the largest expected number."""
    import mlx.core as mx

    difference = largest(found.astype(mx.float32) - expected.astype(mx.float32))
    scale = largest(expected)
    return difference / scale if scale else difference


def expect_close(what: str, share: float, dtype: str) -> None:
    """Require that a difference, as a share, be within the tolerance of a dtype.

    Raises:
        CheckFailedError: Naming ``what``, the share and the tolerance.
    """
    tolerance = TOLERANCES[dtype]
    if not share <= tolerance:  # NaN is not.
        raise CheckFailedError(
            f"{what}: differs by {share:.2g} of the largest number, {dtype} allows {tolerance:g}"
        )
