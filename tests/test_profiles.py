"""Named schedules."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg.diagnostics import has_errors
from elmcfg.profiles import PROFILES, profile
from elmcfg.scaling import scale
from elmcfg.schedule import multipliers

SHALLOWEST = {"crown": 5, "bowtie": 5, "framed": 3}


@pytest.mark.parametrize("name", sorted(PROFILES))
@given(st.integers(2, 60))
def test_every_profile_makes_a_valid_config_at_every_depth(name: str, layers: int) -> None:
    if layers < SHALLOWEST.get(name, 2):
        return
    config = scale(num_transformer_layers=layers, model_dim=512, profile=name)
    assert not has_errors(elmcfg.validate(config.model_dump(mode="json", exclude_none=True)))


@pytest.mark.parametrize("name", ["crown", "framed", "reverse", "vanilla"])
def test_profiles_of_the_paper_are_the_shipped_variants(name: str) -> None:
    shipped = elmcfg.resolve(elmcfg.load(f"lws-18l-{name}"))
    ours = scale(
        num_transformer_layers=18, model_dim=768, num_gqa_groups=3, vocab_size=50304, profile=name
    )
    got = elmcfg.resolve(ours)
    assert got.num_query_heads == shipped.num_query_heads
    assert got.ffn_multipliers == shipped.ffn_multipliers


def test_every_profile_says_where_it_is_from_and_what_is_known() -> None:
    assert all(p.source and p.known and p.summary for p in PROFILES.values())
    assert not [p.name for p in PROFILES.values() if "best" in p.known.lower()]


@given(st.integers(2, 60))
def test_the_taper_falls_along_a_cosine_and_keeps_the_mean(layers: int) -> None:
    got = multipliers((3.375, 1.125), layers, curve="cosine")
    wanted = [2.25 + 1.125 * math.cos(math.pi * i / (layers - 1)) for i in range(layers)]
    assert got == pytest.approx(wanted, abs=0.00501)
    assert sorted(got, reverse=True) == list(got)
    assert sum(got) / layers == pytest.approx(2.25, abs=0.01)


def test_plateaus_share_the_depth() -> None:
    assert multipliers([1, 2, 3], 6, curve="plateaus") == (1, 1, 2, 2, 3, 3)
    assert multipliers([1, 2, 3], 7, curve="plateaus") == (1, 1, 2, 2, 3, 3, 3)
    assert multipliers([1, 2, 3], 2, curve="plateaus") == (2, 3)


def test_own_multipliers_go_before_the_profiles() -> None:
    config = scale(num_transformer_layers=6, model_dim=64, profile="reverse", ffn_multipliers=[2.0])
    assert config.qkv_multipliers == (1.0, 0.5)
    assert config.ffn_multipliers == (2.0,)


def test_an_unknown_profile_is_explained() -> None:
    with pytest.raises(ValueError, match="unknown profile 'crwn'; there are uniform, vanilla"):
        profile("crwn")
