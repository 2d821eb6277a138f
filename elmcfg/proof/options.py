"""How a proof is to be run: its options, checked before anything is built or started."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elmcfg.costs import DTYPE_BYTES
from elmcfg.proof.registry import CHECKS

if TYPE_CHECKING:
    from elmcfg.config import Config

DEFAULT_SEQ_LEN = 128
"""Tokens of a proof's sequence, where the model's context is not shorter."""

AUTO = ("float32", "bfloat16")
"""The dtypes that "auto" stands for, the more exact one first."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a proof; each field is an argument of :func:`elmcfg.proof.prove`.

    Raises:
        ValueError: If a field is out of range or names nothing, or no check is left to run.
    """

    shapes_only: bool = False
    device: str = "auto"
    dtype: str = "auto"
    seq_len: int | None = None
    batch_size: int = 1
    seed: int = 0
    check: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    max_memory: int | None = None
    overhead: int = 0
    """Bytes of ``max_memory`` that the process itself takes, where the limit is on all of it."""

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPE_BYTES):
            choices = ", ".join(["auto", *DTYPE_BYTES])
            raise ValueError(f"unknown dtype {self.dtype!r}; choose from {choices}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {self.batch_size}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be 0 to 2**64 - 1, got {self.seed}")
        for name in (*self.check, *self.skip):
            _require_known(name)
        if len(self.skipped()) == len(CHECKS):
            raise ValueError("no check is left to run")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """From plain values, in which JSON has made lists of tuples.

        Raises:
            ValueError: As the class does.
        """
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**given)

    def length(self, config: Config) -> int:
        """Tokens per sequence for this config.

        Raises:
            ValueError: If the length asked for is longer than the config's context, or than the
                rotary table that other programs make for it.
        """
        key = min(("max_context_length", "rope_max_length"), key=lambda k: int(getattr(config, k)))
        longest: int = getattr(config, key)
        if self.seq_len is None:
            return min(DEFAULT_SEQ_LEN, longest)
        if not 1 <= self.seq_len <= longest:
            raise ValueError(f"seq_len must be 1 to {key} ({longest}), got {self.seq_len}")
        return self.seq_len

    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the weights may have, the most exact one first."""
        return AUTO if self.dtype == "auto" else (self.dtype,)

    def skipped(self) -> dict[str, str]:
        """The checks that will not run, and why."""
        reasons: dict[str, str] = {}
        for item in CHECKS:
            if item.name in self.skip:
                reasons[item.name] = "skipped on request"
            elif self.check and item.name not in self.check:
                reasons[item.name] = "not asked for"
            elif self.shapes_only and item.needs_weights:
                reasons[item.name] = "needs evaluated weights"
        return reasons


def names(given: Sequence[str] | str | None) -> tuple[str, ...]:
    """One name, several, or none, as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def _require_known(name: str) -> None:
    known = [item.name for item in CHECKS]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
        raise ValueError(f"unknown check {name!r}; {hint}")
