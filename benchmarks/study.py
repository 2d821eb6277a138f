"""What a study costs beside its jobs.

    python benchmarks/study.py [--variants 1000] [--records 100000] [--proofs 60]

Three figures: a study of costs alone, against computing the same costs in a loop; opening a large
journal, against reading its lines one by one; and a study of many tiny proofs over two workers,
against the seconds that the proofs themselves took, halved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import compared

from elmcfg.costs import cost
from elmcfg.scaling import scale
from elmcfg.study.journal import Journal

SHAPE: dict[str, Any] = {"model_dim": 64, "head_dim": 16, "ffn_dim_divisor": 16, "vocab_size": 256}


def study(folder: Path, count: int, measure: str) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a whole process, and its records."""
    variants = [
        {
            "profile": "vanilla",
            "name": f"v{i}",
            "shape": {"num_transformer_layers": 4 + i % 8, "rope_freq_constant": 10000 + i},
        }
        for i in range(count)
    ]
    plan = folder / f"{measure}.json"
    values = {"variants": variants, "shape": SHAPE, "measure": [measure], "engine": {"jobs": 2}}
    plan.write_text(json.dumps(values))
    out = folder / measure
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "elmcfg", "study", str(plan), "-o", str(out), "-q"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    lines = (out / "journal.jsonl").read_text().splitlines()
    return seconds, [json.loads(line) for line in lines]


def costs(folder: Path, count: int) -> bool:
    seconds, records = study(folder, count, "costs")
    began = time.perf_counter()
    for i in range(count):
        cost(scale(num_transformer_layers=4 + i % 8, **SHAPE, rope_freq_constant=10000 + i))
    loop = time.perf_counter() - began
    compared(f"a study of {count:,} variants' costs", "a bare loop over them", seconds, loop)
    print(
        f"costs of {len(records):,} variants: {seconds:.2f} s, process and all; a bare loop "
        f"{loop:.2f} s ({seconds / loop:.1f}x); goal: under 3 s"
    )
    return seconds < 3


def journal(folder: Path, count: int) -> bool:
    path = folder / "large.jsonl"
    line = {
        "key": "", "status": "done", "kind": "costs", "variant": "v", "seed": None,
        "learning_rate": None, "error": None, "started": "2026-01-01T00:00:00Z", "seconds": 0.001,
        "result": {"parameters": {"total": 1, "embedding": 1}, "weight_bytes": 2}, "host": "h",
        "device": None, "versions": {"elmcfg": "0.1.0", "mlx": None, "python": "3.11"},
        "attempt": 1,
    }  # fmt: skip
    path.write_text("".join(json.dumps({**line, "key": f"{i:032x}"}) + "\n" for i in range(count)))
    began = time.perf_counter()
    opened = Journal(path)
    found = sum(opened.status(f"{i:032x}") == "done" for i in range(count))
    opening = time.perf_counter() - began
    began = time.perf_counter()
    with path.open() as stream:
        by_line = [json.loads(text) for text in stream]
    lines = time.perf_counter() - began
    assert found == len(by_line) == count
    compared(f"open a journal of {count:,} records", "read it line by line", opening, lines)
    print(
        f"opening {count:,} records: {opening:.2f} s; line by line {lines:.2f} s "
        f"({opening / lines:.2f}x); goal: under 1 s"
    )
    return opening < 1


def proofs(folder: Path, count: int) -> bool:
    few, _ = study(folder / "few", 2, "proof")
    seconds, records = study(folder / "many", count, "proof")
    own = sum(float(r["result"]["seconds"]) for r in records[2:])
    # What starting two workers takes is paid once, however many jobs there are.
    overhead = (seconds - few) / (own / 2) - 1
    what = f"{count} tiny proofs of a study over 2 workers"
    compared(what, "the proofs themselves, halved", seconds - few, own / 2)
    print(
        f"{count} tiny proofs over 2 workers: {seconds:.2f} s, of which starting {few:.2f} s; "
        f"their own {own:.2f} s halved: overhead per job {overhead:+.1%}; goal: under 10 %"
    )
    return overhead < 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--variants", type=int, default=1000, help="variants of costs alone")
    parser.add_argument("--records", type=int, default=100_000, help="records of a journal")
    parser.add_argument("--proofs", type=int, default=60, help="tiny proofs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("few", "many"):
            (folder / inner).mkdir()
        met = [
            costs(folder, arguments.variants),
            journal(folder, arguments.records),
            proofs(folder, arguments.proofs),
        ]
    print(f"goals met: {sum(met)} of {len(met)}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
