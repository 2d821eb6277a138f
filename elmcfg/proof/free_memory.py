"""How many bytes this process may still allocate, without importing MLX where possible."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.proof.device import device_info

if TYPE_CHECKING:
    import mlx.core as mx


def free_on_device(device: mx.Device) -> int | None:
    """Free bytes on a device, or None where nothing tells.

    A CUDA device has memory of its own: what is free of it, or else all of it. A Mac's GPU shares
    the host's, of which it should use no more than its recommended working set.
    """
    import mlx.core as mx

    if device.type == mx.cpu:
        return free_on_host()
    info = device_info(device)
    for key in ("free_memory", "total_memory", "max_recommended_working_set_size", "memory_size"):
        value = info.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return free_on_host()


def free_on_host(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Free bytes of the host: the least of what the kernel and the control groups leave.

    Args:
        proc: Where the kernel's process information is mounted.
        cgroups: Where control groups are mounted.

    Returns:
        Bytes; on a system without ``/proc`` all of its memory; None where nothing tells.
    """
    known = [
        value for value in (_available(proc), _left_in_cgroups(proc, cgroups)) if value is not None
    ]
    return min(known) if known else _installed()


def _available(proc: Path) -> int | None:
    """Linux's own estimate of what can be allocated without swapping."""
    for line in _read(proc / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _installed() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _left_in_cgroups(proc: Path, root: Path) -> int | None:
    """The least that this process's control group and its parents leave; None if unlimited."""
    left = []
    for line in _read(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            left += [_left(group, *names) for group in _groups(root, path)]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            left += [_left(group, *names) for group in _groups(root / "memory", path)]
    known = [value for value in left if value is not None]
    return min(known) if known else None


def _groups(root: Path, path: str) -> list[Path]:
    """A control group's folder and its parents'; inside a container only some are visible."""
    group = root / path.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]


def _left(group: Path, limit_file: str, usage_file: str, reclaimable: str) -> int | None:
    limit, usage = _read(group / limit_file).strip(), _read(group / usage_file).strip()
    if not (limit.isdecimal() and usage.isdecimal()):  # No such group, or a limit of "max".
        return None
    cached = 0
    for line in _read(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == reclaimable and value.isdecimal():
            cached = int(value)  # The file cache counts as used, but gives way.
    return max(0, int(limit) - int(usage) + cached)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
