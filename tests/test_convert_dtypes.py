"""From one dtype to another: every 16-bit value, held against MLX's own conversion."""

import mlx.core as mx
import numpy as np
import pytest

from elmcfg.conversion.weights import Array, ConversionError, cast

EVERY = np.arange(2**16, dtype=np.uint16)
MLX = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}
BITS = {"F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}
LARGEST_HALF = 65504


def theirs(values: Array, dtype: str, to: str) -> Array:
    """The bits of MLX's conversion, and where it is not a number."""
    given = mx.array(values.view(BITS[dtype])).view(MLX[dtype])
    return np.array(given.astype(MLX[to]).view(getattr(mx, np.dtype(BITS[to]).name)))


def stored(dtype: str) -> Array:
    """Every 16-bit value as the readers hold it."""
    return EVERY.view(np.float16) if dtype == "F16" else EVERY


def wide(dtype: str) -> Array:
    return theirs(EVERY, dtype, "F32").view(np.float32)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("to", ["F32", "F16", "BF16"])
def test_every_value(dtype: str, to: str) -> None:
    fits = np.abs(wide(dtype)) <= LARGEST_HALF if to == "F16" else np.isfinite(wide(dtype))
    fits |= np.isinf(wide(dtype))
    got = cast(stored(dtype)[fits], dtype, to)
    assert np.array_equal(got.view(BITS[to]), theirs(EVERY[fits], dtype, to))
    missing = cast(stored(dtype)[np.isnan(wide(dtype))], dtype, to)
    assert np.isnan(cast(missing, to, "F32")).all()


@pytest.mark.parametrize("to", ["F16", "BF16"])
def test_float32(to: str) -> None:
    """Ties, the smallest numbers and both infinities among random ones."""
    bits = np.random.default_rng(0).integers(0, 2**32, 2**18, dtype=np.uint32)
    ties = (EVERY.astype(np.uint32) << 16) | 0x8000
    values = np.concatenate([bits, ties, ties - 1, ties + 1, EVERY]).view(np.float32)
    most = LARGEST_HALF if to == "F16" else 3.38e38
    values = values[(np.abs(values) <= most) | np.isinf(values)]
    assert np.array_equal(
        cast(values, "F32", to).view(np.uint16), theirs(values, "F32", to).view(np.uint16)
    )


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_what_would_become_infinite_is_refused_and_named(dtype: str) -> None:
    bits = np.array([0.5, -70000.0, np.inf, np.nan, 66000.0], np.float32)
    values = cast(bits, "F32", dtype)
    with pytest.raises(ConversionError, match=r"a weight of 7(\.\d+)?e\+04 is too large for F16"):
        cast(values, dtype, "F16")
    assert np.isinf(cast(values[2:3], dtype, "F16")).all()
