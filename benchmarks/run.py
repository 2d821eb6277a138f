"""Every comparison in one table, on the screen and in docs/benchmarks.md.

Each script of this folder runs as it does by itself, one after another; their comparisons come
back through :mod:`measuring`. ``gpu.py`` is left out: it is for a machine with a GPU. torch is too
large to install for one row: ``TORCH_PYTHON`` in the environment names an interpreter that has it.

    python benchmarks/run.py [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from measuring import VARIABLE, Row, rows

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
NOT_HERE = ("gpu", "measuring", "run")
PACKAGES = (
    *("mlx", "mlx-lm", "numpy", "pydantic", "cmeel-openblas"),
    *("check-jsonschema", "transformers", "optuna"),
)
HEADING = ("what", "against", "ratio of", "median", "min", "max", "runs")
INTRODUCTION = """\
# Benchmarks

Written by `make bench`: every row is measured against the alternative in the same run, as ratios of
paired runs. Absolute times are in the output of the script named before each table.
"""


def scripts() -> list[str]:
    """The benchmarks, by name."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_HERE)


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def torch() -> str:
    """The version of torch that was measured."""
    if python := os.environ.get("TORCH_PYTHON"):
        code = "from importlib.metadata import version; print(version('torch'))"
        return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
    return "left out"


def machine() -> str:
    """Machine and versions, in one line."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    found.append(f"torch {torch()}")
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {', '.join(found)}."
    )


def table(found: list[Row]) -> str:
    """A Markdown table."""
    lines = [HEADING, ("---",) * len(HEADING), *(row.cells for row in found)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(scripts())}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(scripts()):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    sections, failed = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.names or scripts():
            file = Path(scratch) / name
            print(f"\n== {name}", flush=True)
            done = subprocess.run(
                [sys.executable, str(HERE / f"{name}.py")],
                env={**os.environ, VARIABLE: str(file), "PYTHONPATH": path},
                check=False,
            )
            if done.returncode:
                failed.append(name)
            if found := rows(file):
                sections.append(f"`benchmarks/{name}.py`\n\n{table(found)}\n")
    print("\n" + "\n".join(sections))
    if failed:
        print(f"missed their goals, or failed: {', '.join(failed)}")
    if not arguments.names:
        PAGE.write_text("\n".join([INTRODUCTION, machine() + "\n", *sections]))
        print(f"written: {PAGE.relative_to(HERE.parent)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
