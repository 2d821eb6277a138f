"""Rooflines, against the definition worked out by hand."""

import pytest

import elmcfg
from elmcfg.hardware import MACHINES, Machine, machine, of_model, roofline


def test_the_larger_of_the_two_times_is_the_bound() -> None:
    m = Machine("m", bandwidth=100.0, flops=10.0, source="")
    got = roofline(m, weight_bytes=300, cache_bytes=100, prefill_flops=1000, decode_flops=20)
    assert (got.prefill_seconds, got.prefill_bound) == (100.0, "compute")
    assert (got.decode_seconds, got.decode_bound) == (4.0, "memory")


def test_decode_of_the_released_models_on_an_h100_is_bound_by_memory() -> None:
    # 543,054,336 bytes of weights and 16,128 * 2,048 of cache, at 3.35e12 bytes per second.
    config = elmcfg.load("openelm-270m")
    got = of_model(MACHINES["h100"], config, elmcfg.cost(config))
    assert got.decode_bound == "memory"
    assert got.decode_seconds == pytest.approx((543_054_336 + 33_030_144) / 3.35e12)


def test_an_untied_input_table_is_not_read_whole() -> None:
    config = elmcfg.load("openelm-270m")
    untied = config.model_copy(update={"share_input_output_layers": False})
    m = MACHINES["h100"]
    tied_time = of_model(m, config, elmcfg.cost(config)).decode_seconds
    assert of_model(m, untied, elmcfg.cost(untied)).decode_seconds == pytest.approx(tied_time)


def test_a_machine_can_be_given_by_its_figures() -> None:
    got = machine("400GB/s,14TFLOPS")
    assert (got.bandwidth, got.flops) == (400e9, 14e12)


@pytest.mark.parametrize("text", ["nope", "400GB/s,", "400GB/s,fast"])
def test_unknown_machines_are_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown machine|not an amount"):
        machine(text)


def test_every_machine_says_where_its_figures_are_from() -> None:
    assert all(m.source and m.bandwidth > 0 and m.flops > 0 for m in MACHINES.values())
