"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that the system lets this process run on, where it says; else all of the machine."""
    able = getattr(os, "sched_getaffinity", None)
    return len(able(0)) if able else os.cpu_count() or 1
