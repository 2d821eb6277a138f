"""The roofline: how fast a machine could run a model at best, from bytes and FLOPs alone.

A step cannot take less time than moving its bytes at full bandwidth, nor than doing its FLOPs at
full rate (S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009). Both times here
are such bounds. Real programs are slower, small models much: launching kernels is not counted.

Bandwidths are their makers', rates those of dense products of 16-bit floats where the maker gives
them. Apple gives none: they are reckoned from the number of cores at the highest clock reported,
which errs to the fast side, as a bound should.
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


_APPLE = "bandwidth: Apple's specifications; FLOPs: GPU cores x 128 lanes x 2 x reported clock"
_CPU = "channels x 8 bytes x rate; float32: cores x 3 GHz x 2 AVX2 units x 8 lanes x 2"

MACHINES = {
    machine.name: machine
    for machine in (
        Machine("m1", 68.25e9, 2.6e12, _APPLE),
        Machine("m2", 100e9, 3.6e12, _APPLE),
        Machine("m3-max", 400e9, 14.3e12, _APPLE),
        Machine("m4", 120e9, 4.3e12, _APPLE),
        Machine("m4-max", 546e9, 18.4e12, _APPLE),
        Machine("m2-ultra", 800e9, 27.2e12, _APPLE),
        Machine("rtx-4090", 1008e9, 165e12, "NVIDIA, Ada GPU architecture whitepaper"),
        Machine("a100-80gb", 2039e9, 312e12, "NVIDIA, A100 datasheet (SXM)"),
        Machine("h100", 3350e9, 989e12, "NVIDIA, H100 datasheet (SXM), without sparsity"),
        Machine("h200", 4800e9, 989e12, "NVIDIA, H200 datasheet, without sparsity"),
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
    """Bounds for one sequence as long as the cost's context, in the checkpoint's dtype.

    An input table that is not the output head as well is not read whole, and so not counted.
    """
    flops, p = cost.flops_per_token, cost.parameters
    read = p.total - (0 if config.share_input_output_layers else p.embedding // 2)
    return roofline(
        machine,
        weight_bytes=cost.weight_bytes * read / p.total,
        cache_bytes=cost.kv_cache_bytes_per_token * flops.context_length,
        prefill_flops=flops.prefill * flops.context_length,
        decode_flops=flops.decode,
    )
