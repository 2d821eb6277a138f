"""What this machine has for building and proving models, and what to install where it lacks.

Imports MLX, and measures: a large matrix product in float32, and a large copy.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from elmcfg.backend import (
    BackendError,
    backends,
    import_mlx,
    load_blas,
    on_gpu,
    version_of,
)
from elmcfg.proof.device import choose_device, describe
from elmcfg.proof.free_memory import free_on_device
from elmcfg.speed import copy_bandwidth, matmul_flops_per_second

SLOW_MATMUL = 20e9
"""FLOP/s of float32 below which a CPU's BLAS is taken for MLX's own slow one (4 to 7 GFLOP/s)."""


@dataclass(frozen=True, slots=True)
class Health:
    """What there is.

    Attributes:
        system: Operating system, processor type and Python.
        mlx: Version of MLX, None where it is not installed.
        backend: Distribution that carries MLX's backend, with its version, or None.
        device: The device that proofs run on by default, for people; None where MLX is not usable.
        free_bytes: Memory that is free there, None where unknown.
        blas: The BLAS that products use on the CPU, and why that one; None elsewhere.
        matmul_flops: Measured FLOP/s of a float32 product on the device.
        copy_bytes: Measured bytes per second, read and written, of a copy there.
        mlx_lm: Version of mlx-lm, None where it is not installed.
        advice: What to do about what is wrong or missing, most important first.
        usable: Whether models can be built and run.
    """

    system: str
    mlx: str | None
    backend: str | None
    device: str | None
    free_bytes: int | None
    blas: str | None
    matmul_flops: float | None
    copy_bytes: float | None
    mlx_lm: str | None
    advice: tuple[str, ...]
    usable: bool


def examine() -> Health:
    """Look at this machine; takes about a second."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    backend = next((f"{name} {version}" for name, version in backends().items()), None)
    mlx, mlx_lm = version_of("mlx"), version_of("mlx-lm")
    advice = (
        [] if mlx_lm else ["with mlx-lm, proofs also compare with its model: pip install mlx-lm"]
    )
    try:
        import_mlx()
    except BackendError as error:
        return Health(
            system, mlx, backend, None, None, None, None, None, mlx_lm,
            (str(error), *advice), usable=False,
        )  # fmt: skip
    device = choose_device("auto")
    on_cpu = not on_gpu()
    # Smaller than elsewhere: MLX's own BLAS takes half a second for one of 1,024.
    speed = matmul_flops_per_second(512 if on_cpu else 4096)
    blas = load_blas()
    if on_cpu and speed < SLOW_MATMUL and blas.name is None:
        advice.insert(0, _slow(blas.reason))
    return Health(
        system=system,
        mlx=mlx,
        backend=backend,
        device=describe(device),
        free_bytes=free_on_device(device),
        blas=f"{blas.name or 'MLX own'} ({blas.reason})" if on_cpu else None,
        matmul_flops=speed,
        copy_bytes=copy_bandwidth(),
        mlx_lm=mlx_lm,
        advice=tuple(advice),
        usable=True,
    )


def _slow(reason: str) -> str:
    return (
        f"matrix products are slow: MLX uses its own BLAS ({reason}); an OpenBLAS makes them 20 "
        "times faster: pip install 'elmcfg[cpu]', and leave ELMCFG_OPENBLAS unset"
    )
