"""OpenELM-270M, float32, on the CPU: elmcfg's model against mlx-lm's own.

First forward passes, elmcfg's with OpenBLAS against a stock mlx-lm install. Then both on the same
OpenBLAS, with the same weights and in turns in one process: a pass over 128 tokens, and decoding.

The physical limit is the larger of two times: of the model's matrix products (2 FLOPs per
multiply-add; attention scores left out) at the rate of one large float32 matrix product, and of
reading all weights once at the rate of a memory copy, both measured in the same process as ours.

    python benchmarks/forward.py [--runs 7] [--stock-runs 2] [--decode 32]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import compared

ROOT = Path(__file__).parent.parent
GOAL, GOAL_TOKENS = 20.0, 128
SAME_GOAL = 0.97
LENGTHS = (1, 16, 128)

COMMON = """
import json, sys, time
from elmcfg.config import Config, resolve
config = Config(
    num_transformer_layers=16, model_dim=1280, head_dim=64, vocab_size=32000, num_gqa_groups=4,
    qkv_multipliers=(0.5, 1.0), ffn_multipliers=(0.5, 4.0),
)
"""
OURS = """
from elmcfg.model.build import build
from elmcfg.backend import load_blas
model, blas = build(config), load_blas().name or "MLX's own BLAS"
"""
STOCK = """
from mlx_lm.models.openelm import Model, ModelArgs
model = Model(ModelArgs.from_dict(resolve(config).model_dump(exclude_none=True)))
blas = "MLX's own BLAS"
"""
MEASURE = """
import mlx.core as mx
runs, peak_size = int(sys.argv[1]), int(sys.argv[2])
mx.set_default_device(mx.cpu)
mx.eval(model.parameters())
def timed(compute, times):
    mx.eval(compute())
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        mx.eval(compute())
        seconds.append(time.perf_counter() - began)
    return seconds
a = mx.random.normal((peak_size, peak_size))
peak = 2 * peak_size**3 / min(timed(lambda: a @ a, max(3, runs)))
source, target = bytearray(2**29), bytearray(2**29)
def copied():
    began = time.perf_counter()
    target[:] = source
    return time.perf_counter() - began
bandwidth = 2 * len(source) / min(copied() for _ in range(5))
tokens = mx.random.randint(0, 32000, (1, 128))
result = {length: timed(lambda: model(tokens[:, :length]), runs) for length in LENGTHS}
print(json.dumps({"blas": blas, "peak": peak, "bandwidth": bandwidth, "seconds": result}))
"""

SAME = """
from elmcfg.model import build, make_cache
from elmcfg.backend import load_blas
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.models.openelm import Model, ModelArgs
rounds, count = int(sys.argv[1]), int(sys.argv[2])
mx.set_default_device(mx.cpu)
ours = build(config)
mx.eval(ours.parameters())
theirs = Model(ModelArgs.from_dict(resolve(config).model_dump(exclude_none=True)))
theirs.load_weights(tree_flatten(ours.parameters()), strict=True)
tokens = mx.random.randint(0, 32000, (1, 128))
def forward(model, new_cache):
    began = time.perf_counter()
    mx.eval(model(tokens))
    return time.perf_counter() - began
def decode(model, new_cache):
    caches = new_cache(model)
    token = mx.argmax(model(tokens[:, :16], caches)[:, -1:], axis=-1)
    mx.eval(token)
    began = time.perf_counter()
    for _ in range(count):
        token = mx.argmax(model(token, caches)[:, -1:], axis=-1)
        mx.eval(token)
    return (time.perf_counter() - began) / count
models = {"elmcfg": (ours, make_cache), "mlx-lm": (theirs, make_prompt_cache)}
result = {"blas": load_blas().name}
for what in (forward, decode):
    seconds = {name: [] for name in models}
    for index in range(rounds + 1):
        # Each goes first as often as the other, and the first round does not count.
        for name in list(models)[:: 1 if index % 2 else -1]:
            seconds[name].append(what(*models[name]))
    result[what.__name__] = {name: found[1:] for name, found in seconds.items()}
