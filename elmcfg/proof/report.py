"""The result of a proof, and what is told while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckStarted:
    """A check begins.

    Attributes:
        name: Its name in the registry.
        description: What it proves, in one line.
    """

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something within a check, or before the first one, begins.

    Attributes:
        text: What, in a few words.
    """

    text: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: Its name in the registry.
        status: Whether it passed, failed, or was not run.
        detail: One line: what was proved, what is wrong, or why it was skipped.
        seconds: Wall time.
    """

    name: str
    status: Status
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be proven, so that it fits into memory (:mod:`elmcfg.proof.plan`).

    Attributes:
        asked: Name of the dtype that was asked for, or "auto".
        dtype: Name of the weights' dtype.
        reason: Why it is not the most exact dtype that was allowed; empty where it is.
        left_out: The checks that do not fit, and why.
        peak_bytes: What MLX is expected to have allocated at its peak.
        available_bytes: What there is for that and for the process; None where nothing tells.
    """

    asked: str
    dtype: str
    reason: str
    left_out: dict[str, str]
    peak_bytes: int
    available_bytes: int | None


Event = Plan | CheckStarted | Step | CheckResult
Progress = Callable[[Event], None]
"""Called with each event as it happens."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a proof found.

    Attributes:
        passed: Whether at least one check ran and none failed.
        device: Where it ran, such as "cpu (AMD EPYC, OpenBLAS 0.3.31)".
        plan: What was chosen to be proven, and why.
        predicted: Parameters by the closed form.
        counted: Parameters in the built model; None where it could not be built, or the process
            that built it came to an end.
        checks: One result per registered check, in the registry's order.
        peak_memory_bytes: Most that MLX had allocated at once, beyond what it held before.
            Without evaluated weights next to nothing: shapes cost no memory.
        seconds: Wall time of all.
    """

    passed: bool
    device: str
    plan: Plan
    predicted: int
    counted: int | None
    checks: tuple[CheckResult, ...]
    peak_memory_bytes: int
    seconds: float

    @property
    def shapes_only(self) -> bool:
        """Whether no check ran that computes with weights."""
        from elmcfg.proof.registry import CHECKS  # which imports the checks, and they this module

        computing = {check.name for check in CHECKS if check.needs_weights}
        return not any(c.name in computing and c.status != "skipped" for c in self.checks)

    @property
    def dtype(self) -> str:
        """Name of the weights' dtype."""
        return self.plan.dtype

    @property
    def estimated_memory_bytes(self) -> int:
        """What the closed form expected of the peak (:mod:`elmcfg.proof.memory`)."""
        return self.plan.peak_bytes

    def values(self) -> dict[str, Any]:
        """As every JSON output has it."""
        return {
            "passed": self.passed,
            "device": self.device,
            "dtype": self.dtype,
            "parameters": {"predicted": self.predicted, "counted": self.counted},
            "checks": [asdict(check) for check in self.checks],
            "peak_memory_bytes": self.peak_memory_bytes,
            "seconds": self.seconds,
            "estimated_memory_bytes": self.estimated_memory_bytes,
            "plan": asdict(self.plan),
            "shapes_only": self.shapes_only,
        }
