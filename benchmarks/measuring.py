"""What every benchmark hands to ``benchmarks/run.py``: comparisons, as ratios of paired runs.

A script calls :func:`compared` once for each of its comparisons. Run by itself it prints what it
always does; ``run.py`` names a file in the environment, and the comparison goes there too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "ELMCFG_BENCHMARK_ROWS"
"""Environment variable: the file that comparisons are appended to, one JSON object a line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        what: What elmcfg did.
        against: What did the same otherwise.
        unit: What the ratios are of, such as "time, ours / theirs".
        ratios: One per run.
    """

    what: str
    against: str
    unit: str
    ratios: tuple[float, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as a table shows it: median, least and most of the ratios, and their number."""
        found = (statistics.median(self.ratios), min(self.ratios), max(self.ratios))
        figures = (f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x" for ratio in found)
        return self.what, self.against, self.unit, *figures, str(len(self.ratios))


def compared(
    what: str,
    against: str,
    ours: float | Sequence[float],
    theirs: float | Sequence[float],
    unit: str = "time, ours / theirs",
) -> None:
    """Note a comparison: of each run of ours with the run of theirs beside it.

    Where one side has fewer runs, its median stands for each of them.

    Args:
        what: What elmcfg did.
        against: What did the same otherwise.
        ours: The measure, of each run.
        theirs: The same of the alternative.
        unit: What the ratio ours / theirs is of.
    """
    file = os.environ.get(VARIABLE)
    if not file:
        return
    mine = [ours] if isinstance(ours, int | float) else list(ours)
    other = [theirs] if isinstance(theirs, int | float) else list(theirs)
    if len(mine) != len(other):
        runs = max(len(mine), len(other))
        mine, other = (
            side if len(side) == runs else [statistics.median(side)] * runs
            for side in (mine, other)
        )
    row = Row(what, against, unit, tuple(a / b for a, b in zip(mine, other, strict=True)))
    with Path(file).open("a") as stream:
        stream.write(json.dumps(asdict(row)) + "\n")


def process(command: Sequence[str], stdout: int | None = None) -> tuple[float, float]:
    """Seconds and peak MiB of a fresh process and its children, which must end well.

    Args:
        command: What to run; its Python finds elmcfg here.
        stdout: As for :class:`subprocess.Popen`.
    """
    began = time.perf_counter()
    running = subprocess.Popen(
        command, stdout=stdout, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    )
    _, status, usage = os.wait4(running.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(f"{' '.join(command)[:200]} failed with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in KiB on Linux.
    return seconds, usage.ru_maxrss * unit / 2**20


def rows(file: Path) -> list[Row]:
    """The comparisons in a file."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return [Row(**{**row, "ratios": tuple(row["ratios"])}) for row in found]
