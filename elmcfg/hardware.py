"""The roofline: how fast a machine could run a model at best, from bytes and FLOPs alone.

A step cannot take less time than moving its bytes at full bandwidth, nor than doing its FLOPs at
full rate (S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009). Both times here
are such bounds. Real programs are slower, small models much: launching kernels is not counted.

Bandwidths are their makers'. Rates are those of dense products of 16-bit floats with a 32-bit sum
where there is such a figure. For Apple's GPUs before M5 that is their 32-bit rate: where Apple does
not say it, cores times 128 lanes times 2 times the clock that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elmcfg import units

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.costs import Cost


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine can do at most.

    Attributes:
        name: As on the command line.
        bandwidth: Of its memory, in bytes per second.
        flops: Dense 16-bit floating-point operations per second.
        source: Where the figures are from.
    """

    name: str
    bandwidth: float
    flops: float
    source: str


_LANES = "GPU cores x 128 lanes x 2 x"
_CPU = "channels x 8 bytes x rate; float32: cores x 3 GHz x 2 AVX2 units x 8 lanes x 2"

MACHINES = {
    machine.name: machine
    for machine in (
        # LPDDR4X-4266 on 128 bits; 2.6 TFLOPS is Apple's own figure for 8 cores.
        Machine(
            "m1", 68.25e9, 2.6e12, "4,266 MT/s x 16 bytes; Apple, announcement of 10 November 2020"
        ),
        Machine(
            "m2", 100e9, 3.6e12,
            "Apple, announcement of 6 June 2022 (macrumors.com); "
            f"{_LANES} 1.398 GHz, 10 cores, the clock of M2 Max (hmc-tech.com)",
        ),
        Machine(
            "m3-max", 400e9, 14.3e12,
            "Apple's specifications (macmegasite.com, 30 October 2024); "
            f"{_LANES} 1.398 GHz, 40 cores (hmc-tech.com)",
        ),
        # Reported clocks differ, 1.470 and 1.578 GHz: the faster, so that the bound holds.
        Machine(
            "m4", 120e9, 4.0e12,
            "Apple, announcement of 7 May 2024 (engadget.com); "
            f"{_LANES} 1.578 GHz, 10 cores (hmc-tech.com)",
        ),
        Machine(
            "m4-max", 546e9, 17.2e12,
            "Apple, announcement of 30 October 2024 (macrumors.com); "
            f"{_LANES} 1.678 GHz, 40 cores, the clock of the 32-core one (hmc-tech.com)",
        ),
        Machine("m2-ultra", 800e9, 27.2e12, "Apple, Mac Pro page, 76 cores"),
        Machine(
            "rtx-4090", 1008e9, 165.2e12,
            "NVIDIA, Ada GPU architecture whitepaper (same figures: waredb.com)",
        ),
        Machine("a100-80gb", 2039e9, 312e12, "NVIDIA, A100 datasheet 1758950-r4 (SXM)"),
        # The datasheet gives 1,979 TFLOPS with sparsity; dense products have half of it.
        Machine("h100", 3350e9, 989.4e12, "NVIDIA, H100 datasheet (SXM), half the sparse rate"),
        Machine(
            "h200", 4800e9, 989.4e12,
            "NVIDIA, announcement of 13 November 2023; the compute of the H100 SXM",
        ),
        Machine("ddr4-8-cores", 51.2e9, 0.77e12, f"two DDR4-3200 {_CPU}"),
        Machine("ddr5-16-cores", 89.6e9, 1.5e12, f"two DDR5-5600 {_CPU}"),
    )
}  # fmt: skip


def machine(text: str) -> Machine:
    """A machine by its name, or by ``BANDWIDTH,FLOPS`` such as ``400GB/s,14TFLOPS``.

    Raises:
        ValueError: If it is neither; names the machines there are.
    """
    if text in MACHINES:
        return MACHINES[text]
    bandwidth, comma, flops = text.partition(",")
    if not comma:
        raise ValueError(
            f"unknown machine {text!r}; there are {', '.join(MACHINES)}, or write 400GB/s,14TFLOPS"
        )
    return Machine(text, units.rate(bandwidth), units.rate(flops), "given")


@dataclass(frozen=True, slots=True)
class Roofline:
    """Bounds of one model on one machine.

    Attributes:
        machine: The machine.
        prefill_seconds: Least time to read the whole context at once.
        prefill_bound: ``compute`` or ``memory``: which of the two it takes.
        decode_seconds: Least time for one more token after that.
        decode_bound: Likewise.
    """

    machine: Machine
    prefill_seconds: float
    prefill_bound: str
    decode_seconds: float
    decode_bound: str


def roofline(
    machine: Machine,
    *,
    weight_bytes: float,
    cache_bytes: float,
    prefill_flops: float,
    decode_flops: float,
) -> Roofline:
    """Bounds for one sequence.

    Prefill reads all weights and writes the cache once; decode reads all weights and the full
    cache for one token. Activations are taken to stay in caches.

    Args:
        machine: The machine.
        weight_bytes: Of all weights.
        cache_bytes: Of the full KV cache.
        prefill_flops: Of the whole context.
        decode_flops: Of the last token.
    """

    def least(flops: float) -> tuple[float, str]:
        moving = (weight_bytes + cache_bytes) / machine.bandwidth
        computing = flops / machine.flops
        return max((moving, "memory"), (computing, "compute"))

    return Roofline(machine, *least(prefill_flops), *least(decode_flops))


def of_model(machine: Machine, config: Config, cost: Cost) -> Roofline:
    """Return bounds for one sequence as long as the cost's context, in the dtypes of the cost.

    An input table that is not the output head as well is not read whole, and so not counted.
    """
    flops = cost.flops_per_token
    unread = 0 if config.share_input_output_layers else cost.table_bytes[0]
    return roofline(
        machine,
        weight_bytes=cost.weight_bytes - unread,
        cache_bytes=cost.kv_cache_bytes_per_token * flops.context_length,
        prefill_flops=flops.prefill * flops.context_length,
        decode_flops=flops.decode,
    )
