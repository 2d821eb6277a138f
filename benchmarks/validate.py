"""Checking configs against check-jsonschema: one file, many files, and a very deep one.

Then one model folder against transformers' ``AutoConfig``, which reads and checks nothing.

Every measurement is a whole fresh process, alternating between the two programs so that both see
the same machine; the figure that counts is the ratio. The files all differ: recipes of 8 to 48
layers with their lists written out, none of which there is anything to say of; the line "with
advice" is of files as the dice have them, two thirds of which get a remark. check-jsonschema gets
our own schema, and so checks types and ranges but no rule between keys, and no places.

    python benchmarks/validate.py [--files 10000] [--theirs 1000] [--runs 7]
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import compared, process

from elmcfg.config import Config, resolve
from elmcfg.formats import hub, variant
from elmcfg.linter import load
from elmcfg.quick import is_clean
from elmcfg.scaling import scale

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "schemas" / "variant.schema.json"
ELMCFG = [sys.executable, "-m", "elmcfg", "validate", "--quiet"]
NOTATIONS: dict[str, Callable[[Config], str]] = {
    "json": hub.dump,
    "yaml": lambda config: variant.dump(resolve(config)),
}
# How many times as many files per second as check-jsonschema.
LEAST_TIMES = {"json": 5.0, "yaml": 20.0}
MOST_ONE_FILE, MOST_DEEP_SECONDS, MOST_MIB = 0.5, 1.0, 100


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak MiB of a fresh process and its children, which must find no problem."""
    return process(command, subprocess.DEVNULL)


def median(command: Sequence[str], runs: int) -> float:
    return statistics.median(run(command)[0] for _ in range(runs))


def make(folder: Path, notation: str, count: int, *, clean: bool = True) -> list[str]:
    """Files of one notation, no two alike: without a finding, or as the dice have it."""
    dice = random.Random(0)
    folder.mkdir()
    names: list[str] = []
    while len(names) < count:
        config = scale(
            num_transformer_layers=dice.randint(8, 48),
            model_dim=256 * dice.randint(2, 16),
            ffn_multipliers=(0.5, dice.randint(200, 800) / 100),
            ffn_dim_divisor=64,
            vocab_size=64 * dice.randint(100, 1000),
        )
        if clean and not is_clean(resolve(config).model_dump(mode="json", exclude_none=True)):
            continue
        path = folder / f"{len(names):06}.{notation}"
        path.write_text(NOTATIONS[notation](config), encoding="utf-8")
        names.append(str(path))
    return names


def theirs(files: Sequence[str]) -> list[str]:
    program = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    if program is None:
        sys.exit("check-jsonschema is not installed; try 'make bench'")
    return [program, "--schemafile", str(SCHEMA), *files]


def one_file(files: Sequence[str], notation: str, runs: int) -> bool:
    """A whole process for one file."""
    pairs = [(run([*ELMCFG, files[0]])[0], run(theirs(files[:1]))[0]) for _ in range(runs)]
    mine, others = zip(*pairs, strict=True)
    compared(f"validate, one {notation} file", "check-jsonschema", mine, others)
    ours, other = statistics.median(mine), statistics.median(others)
    met = bool(ours / other <= MOST_ONE_FILE)
    print(
        f"one {notation} file: {ours * 1e3:.0f} ms, check-jsonschema {other * 1e3:.0f} ms: "
        f"{ours / other:.2f}x (goal {MOST_ONE_FILE}x: {'met' if met else 'MISSED'})"
    )
    return met


def many_files(files: Sequence[str], notation: str, their_count: int, runs: int) -> bool:
    """Files per second, beyond what starting costs, in one process each."""
    folder = str(Path(files[0]).parent)
    start, their_start = median([*ELMCFG, files[0]], runs), median(theirs(files[:1]), 3)
    seconds, peak = run([*ELMCFG, folder])
    their_seconds, _ = run(theirs(files[:their_count]))
    seconds = min(seconds, run([*ELMCFG, folder])[0])
    ours = len(files) / (seconds - start)
    other = their_count / (their_seconds - their_start)
    what = f"validate, {len(files):,} {notation} files"
    compared(what, "check-jsonschema", ours, other, "files per second, ours / theirs")
    met = ours / other >= LEAST_TIMES[notation] and peak < MOST_MIB
    print(
        f"{len(files):,} {notation} files: {seconds:.2f} s, {ours:,.0f} files/s, peak {peak:.0f} "
        f"MiB; check-jsonschema {other:,.0f} files/s: {ours / other:.0f}x "
        f"(goal {LEAST_TIMES[notation]:g}x: {'met' if met else 'MISSED'})"
    )
    return met


