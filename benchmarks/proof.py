"""The whole proof of a model as a user runs it, and each check's share of it.

Every run is ``elmcfg build-and-run`` in a fresh process, so interpreter, imports, the child process
and its weights all count. Then a folder of many tiny variants in one call, against the cost of one
warm proof divided by the cores, and against as many single calls.

    python benchmarks/proof.py [--config openelm-270m] [--runs 5] [--variants 50]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MAX_SECONDS = 10.0


def elmcfg(*arguments: str) -> tuple[float, dict[str, Any]]:
    """Seconds of a whole process, and its JSON."""
    command = [sys.executable, "-m", "elmcfg", "build-and-run", *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--format", "json", "-q"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    result: dict[str, Any] = json.loads(done.stdout)
    return seconds, result


def shares(config: str, runs: int) -> float:
    """Print each check's median seconds and share; the median of the whole."""
    elmcfg(config)  # Fills the file cache.
    results = [elmcfg(config) for _ in range(runs)]
    whole = statistics.median(seconds for seconds, _ in results)
    print(f"{config}: {'check':<14}{'median s':>9}{'min':>8}{'max':>8}{'share':>8}")
    spent = 0.0
    for index, check in enumerate(results[0][1]["checks"]):
        seconds = [result["checks"][index]["seconds"] for _, result in results]
        middle = statistics.median(seconds)
        spent += middle
        name = check["name"]
        print(
            f"{'':{len(config) + 2}}{name:<14}{middle:9.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{middle / whole:8.1%}"
        )
    rest = whole - spent
    print(f"{'':{len(config) + 2}}{'starting':<14}{rest:9.2f}{'':16}{rest / whole:8.1%}")
    every = [seconds for seconds, _ in results]
    peak, expected = (results[0][1][key] for key in ("peak_memory_bytes", "estimated_memory_bytes"))
    print(
        f"whole process {whole:.2f} s ({min(every):.2f} to {max(every):.2f}); peak "
        f"{peak / 2**20:,.0f} MiB, estimated {expected / 2**20:,.0f} ({expected / peak - 1:+.1%})"
    )
    return whole


def many(count: int) -> None:
    """A folder of tiny variants in one call, and what that should cost."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tiny = (ROOT / "variants/tiny.yaml").read_text()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            text = tiny.replace(
                "num_transformer_layers: 4", f"num_transformer_layers: {4 + index % 3}"
            )
            (Path(folder) / f"variant-{index:02}.yaml").write_text(text)
        cold = statistics.median(elmcfg("tiny")[0] for _ in range(5))
        seconds, result = elmcfg(folder)
    warm = statistics.median(each["seconds"] for each in result["results"])
    fair = count * warm / (cores or 1)
    print(
        f"\n{count} tiny variants in one call: {seconds:.2f} s; warm proofs of {warm:.2f} s over "
        f"{cores} cores: {fair:.2f} s ({seconds / fair:.2f}x); cold calls of {cold:.2f} s: "
        f"{count * cold:.1f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default="openelm-270m", help="what to prove")
    parser.add_argument("--runs", type=int, default=5, help="runs of the proof")
    parser.add_argument("--variants", type=int, default=50, help="tiny variants in one folder")
    arguments = parser.parse_args()
    whole = shares(arguments.config, arguments.runs)
    many(arguments.variants)
    print(
        f"\ngoal: the proof under {MAX_SECONDS:g} s: {'met' if whole < MAX_SECONDS else 'MISSED'}"
    )
    return 0 if whole < MAX_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
