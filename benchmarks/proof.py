"""The whole proof of a model as a user runs it, and each check's share of it.

Every run is ``elmcfg build-and-run`` in a fresh process, so interpreter, imports, the child process
and its weights all count. The physical limit is what the proof's own passes over the weights would
take at the speed of one large matrix product, or of memory, whichever is slower for each: nothing
is counted for making, saving, casting and quantizing weights.

Then a folder of many tiny variants in one call, against the cost of one warm proof divided by the
cores, and against as many single calls.

    python benchmarks/proof.py [--config openelm-270m] [--runs 5] [--variants 60]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import compared

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from elmcfg.backend import import_mlx  # noqa: E402

import_mlx()

from elmcfg.cores import cores  # noqa: E402
from elmcfg.costs import cost  # noqa: E402
from elmcfg.linter import load  # noqa: E402
from elmcfg.model.layers import Embedding  # noqa: E402
from elmcfg.proof import prove  # noqa: E402
from elmcfg.speed import copy_bandwidth, matmul_flops_per_second  # noqa: E402

MAX_SECONDS = 10.0
NOT_COUNTED = ("shapes", "dtypes", "quantization")
"""Checks that evaluate nothing, or not in passes over all weights in float32."""


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


def cpu_seconds() -> float:
    """CPU time of all processes that have ended, of users and of the system."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pass_lengths() -> list[int]:
    """Tokens of each pass of a default proof; the same for every model of a longer context."""
    lengths: list[int] = []
    right: Any = Embedding.__call__

    def embed(self: Any, tokens: Any) -> Any:
        lengths.append(tokens.size)
        return right(self, tokens)

    Embedding.__call__ = embed  # type: ignore[method-assign]
    try:
        assert prove(load("tiny"), skip=NOT_COUNTED, device="cpu").passed
    finally:
        Embedding.__call__ = right  # type: ignore[method-assign]
    # The gradient's two passes are the last, and the first of them has two more products backward.
    return [*lengths, *2 * lengths[-2:-1]]


def limit(config: str) -> float:
    """Seconds that the passes take at the least; see the module's docstring."""
    parameters = cost(load(config)).parameters.total
    speed, bandwidth = matmul_flops_per_second(2048), copy_bandwidth()
    lengths = pass_lengths()
    seconds = sum(
        max(2 * parameters * tokens / speed, 4 * parameters / bandwidth) for tokens in lengths
    )
    print(
        f"{len(lengths)} passes over {sum(lengths)} tokens: {seconds:.2f} s at "
        f"{speed / 1e9:.0f} GFLOP/s and {bandwidth / 1e9:.1f} GB/s"
    )
    return seconds


def shares(config: str, runs: int) -> float:
    """Print each check's median seconds and share; the median of the whole."""
    elmcfg(config)  # Fills the file cache.
    spent = cpu_seconds()
    results = [elmcfg(config) for _ in range(runs)]
    spent = (cpu_seconds() - spent) / runs
    every = [seconds for seconds, _ in results]
    whole = statistics.median(every)
    print(f"{config}: {'check':<14}{'median s':>9}{'min':>8}{'max':>8}{'share':>8}")
    checked = 0.0
    for index, check in enumerate(results[0][1]["checks"]):
        seconds = [result["checks"][index]["seconds"] for _, result in results]
        middle = statistics.median(seconds)
        checked += middle
        name = check["name"]
        print(
            f"{'':{len(config) + 2}}{name:<14}{middle:9.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{middle / whole:8.1%}"
        )
    rest = whole - checked
    print(f"{'':{len(config) + 2}}{'starting':<14}{rest:9.2f}{'':16}{rest / whole:8.1%}")
    peak, expected = (results[0][1][key] for key in ("peak_memory_bytes", "estimated_memory_bytes"))
    print(
        f"whole process {whole:.2f} s ({min(every):.2f} to {max(every):.2f}), {spent:.1f} s of "
        f"CPU; peak {peak / 2**20:,.0f} MiB, estimated {expected / 2**20:,.0f} "
        f"({expected / peak - 1:+.1%})"
    )
    least = limit(config)
    print(f"the proof takes {whole / least:.1f}x that")
    compared(f"prove {config}, whole process", "its passes at the machine's limit", every, least)
    return whole


def many(count: int) -> None:
    """A folder of tiny variants in one call, and what that should cost."""
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
    fair = count * warm / cores()
    what = f"prove {count} tiny variants in one call"
    compared(what, "as many warm proofs over the cores", seconds, fair)
    compared(what, "as many calls", seconds, count * cold)
    print(
        f"\n{count} tiny variants in one call: {seconds:.2f} s; warm proofs of {warm:.2f} s over "
        f"{cores()} cores: {fair:.2f} s ({seconds / fair:.2f}x); cold calls of {cold:.2f} s: "
        f"{count * cold:.1f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default="openelm-270m", help="what to prove")
    parser.add_argument("--runs", type=int, default=5, help="runs of the proof")
    parser.add_argument("--variants", type=int, default=60, help="tiny variants in one folder")
    arguments = parser.parse_args()
    whole = shares(arguments.config, arguments.runs)
    many(arguments.variants)
    print(
        f"\ngoal: the proof under {MAX_SECONDS:g} s: {'met' if whole < MAX_SECONDS else 'MISSED'}"
    )
    return 0 if whole < MAX_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
