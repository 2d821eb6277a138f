"""How fast the exact search is, and what it finds that sampling does not.

    python benchmarks/search.py

The space ``wide`` holds 2,706,582,528 designs. Among those with OpenELM-270M's parameters, give or
take 0.5 %, which needs the least KV cache? Asked of elmcfg, and of Optuna's NSGA-II with 2,000
trials, in the same run; both use one core. Then: designs evaluated one by one, by elmcfg on arrays,
by CoreNet's formula in plain Python, and by counting a model on torch's meta device (where torch
is installed). The times of commands are the best of several, from a shell.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from measuring import compared

from elmcfg.search.budgets import QUANTITIES, Bound, Conditions, Goal, Shape
from elmcfg.search.engine import search
from elmcfg.search.evaluate import Designs, sums
from elmcfg.search.pareto import axes, front
from elmcfg.search.question import Question
from elmcfg.search.space import load_space

TARGET = 271_527_168
TRIALS = 2_000
PER_TOKEN = Conditions(context_length=1)
PARAMS, KV = QUANTITIES["params"], QUANTITIES["kv-cache"]


def best_of(action: Callable[[], object], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def row(name: str, seconds: float, found: str) -> None:
    print(f"{name:22}{seconds:8.2f} s  {found}")


def exact() -> tuple[float, int]:
    wide = load_space("wide")
    bound = Bound(PARAMS, TARGET * Fraction(995, 1000), TARGET * Fraction(1005, 1000))
    question = Question(space=wide, bounds=(bound,), conditions=PER_TOKEN)
    result = search(question, Goal(KV))
    seconds = best_of(lambda: search(question, Goal(KV)))
    design = result.designs[0]
    found = int(KV.value(design.shape, PER_TOKEN, design.kv_heads, design.ffn_units))
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    row("elmcfg, exact", seconds, f"{found:6,} bytes/token  peak {memory:,.0f} MiB")
    print(f"{'':24}{result.examined:,} designs, {result.feasible:,} fit")
    started = time.perf_counter()
    trade_offs = front(Question(space=wide, conditions=PER_TOKEN), axes("params,kv-cache"))
    took = time.perf_counter() - started
    row("elmcfg, whole front", took, f"{len(trade_offs.designs):,} trade-offs of params and KV")
    return seconds, found


def corenet(layers: int, width: int, step: int, ends: tuple[float, float]) -> int:
    """The sum over the layers, in steps, by CoreNet's formula as it stands."""
    total = 0
    for multiplier in np.linspace(ends[0], ends[1], num=layers, dtype=float):
        wanted = width * round(multiplier, 2)
        rounded = max(step, int(wanted + step / 2) // step * step)
        total += (rounded + step if rounded < 0.9 * wanted else rounded) // step
    return total


def sampled(exact_seconds: float, exact_found: int) -> None:
    if importlib.util.find_spec("optuna") is None:
        print("Optuna is not installed: pip install optuna")
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")

    def objective(trial: optuna.Trial) -> float:
        layers = trial.suggest_int("layers", 8, 48)
        width = trial.suggest_int("model_dim", 512, 4096, step=128)
        head_dim = trial.suggest_categorical("head_dim", [64, 128])
        qkv = (
            trial.suggest_float("qkv_start", 0.25, 1.0, step=0.05),
            trial.suggest_float("qkv_end", 0.25, 1.5, step=0.05),
        )
        ffn = (
            trial.suggest_float("ffn_start", 0.5, 4.0, step=0.1),
            trial.suggest_float("ffn_end", 0.5, 8.0, step=0.1),
        )
        shape = Shape(layers, width, head_dim, 4, 256)
        heads, units = corenet(layers, width, 4 * head_dim, qkv), corenet(layers, width, 256, ffn)
        params = float(PARAMS.value(shape, PER_TOKEN, heads, units))
        trial.set_user_attr("violation", abs(params / TARGET - 1) - 0.005)
        return float(KV.value(shape, PER_TOKEN, heads, units))

    def violation(trial: optuna.trial.FrozenTrial) -> list[float]:
        return [trial.user_attrs["violation"]]

    sampler = optuna.samplers.NSGAIISampler(seed=0, constraints_func=violation)
    study = optuna.create_study(sampler=sampler)
    started = time.perf_counter()
    study.optimize(objective, n_trials=TRIALS)
    took = time.perf_counter() - started
    fit = [t.value for t in study.trials if t.user_attrs["violation"] <= 0 and t.value is not None]
    found = f"{min(fit):6,.0f} bytes/token" if fit else "nothing that fits"
    row("Optuna, NSGA-II", took, f"{found}  {len(fit)} of {TRIALS:,} trials fit")
    if fit:
        what, against = "least KV cache of 2.7e9 designs", f"Optuna, {TRIALS:,} trials"
        compared(what, against, exact_seconds, took)
        compared(what, against, exact_found, min(fit), "KV cache found, ours / theirs")
        cache, speed = min(fit) / exact_found, took / exact_seconds
        print(f"{'':24}the exact answer has {cache:.2f}x less cache, in 1/{speed:.1f} of the time")


def random_designs(count: int) -> Designs:
    random = np.random.default_rng(0)

    def pick(first: float, last: float, step: float) -> np.typing.NDArray[np.float64]:
        picked = first + step * random.integers(0, round((last - first) / step) + 1, count)
        rounded: np.typing.NDArray[np.float64] = np.round(picked, 2)
        return rounded

    def whole(first: int, last: int, step: int) -> np.typing.NDArray[np.int64]:
        return pick(first, last, step).astype(np.int64)

    return Designs(
        layers=whole(8, 48, 1),
        model_dim=whole(512, 4096, 128),
        head_dim=whole(64, 128, 64),
        queries_per_kv_head=np.full(count, 4),
        divisor=np.full(count, 256),
        qkv=np.stack([pick(0.25, 1.0, 0.05), pick(0.25, 1.5, 0.05)], axis=1),
        ffn=np.stack([pick(0.5, 4.0, 0.1), pick(0.5, 8.0, 0.1)], axis=1),
    )


def one_by_one() -> None:
    many = random_designs(1_000_000)
    ours = len(many.layers) / best_of(lambda: sums(many))
    print(f"\none by one, on arrays  {ours:12,.0f} designs/s")

    few = random_designs(2_000)
    rows = list(
        zip(
            few.layers.tolist(), few.model_dim.tolist(), (4 * few.head_dim).tolist(),
            few.qkv.tolist(), few.ffn.tolist(), strict=True,
        )
    )  # fmt: skip

    def plain() -> list[tuple[int, int]]:
        return [
            (corenet(n, d, step, (q[0], q[1])), corenet(n, d, 256, (f[0], f[1])))
            for n, d, step, q, f in rows
        ]

    heads, units = sums(few)
    assert plain() == list(zip(heads.tolist(), units.tolist(), strict=True))
    theirs = len(rows) / best_of(plain)
    compared("designs evaluated on arrays", "CoreNet's formula", ours, theirs, "designs per second")
    print(f"CoreNet's formula      {theirs:12,.0f} designs/s  (elmcfg {ours / theirs:,.0f}x)")
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed, its meta device left out: pip install torch")
        return
    on_meta(ours)


def on_meta(ours: float) -> None:
    """Parameters counted on a model of torch modules without storage."""
    torch: Any = importlib.import_module("torch")

    def count(layers: int = 16, d: int = 1280, h: int = 64) -> int:
        with torch.device("meta"):
            modules = [torch.nn.Embedding(32000, d), torch.nn.RMSNorm(d)]
            for i in range(layers):
                q, f = 12 + 4 * (i // 5), 256 * (3 + i)
                modules += [
                    torch.nn.Linear(d, (q + q // 2) * h, bias=False),
                    torch.nn.Linear(q * h, d, bias=False),
                    torch.nn.Linear(d, 2 * f, bias=False),
                    torch.nn.Linear(f, d, bias=False),
                    *(torch.nn.RMSNorm(n) for n in (d, d, h, h)),
                ]
        return sum(p.numel() for m in modules for p in m.parameters())

    count()
    theirs = 20 / best_of(lambda: [count() for _ in range(20)])
    compared("designs evaluated on arrays", "torch meta", ours, theirs, "designs per second")
    print(f"torch, meta device     {theirs:12,.0f} designs/s  (elmcfg {ours / theirs:,.0f}x)")


def from_the_shell() -> None:
    print()
    for arguments in (
        ["scale", "--layers", "16", "--model-dim", "1280"],
        ["scale", "--target-params", "600M"],
        ["scale", "--target-params", "600M", "--max-kv-cache", "48MiB", "--context-length", "4096"],
    ):
        command = [sys.executable, "-m", "elmcfg", *arguments]
        seconds = best_of(partial(subprocess.run, command, capture_output=True, check=True), 5)
        print(f"{seconds:8.2f} s  elmcfg {' '.join(arguments)}")


if __name__ == "__main__":
    sampled(*exact())
    one_by_one()
    from_the_shell()