print(json.dumps(result))
"""


def measure(code: str, runs: int, peak_size: int) -> dict[str, Any]:
    """What a fresh process finds: its BLAS, its peak FLOP/s, and seconds per length."""
    script = COMMON + code + MEASURE.replace("LENGTHS", str(LENGTHS))
    done = subprocess.run(
        [sys.executable, "-c", script, str(runs), str(peak_size)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def same_blas(rounds: int, count: int) -> bool:
    """Both models in turns in one process; whether ours is fast enough in both."""
    done = subprocess.run(
        [sys.executable, "-c", COMMON + SAME, str(rounds), str(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"\nboth on {result['blas']}, the same weights, in turns:")
    met = True
    for what, per in (("forward", "128 tokens"), ("decode", "token")):
        ours, theirs = (result[what][name] for name in ("elmcfg", "mlx-lm"))
        compared(f"{what} of 270M", "mlx-lm on the same BLAS", ours, theirs)
        ratio = statistics.median(theirs) / statistics.median(ours)
        met = met and ratio >= SAME_GOAL
        print(
            f"{what:8} elmcfg {statistics.median(ours) * 1e3:7.1f} ms per {per}, mlx-lm "
            f"{statistics.median(theirs) * 1e3:7.1f} ms: {ratio:.2f}x"
        )
    print(f"goal: {SAME_GOAL:g}x: {'met' if met else 'MISSED'}")
    return met


def limit(tokens: int, result: dict[str, Any]) -> float:
    """Seconds that one forward of ``tokens`` tokens takes at the least."""
    parameters = 271_527_168
    matrices = parameters - 16 * (2 * 1280 + 2 * 64) - 1280
    multiplying = 2 * matrices * tokens / result["peak"]
    reading = 4 * parameters / result["bandwidth"]
    return float(max(multiplying, reading))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=7, help="runs of ours per length")
    parser.add_argument("--stock-runs", type=int, default=2, help="runs of stock mlx-lm per length")
    parser.add_argument("--decode", type=int, default=32, help="tokens decoded in a round")
    arguments = parser.parse_args()

    ours = measure(OURS, arguments.runs, 2048)
    stock = measure(STOCK, arguments.stock_runs, 512)
    for name, result in (("elmcfg", ours), ("mlx-lm", stock)):
        print(
            f"{name}: {result['blas']}, large matmul {result['peak'] / 1e9:.1f} GFLOP/s, "
            f"memory {result['bandwidth'] / 1e9:.1f} GB/s"
        )

    print(f"\n{'tokens':>6}{'elmcfg s':>10}{'spread':>16}{'mlx-lm s':>10}{'spread':>16}", end="")
    print(f"{'ratio':>8}{'limit s':>9}{'reached':>9}")
    ratios = {}
    for length in LENGTHS:
        mine, theirs = ours["seconds"][str(length)], stock["seconds"][str(length)]
        compared(f"forward of 270M, {length} tokens", "stock mlx-lm", mine, theirs)
        middle, their_middle = statistics.median(mine), statistics.median(theirs)
        ratios[length] = their_middle / middle
        least = limit(length, ours)
        print(
            f"{length:6}{middle:10.3f}{min(mine):8.3f}-{max(mine):<7.3f}"
            f"{their_middle:10.3f}{min(theirs):8.3f}-{max(theirs):<7.3f}"
            f"{ratios[length]:7.1f}x{least:9.3f}{least / middle:9.0%}"
        )
    met = ratios[GOAL_TOKENS] >= GOAL
    print(f"\ngoal: {GOAL:g}x at {GOAL_TOKENS} tokens: {'met' if met else 'MISSED'}")
    same = same_blas(arguments.runs, arguments.decode)
    return 0 if met and same else 1


if __name__ == "__main__":
    sys.exit(main())
