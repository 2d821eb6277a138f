"""Pace and memory of conversion: the 1.1B model to a folder and to GGUF, against a plain copy.

Each conversion runs in a process of its own, so that its peak memory is its own. The ratio to a
plain copy of the written bytes is what to compare between machines and days.

Run: ``python benchmarks/convert.py [VARIANT]``
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import compared

import elmcfg
from elmcfg.formats.safetensors import write_header
from elmcfg.geometry import geometry

VARIANT = sys.argv[1] if len(sys.argv) > 1 else "openelm-1_1b"


def run(*arguments: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of one command."""
    code = (
        "import json, resource, sys, time\n"
        "from elmcfg.cli import main\n"
        f"sys.argv = ['elmcfg', *{arguments!r}]\n"
        "start = time.perf_counter()\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([time.perf_counter() - start, peak]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stderr.splitlines()[-1])
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


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
    """A 3B checkpoint without its weights: only headers are read, so nothing misses them."""
    shapes = geometry(elmcfg.load("openelm-3b")).tensor_shapes()
    file = folder / "model.safetensors"
    with file.open("wb") as stream:
        write_header(stream, {name: ("BF16", shape) for name, shape in shapes.items()})
        stream.truncate(stream.tell() + 2 * 3_036_647_424)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folder, file = root / "model", root / "model.gguf"
        steps = [
            ("random to folder", (VARIANT, str(folder)), folder / "model.safetensors"),
            ("folder to GGUF F16", (str(folder), str(file), "--dtype", "float16"), file),
            ("folder to GGUF BF16", (str(folder), str(file), "--force"), file),
            ("GGUF to folder", (str(file), str(root / "again")), root / "again/model.safetensors"),
        ]
        print(f"{VARIANT}, {os.cpu_count()} cores")
        print(f"{'':22}{'seconds':>9}{'copy':>8}{'ratio':>8}{'peak MB':>9}")
        for name, arguments, made in steps:
            seconds, peak = run("convert", *arguments, "--quiet")
            plain = copy_seconds(made, root / "copy")
            compared(f"convert, {name}", "a copy of the bytes", seconds, plain)
            print(f"{name:22}{seconds:9.2f}{plain:8.2f}{seconds / plain:8.1f}{peak:9.0f}")
        weights = root / "3b"
        weights.mkdir()
        headers_only(weights)
        best = min(run("show", str(weights))[0] for _ in range(5))
        print(f"show of a 3B checkpoint's headers: {best:.2f} s over the interpreter's start")


if __name__ == "__main__":
    main()
