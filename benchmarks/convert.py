"""Pace and memory of conversion: the 1.1B model to a folder and to GGUF, against a plain copy.

Each conversion runs in a process of its own, so that its peak memory is its own, in turns with a
copy of the bytes that it wrote; both end when the bytes are on the disk. Random weights are drawn
besides, which is held against MLX drawing them and nothing else. The 3B checkpoint is one without
weights, a file of holes: its headers are shown, and its zeros converted.

Goals: a peak under twice the largest tensor and 500 MB, under 2 GB for the 3B model, and less than
0.3 s over a bare start for the headers. A goal that is missed ends the script with 1.

Run: ``python benchmarks/convert.py [VARIANT] [--rounds N]``
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import compared

import elmcfg
from elmcfg.formats.safetensors import write_header
from elmcfg.geometry import geometry

MEASURED = """\
import json, resource, sys, time
start = time.perf_counter()
{body}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.perf_counter() - start, peak]), file=sys.stderr)
"""
COMMAND = """\
from elmcfg.cli import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit as stop:
    assert not stop.code"""
DRAWING = """\
import elmcfg
from elmcfg.conversion.weights import random
config = elmcfg.load({variant!r})
weights = random(config)
for name in weights.shapes:
    weights.read(name)"""
ROW = "{:32}{:9.2f}{:9.2f}{:8.2f}{:9.0f}{:8.0f}"
HEADING = "{:32}{:>9}{:>9}{:>8}{:>9}{:>8}"


def run(body: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of a program, without the interpreter's start."""
    code = MEASURED.format(body=body)
    # With compiled modules, as an install has them, whatever the environment says.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    seconds, peak = json.loads(done.stderr.splitlines()[-1])
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


def command(*arguments: str) -> tuple[float, float]:
    """The same of a command of ours."""
    return run(COMMAND.format(arguments=["elmcfg", *arguments]))


def copy_seconds(source: Path, target: Path) -> float:
    """Seconds to read and write the same bytes, through to the disk."""
    start = time.perf_counter()
    shutil.copyfile(source, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def headers_only(folder: Path) -> None:
    """A 3B checkpoint without its weights: a hole of the right size in their place."""
    folder.mkdir()
    shapes = geometry(elmcfg.load("openelm-3b")).tensor_shapes()
    with (folder / "model.safetensors").open("wb") as stream:
        write_header(stream, {name: ("BF16", shape) for name, shape in shapes.items()})
        stream.truncate(stream.tell() + 2 * 3_036_647_424)


def most_megabytes(variant: str) -> float:
    """The goal: twice the largest tensor, as it is stored, and 500 MB."""
    config = elmcfg.load(variant)
    return 2 * 2 * config.vocab_size * config.model_dim / 1e6 + 500


def report(
    name: str, ours: Sequence[float], theirs: Sequence[float], peak: float, most: float
) -> bool:
    """Print a line; whether the peak is within its goal."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(ROW.format(name, statistics.median(ours), statistics.median(theirs), ratio, peak, most))
    return peak < most


def conversions(root: Path, variant: str, rounds: int) -> bool:
    """Random weights to a folder once, and the folder's to the other forms in turns with copies."""
    folder, file, again = root / "model", root / "model.gguf", root / "again"
    goal = most_megabytes(variant)
    seconds, peak = command("convert", variant, str(folder), "--quiet")
    drawn, _ = run(DRAWING.format(variant=variant))
    compared(
        f"convert, {variant} of random weights to a folder", "MLX drawing them", seconds, drawn
    )
    fine = report("random to folder, against drawing", [seconds], [drawn], peak, goal)
    steps = [
        ("folder to folder", (folder, again), again / "model.safetensors"),
        ("folder to GGUF F16", (folder, file, "--dtype", "float16"), file),
        ("folder to GGUF BF16", (folder, file), file),
        ("GGUF BF16 to folder", (file, again), again / "model.safetensors"),
    ]
    for name, arguments, made in steps:
        ours, theirs, peaks = [], [], []
        for _ in range(rounds):
            seconds, peak = command("convert", *map(str, arguments), "--force", "--quiet")
            ours.append(seconds)
            peaks.append(peak)
            theirs.append(copy_seconds(made, root / "copy"))
        compared(f"convert, {variant}, {name}", "a copy of the bytes", ours, theirs)
        fine &= report(name, ours, theirs, max(peaks), goal)
    shutil.rmtree(folder)
    shutil.rmtree(again)
    file.unlink()
    return fine


def of_3b(root: Path) -> bool:
    """The headers of a 3B checkpoint, and its conversion."""
    folder, file = root / "3b", root / "3b.gguf"
    headers_only(folder)
    shown, listed = [], []
    for _ in range(5):
        shown.append(command("show", str(folder))[0])
        listed.append(command("show", "openelm-3b")[0])
    compared("show of a 3B checkpoint's headers", "show of the variant", shown, listed)
    least = min(shown)
    print(
        f"show of a 3B checkpoint: {least:.2f} s over a bare start (goal 0.3), of the variant "
        f"{min(listed):.2f} s"
    )
    seconds, peak = command("convert", str(folder), str(file), "--dtype", "float16", "--quiet")
    fine = report(
        "3B folder to GGUF F16", [seconds], [copy_seconds(file, root / "copy")], peak, 2000
    )
    return fine and least < 0.3


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("variant", nargs="?", default="openelm-1_1b")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(f"{given.variant}, {os.cpu_count()} cores")
        print(HEADING.format("", "seconds", "against", "ratio", "peak MB", "goal"))
        fine = conversions(Path(scratch), given.variant, given.rounds)
        fine &= of_3b(Path(scratch))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
