"""Proving the shapes of a 3-billion-parameter model: time and memory of a whole process.

Each measurement is a fresh process, so interpreter, imports, building and proving all count.
The physical limit is a process that only imports MLX; the alternative is a process in which
mlx-lm constructs the same model and evaluates its weights, which is what finding out by running
costs. Run with ``--no-evaluate`` where there is no room for that (6 GB in bfloat16).

The other way to know shapes without weights is torch's meta device: the same tensors, made there.
It is measured with ``--torch PYTHON``, an interpreter that has torch (``pip install torch``, in an
environment of its own).

    python benchmarks/shapes.py [--runs 7] [--no-evaluate] [--torch PYTHON]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from measuring import compared, process

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
MAX_SECONDS, MAX_MIB = 0.5, 200
RECIPE = (
    "num_transformer_layers=36, model_dim=3072, head_dim=128, vocab_size=32000, num_gqa_groups=4,"
    " qkv_multipliers=(0.5, 1.0), ffn_multipliers=(0.5, 4.0)"
)

BARE = "pass"
IMPORT = "import mlx.core, mlx.nn"
PROVE = f"""
from elmcfg.config import Config
from elmcfg.proof import prove
report = prove(Config({RECIPE}), shapes_only=True)
assert report.passed and report.counted == 3_036_647_424, report
"""
MLX_LM = f"""
from elmcfg.config import Config, resolve
values = resolve(Config({RECIPE})).model_dump(exclude_none=True)
import mlx.core as mx
from mlx_lm.models.openelm import Model, ModelArgs
model = Model(ModelArgs.from_dict(values))
model.set_dtype(mx.bfloat16)
"""
EVALUATE = """
from mlx.utils import tree_flatten
for _, tensor in tree_flatten(model.parameters()):
    mx.eval(tensor)
"""
# Torch's interpreter has no elmcfg: the final integers of each layer are written into the program.
META = """
import torch
from torch import nn
d, h, vocabulary, layers = 3072, 128, 32000, LAYERS
with torch.device("meta"):
    stack = [nn.Embedding(vocabulary, d), nn.RMSNorm(d)]
    for q, k, f in layers:
        stack += [nn.Linear(d, (q + 2 * k) * h, bias=False), nn.Linear(q * h, d, bias=False)]
        stack += [nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d, bias=False)]
        stack += [nn.RMSNorm(d), nn.RMSNorm(d), nn.RMSNorm(h), nn.RMSNorm(h)]
    model = nn.ModuleList(stack)
assert sum(tensor.numel() for tensor in model.parameters()) == 3_036_647_424
"""


def meta() -> str:
    """The program that makes the 3B model's tensors on torch's meta device."""
    from elmcfg import load
    from elmcfg.geometry import geometry

    layers = geometry(load("openelm-3b")).layers
    return META.replace(
        "LAYERS", str([(each.num_query_heads, each.num_kv_heads, each.ffn_dim) for each in layers])
    )


def measure(code: str, python: str = sys.executable) -> tuple[float, float]:
    """Seconds and peak MiB of a fresh interpreter that runs ``code``."""
    return process([python, "-c", code])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=7, help="runs of each, the evaluation once")
    parser.add_argument("--no-evaluate", action="store_true", help="leave the evaluation out")
    parser.add_argument(
        "--torch",
        default=os.environ.get("TORCH_PYTHON"),
        metavar="PYTHON",
        help="an interpreter that has torch; TORCH_PYTHON in the environment says it too",
    )
    arguments = parser.parse_args()

    cases = {
        "bare Python": (BARE, arguments.runs),
        "import MLX (the limit)": (IMPORT, arguments.runs),
        "prove the shapes of 3B": (PROVE, arguments.runs),
        "mlx-lm, constructed only": (MLX_LM, arguments.runs),
    }
    if not arguments.no_evaluate:
        cases["mlx-lm, weights evaluated (bf16)"] = (MLX_LM + EVALUATE, 1)
    for code, _ in cases.values():
        if EVALUATE not in code:
            measure(code)  # Fills the file cache and writes bytecode.
    # In turns, so that all see the same machine.
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for index in range(arguments.runs):
        for name, (code, runs) in cases.items():
            if index < runs:
                results[name].append(measure(code))

    if arguments.torch:
        program = meta()
        runs = [measure(program, arguments.torch) for _ in range(arguments.runs + 1)]
        results["torch, on the meta device"] = runs[1:]
    else:
        print("torch's meta device is left out; name an interpreter that has torch with --torch")

    ours = statistics.median(seconds for seconds, _ in results["prove the shapes of 3B"])
    print(f"{'':34}{'median s':>9}{'min':>8}{'max':>8}{'peak MiB':>10}{'to ours':>9}")
    for name, runs_ in results.items():
        seconds = [run[0] for run in runs_]
        middle, peak = statistics.median(seconds), max(run[1] for run in runs_)
        print(
            f"{name:34}{middle:9.3f}{min(seconds):8.3f}{max(seconds):8.3f}{peak:10.0f}"
            f"{middle / ours:8.2f}x"
        )
    times = {name: [run[0] for run in runs_] for name, runs_ in results.items()}
    for name in list(results)[1:]:
        if name == "prove the shapes of 3B":
            continue
        compared("prove the shapes of 3B", name, times["prove the shapes of 3B"], times[name])
    peak = max(run[1] for run in results["prove the shapes of 3B"])
    print(f"\nnever allocated: {3_036_647_424 * 4:,} bytes of float32 weights")
    met = ours < MAX_SECONDS and peak < MAX_MIB
    print(f"goal: under {MAX_SECONDS:g} s and {MAX_MIB} MiB: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
