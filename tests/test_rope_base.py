"""The bases of RoPE that a config may have: those that single precision can compute with."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import elmcfg
from elmcfg.config import Config
from elmcfg.document import parse
from elmcfg.field_types import MAX_SINGLE, MIN_ROPE_BASE
from elmcfg.formats import hub
from elmcfg.linter import diagnose
from elmcfg.portability import TARGETS, verdicts
from elmcfg.portability.verdict import Outcome

LAST_POSITION = 2**30 - 1  # of the longest context that a config may have


def config(**changes: Any) -> Config:
    """The released 270M with changes."""
    return elmcfg.load("openelm-270m").model_copy(update=changes)


def angles_are_numbers(base: float, head_dim: int, position: int) -> bool:
    """Whether MLX turns ones by this base, at this position, into numbers."""
    mx: Any = pytest.importorskip("mlx.core")
    turned = mx.fast.rope(
        mx.ones((1, 1, 1, head_dim)),
        head_dim,
        traditional=False,
        base=base,
        scale=1.0,
        offset=position,
    )
    return bool(mx.isfinite(turned).all().item())


@given(
    st.floats(MIN_ROPE_BASE, MAX_SINGLE),
    st.sampled_from([2, 64, 128, 1024]),
    st.sampled_from([0, 1, 4095, LAST_POSITION]),
)
def test_mlx_computes_with_every_base_that_is_allowed(
    base: float, head_dim: int, position: int
) -> None:
    assert config(rope_freq_constant=base).rope_freq_constant == base
    assert angles_are_numbers(base, head_dim, position)


@pytest.mark.parametrize("base", [1e39, 10**39, 3.41e38, 1e-30, 0, -1, 1e-300])
def test_what_overflows_is_refused_and_says_so(base: float) -> None:
    assert not angles_are_numbers(float(base), 1024, LAST_POSITION)
    with pytest.raises(ValidationError, match="rope_freq_constant"):
        config(rope_freq_constant=base)
    values = {**hub.values(elmcfg.load("openelm-270m")), "rope_freq_constant": base}
    (found,) = (d for d in diagnose(parse(json.dumps(values), "config.json")) if d.code == "ELM207")
    assert found.loc == ("rope_freq_constant",)
    if base > 1:
        assert "the largest number of single precision" in found.message
    else:
        assert "at least 1e-29" in found.message


@pytest.mark.parametrize("key", ["rms_norm_eps", "initializer_range"])
def test_other_numbers_fit_single_precision_too(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        config(**{key: 1e39})
    assert getattr(config(**{key: 1e38}), key) == 1e38


def test_a_whole_number_of_any_length_is_the_same_number() -> None:
    """As an integer of 31 digits and as 1e30 it is one base: no program is said to differ by it."""
    values = {**hub.values(elmcfg.load("openelm-270m")), "rope_freq_constant": 10**30}
    said = {v.target: v for v in verdicts(config(rope_freq_constant=1e30), TARGETS, values)}
    assert said["mlx-lm"].outcome is said["llama.cpp"].outcome is Outcome.SAME
    # torch takes no integer of over 64 bits; what elmcfg writes is none.
    assert (said["hf"].outcome, said["hf"].loc) == (Outcome.REFUSES, ("rope_freq_constant",))
    assert said["mlx-swift"].message == "its RoPE base is 10000, not 1e+30"
    written = hub.values(config(rope_freq_constant=1e30))["rope_freq_constant"]
    assert (type(written), written) == (float, 1e30)
    assert verdicts(config(rope_freq_constant=1e30), ["hf"])[0].outcome is Outcome.SAME


def test_bases_that_look_alike_are_told_apart() -> None:
    values = hub.values(elmcfg.load("openelm-270m"))
    (said,) = verdicts(config(rope_freq_constant=10000.001), ["mlx-lm"], values)
    assert said.message == "its RoPE base is 10000.0, not 10000.001"
