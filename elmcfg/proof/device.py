"""Which device a proof runs on, and what to call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from elmcfg.backend import load_blas

if TYPE_CHECKING:
    import mlx.core as mx

DeviceName = Literal["auto", "cpu", "gpu"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)


class DeviceError(ValueError):
    """The device that was asked for is not there, or there is none of that name."""


def choose_device(name: str) -> mx.Device:
    """The MLX device for a name; "auto" is MLX's default one, the GPU where there is one.

    Raises:
        DeviceError: If there is no such device.
    """
    import mlx.core as mx

    if name == "auto":
        return mx.default_device()
    if name == "cpu":
        return mx.Device(mx.cpu)
    if name != "gpu":
        raise DeviceError(f"unknown device {name!r}; choose from {', '.join(DEVICES)}")
    if not mx.is_available(mx.gpu):
        raise DeviceError("MLX sees no GPU here; use --device cpu, or an MLX build for the GPU")
    return mx.Device(mx.gpu)


def is_cuda(device: mx.Device) -> bool:
    """Whether a device is an NVIDIA GPU."""
    import mlx.core as mx

    return device.type == mx.gpu and mx.cuda.is_available()


def device_info(device: mx.Device) -> dict[str, str | int]:
    """What MLX says about a device; empty where it says nothing."""
    import mlx.core as mx

    try:
        return dict(mx.device_info(device))
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return {}


def describe(device: mx.Device) -> str:
    """The name of a device for people, with the BLAS that its matrix products use."""
    import mlx.core as mx

    info = device_info(device)
    parts = [str(info.get("device_name", "")).strip()]
    kind = "gpu"
    if device.type == mx.cpu:
        kind = "cpu"
        parts.append(load_blas().name or "MLX's own BLAS")
    named = ", ".join(part for part in parts if part)
    return f"{kind} ({named})" if named else kind