def auto_config(folder: Path, runs: int) -> None:
    """A model folder, against transformers reading the same ``config.json``."""
    if importlib.util.find_spec("transformers") is None:
        print("transformers is not installed: AutoConfig is left out")
        return
    folder.mkdir()
    (folder / "config.json").write_text(hub.dump(load("openelm-1_1b")), encoding="utf-8")
    code = (
        "import sys\n"
        "from transformers import AutoConfig, PretrainedConfig\n"
        "class OpenELM(PretrainedConfig):\n    model_type = 'openelm'\n"
        "AutoConfig.register('openelm', OpenELM)\n"
        "assert AutoConfig.from_pretrained(sys.argv[1]).model_dim == 2048\n"
    )
    reading = [sys.executable, "-c", code, str(folder)]
    pairs = [(run([*ELMCFG, str(folder)])[0], run(reading)[0]) for _ in range(runs)]
    mine, others = zip(*pairs, strict=True)
    compared("validate, one model folder", "transformers' AutoConfig", mine, others)
    ours, other = statistics.median(mine), statistics.median(others)
    print(
        f"a model folder: {ours * 1e3:.0f} ms, transformers' AutoConfig {other * 1e3:.0f} ms: "
        f"{ours / other:.2f}x, and that checks no list"
    )


def growth(files: Sequence[str], notation: str, folder: Path) -> None:
    """Seconds and memory as the number of files doubles."""
    folder.mkdir()
    count = len(files) // 8
    for path in files[:count]:
        (folder / Path(path).name).hardlink_to(path)
    cells = []
    for following in (count, 2 * count, 4 * count, 8 * count):
        for path in files[count:following]:
            (folder / Path(path).name).hardlink_to(path)
        count = max(count, following)
        seconds, peak = min(run([*ELMCFG, str(folder)]) for _ in range(3))
        cells.append(f"{following:,}: {seconds:.2f} s, {peak:.0f} MiB")
    print(f"growth, {notation} files: {'; '.join(cells)}")


def deep_file(folder: Path, runs: int) -> bool:
    """A model of 10,000 layers, clean and with an entry missing."""
    folder.mkdir()
    config = scale(num_transformer_layers=10_000, model_dim=1280)
    met = True
    for notation, dump in NOTATIONS.items():
        path = folder / f"deep.{notation}"
        path.write_text(dump(config), encoding="utf-8")
        clean = median([*ELMCFG, str(path)], runs)
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("10000", "10001", 1), encoding="utf-8")
        began = time.perf_counter()
        subprocess.run([*ELMCFG, str(path)], capture_output=True, check=False)
        broken = time.perf_counter() - began
        met = met and max(clean, broken) < MOST_DEEP_SECONDS
        print(f"10,000 layers in {notation}: clean {clean:.2f} s, broken {broken:.2f} s", end="; ")
    print(f"goal {MOST_DEEP_SECONDS:g} s: {'met' if met else 'MISSED'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="files that elmcfg checks")
    parser.add_argument("--theirs", type=int, default=1_000, help="files for check-jsonschema")
    parser.add_argument("--runs", type=int, default=7, help="runs of the short measurements")
    arguments = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for notation in NOTATIONS:
            files = make(folder / notation, notation, arguments.files)
            met &= one_file(files, notation, arguments.runs)
            met &= many_files(files, notation, arguments.theirs, arguments.runs)
            growth(files, notation, folder / f"{notation}-growth")
            remarked = make(folder / f"{notation}-remarked", notation, 1_000, clean=False)
            seconds, _ = run([*ELMCFG, str(Path(remarked[0]).parent)])
            print(f"with advice: {len(remarked):,} {notation} files in {seconds:.2f} s")
        met &= deep_file(folder / "deep", arguments.runs)
        auto_config(folder / "model", arguments.runs)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
