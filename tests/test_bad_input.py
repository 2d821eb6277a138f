"""Input that nobody should have to fear: refused in words, within bounds of memory and time.

Each case is a fresh process that may have 500 MB of address space, so that going over is seen, and
20 seconds of processor time, so that a loop without end is; the times themselves are no assertion.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run

ROOT = Path(__file__).parent.parent
MB = 10**6
MEMORY, SECONDS = 500 * MB, 20
FULL = 4 * 2**20 - 400  # just below what is read at all

RECIPE = """\
num_transformer_layers: 16
model_dim: 1280
head_dim: 64
vocab_size: 32000
num_gqa_groups: 4
qkv_multipliers: [0.5, 1.0]
ffn_multipliers: [0.5, 4.0]
"""
LISTS = RECIPE.replace("ffn_multipliers: [0.5, 4.0]\n", "")
JSON = (
    '{"num_transformer_layers": 16, "model_dim": 1280, "head_dim": 64, "vocab_size": 32000, '
    '"num_gqa_groups": 4, "qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 4.0], '
)
LISTS_JSON = JSON.replace('"ffn_multipliers": [0.5, 4.0], ', "")


def filled(unit: str) -> str:
    return unit * (FULL // len(unit))


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for one, other in zip("abcdefghij", "bcdefghijk", strict=True):
        lines.append(f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]")
    return "\n".join(lines)


def merge_bomb() -> str:
    merges = (f"b{i}: &b{i}\n  <<: [{','.join(['*a'] * 50)}]\n" for i in range(1900))
    return "a: &a {x: 1}\n" + "".join(merges)


# The text, and the code that it must be refused under; "" where nothing need be wrong with it.
CASES: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "bomb.yaml": (bomb, "ELM004"),
    "merges.yaml": (merge_bomb, "ELM004"),
    "self-alias.yaml": (lambda: "a: &a [*a]", "ELM002"),
    "self-merge.yaml": (lambda: "a: &a\n  <<: *a\n", "ELM002"),
    "brackets.json": (lambda: "[" * 100_000, "ELM004"),
    "brackets.yaml": (lambda: "[" * 100_000, "ELM004"),
    "brackets-4m.json": (lambda: "[" * FULL, "ELM004"),
    "brackets-4m.yaml": (lambda: "[" * FULL, "ELM004"),
    "braces.json": (lambda: '{"a":' * 100_000, "ELM004"),
    "braces.yaml": (lambda: "{a: " * 100_000, "ELM004"),
    "dashes.yaml": (lambda: "- " * 100_000, "ELM004"),
    "fifty-mb.json": (lambda: '{"a": "' + "x" * 50 * MB + '"}', "ELM004"),
    "fifty-mb.yaml": (lambda: "a: " + "x" * 50 * MB, "ELM004"),
    "values.json": (lambda: LISTS_JSON + f'"ffn_multipliers": [{filled("1,")}1]}}', "ELM004"),
    "values.yaml": (lambda: LISTS + f"ffn_multipliers: [{filled('1,')}1]\n", "ELM004"),
    "all-bad.json": (lambda: LISTS_JSON + f'"ffn_multipliers": [{"-1," * 19_000}1]}}', "ELM205"),
    "all-bad.yaml": (lambda: LISTS + f"ffn_multipliers: [{'{}, ' * 19_000}1]\n", "ELM103"),
    "all-words.json": (lambda: LISTS_JSON + f'"ffn_multipliers": [{chr(34)}a",1]}}', "ELM103"),
    "odd-heads.json": (
        lambda: JSON.replace("16", "1000")
        + f'"num_query_heads": [{"7," * 999}7], "num_kv_heads": [{"3," * 999}3]}}',
        "ELM203",
    ),
    "keys.json": (lambda: "{" + ",".join(f'"k{i}":1' for i in range(190_000)) + "}", "ELM004"),
    "keys.yaml": (lambda: "".join(f"k{i}: 1\n" for i in range(150_000)), "ELM004"),
    "some-keys.json": (lambda: "{" + ",".join(f'"k{i}":1' for i in range(2_001)) + "}", "ELM004"),
    "some-keys.yaml": (lambda: "".join(f"k{i}: 1\n" for i in range(2_001)), "ELM004"),
    "near-keys.json": (
        lambda: JSON + ",".join(f'"num_kv_head{i}":1' for i in range(1900)) + "}", "ELM102",
    ),
    "near-keys.yaml": (lambda: "".join(f"num_kv_head{i}: 1\n" for i in range(1900)), "ELM102"),
    "twice.json": (lambda: "{" + '"a":1,' * 150_000 + '"a":1}', "ELM004"),
    "twice.yaml": (lambda: "a: 1\n" * 1900, "ELM003"),
    "long-key.json": (lambda: JSON + '"' + "k" * 3 * MB + '":1}', "ELM102"),
    "long-key.yaml": (lambda: RECIPE + "? " + "k" * 3 * MB + "\n: 1\n", "ELM102"),
    "long-word.yaml": (lambda: RECIPE + "model_type: " + "k" * 3 * MB + "\n", "ELM104"),
    "base-60.yaml": (lambda: RECIPE + "name: 1:" + "1:" * 1_000_000 + "1\n", "ELM004"),
    "digits.yaml": (lambda: RECIPE + "name: " + "1" * 3 * MB + "\n", "ELM004"),
    "digits.json": (lambda: "1" * 3 * MB, "ELM004"),
    "hexadecimal.yaml": (lambda: RECIPE + "name: 0x" + "f" * MB + "\n", "ELM004"),
    "decimals.yaml": (lambda: RECIPE + "name: 1." + "0" * MB + "\n", "ELM004"),
    "big-number.json": (lambda: JSON.replace("1280", str(10**30))[:-2] + "}", "ELM207"),
    "bigger-number.json": (lambda: JSON + f'"rope_freq_constant": {10**400}}}', "ELM103"),
    "infinite.json": (lambda: JSON.replace("4.0]", "1e400]")[:-2] + "}", "ELM205"),
    "minus-zero.json": (lambda: JSON.replace("4.0]", "-0]")[:-2] + "}", "ELM205"),
    "minus-zero-layers.json": (lambda: JSON.replace("16,", "-0,")[:-2] + "}", "ELM207"),
    "nan.json": (lambda: JSON.replace("4.0]", "NaN]")[:-2] + "}", "ELM002"),
    "infinity.json": (lambda: JSON.replace("4.0]", "-Infinity]")[:-2] + "}", "ELM002"),
    "infinite.yaml": (lambda: LISTS + "ffn_multipliers: [.inf, .nan, -.inf, -0]\n", "ELM205"),
    "surrogate.json": (
        lambda: JSON + r'"\ud800": 1, "name": "\udfff", "auto_map": {"\ud800": 3}}', "ELM103",
    ),
    "surrogate.yaml": (lambda: RECIPE + r'name: "\ud800"' + "\n", "ELM002"),
    "raw-surrogate.yaml": (lambda: RECIPE.encode() + b"name: \xed\xa0\x80\n", "ELM001"),
    "utf-16.yaml": (lambda: RECIPE.encode("utf-16"), "ELM001"),
    "utf-16-be.yaml": (lambda: RECIPE.encode("utf-16-be"), "ELM001"),
    "utf-32.yaml": (lambda: RECIPE.encode("utf-32"), "ELM001"),
    "latin-1.yaml": (lambda: RECIPE.encode() + b"name: caf\xe9\n", "ELM001"),
    "nul.json": (lambda: JSON + '"name": "\0"}', "ELM001"),
    "bom.yaml": (lambda: "\ufeff" + RECIPE, ""),
    "bom.json": (lambda: "\ufeff" + JSON[:-2] + "}", ""),
    "crlf.yaml": (lambda: RECIPE.replace("\n", "\r\n"), ""),
    "tabs.yaml": (lambda: "a:\n\tb: 1\n", "ELM002"),
    "tag.yaml": (
        lambda: LISTS + "ffn_multipliers: !!python/object/apply:os.system [touch PWNED]\n",
        "ELM007",
    ),
    "comments.yaml": (lambda: RECIPE + "# elmcfg: ignore[ELM203] x\n" * 150_000, "ELM008"),
    "documents.yaml": (lambda: "---\n" * 500_000, "ELM006"),
    "colons.yaml": (lambda: ":" * FULL, "ELM002"),
    "anchors.yaml": (lambda: "&a " * 100_000, "ELM002"),
    "quotes.json": (lambda: '"' * FULL, "ELM002"),
    "open-quote.yaml": (lambda: RECIPE + 'name: "' + "x\n" * 1_000_000, "ELM002"),
    "escapes.json": (lambda: JSON + '"name": "' + r"\u0041" * 600_000 + '"}', ""),
    "spaces.yaml": (lambda: " " * FULL, "ELM005"),
    "lines.yaml": (lambda: "\n" * FULL + "a", "ELM005"),
    "folded.yaml": (lambda: RECIPE + "name: >-\n" + "  k\n" * 700_000, ""),
}  # fmt: skip


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def bounded(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "elmcfg", "validate", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        preexec_fn=limited,
        check=False,
    )
    for fault in (b"Traceback", b"internal error", b"out of memory"):
        assert fault not in done.stderr, done.stderr[-2000:]
    assert done.returncode in (0, 1), (done.returncode, done.stderr[-2000:])
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limits")
@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_words(name: str, tmp_path: Path) -> None:
    text, code = CASES[name]
    made = text()
    (tmp_path / name).write_bytes(made if isinstance(made, bytes) else made.encode())
    done = bounded("--format", "json", name, folder=tmp_path)
    assert f'"code": "{code}"'.encode() in done.stdout if code else done.returncode == 0
    framed = bounded(name, folder=tmp_path)
    assert len(framed.stdout) < 50_000
    mended = bounded("--diff", "--unsafe-fixes", name, folder=tmp_path)
    assert len(mended.stdout) < MB
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing in it was executed


def test_endless_standard_input_is_read_no_further_than_a_config_goes(tmp_path: Path) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(
            [sys.executable, "-m", "elmcfg", "validate", "-"],
            stdin=endless.stdout,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        endless.kill()
    assert done.returncode == 1
    assert b"too large" in done.stdout


LONG = "x" * 6_000
OUT = ("scale", "--layers", "2", "--model-dim", "64", "-o")


@pytest.mark.parametrize(
    "command",
    [
        ("validate", LONG),
        ("validate", f"{LONG}/*.yaml"),
        ("validate", "--weights", LONG, "tiny"),
        ("show", LONG),
        ("show", "tiny", "--plot", f"{LONG}.svg"),
        ("diff", LONG, "tiny"),
        ("convert", LONG, "out"),
        *(("convert", "tiny", name) for name in (LONG, f"{LONG}.yaml", f"{LONG}/out", "y" * 300)),
        ("convert", "tiny", "out", "--tokenizer", LONG),
        ("convert", "tiny", "out", "--slice", LONG),
        ("build-and-run", LONG),
        ("build-and-run", LONG, "tiny"),
        ("scale", "--from", LONG, "--target-params", "1M"),
        (*OUT, LONG),
        (*OUT, f"{LONG}/a.yaml"),
        ("scale", "--target-params", "1M", "--space", LONG),
        ("study", LONG, "--dry-run"),
        ("study", "--variant", LONG, "--measure", "costs", "--dry-run"),
        ("study", "--variant", "tiny", "--measure", "costs", "-o", LONG),
        ("study", "--variant", "tiny", "--measure", "training", "--corpus", LONG, "--dry-run"),
        ("study", "-o", LONG, "--resume"),
        ("report", LONG),
    ],
    ids=lambda command: " ".join(part[:20] for part in command),
)
def test_paths_that_are_too_long(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*command)  # which fails at an internal error
    assert done.code in (1, 2)
    assert "Errno" not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", [r'"a\0b"', r'"\ud800"', "x" * 300, "x" * 6_000, f"{'y/' * 3000}z"]
)
@pytest.mark.parametrize(
    "plan",
    [
        "variants: [NAME]\nmeasure: [costs]\n",
        "variants: [{name: a, file: NAME}]\nmeasure: [costs]\n",
        "variants: [tiny]\nmeasure: [training]\ncorpus: {source: NAME}\n",
        "variants: [tiny]\nmeasure: [training]\ncorpus: {source: p.yaml, tokenizer: NAME}\n",
        "variants: [{pareto: {space: NAME, target_params: 1M}}]\nmeasure: [costs]\n",
    ],
)
def test_paths_in_a_plan_that_cannot_be(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(plan.replace("NAME", name))
    done = run("study", "p.yaml", "-o", "out")
    assert done.code == 2
    assert "the plan cannot be used\np.yaml:" in done.err or "is not UTF-8" in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["x" * 256 + ".safetensors", "x" * 10**6 + ".safetensors"])
@pytest.mark.parametrize("command", [("show", "m"), ("validate", "m"), ("convert", "m", "out")])
def test_an_index_of_names_that_no_file_can_have(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    index = Path("m", "model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"transformer.norm.weight": name}}))
    done = run(*command)
    assert done.code == 1
    said = done.out + done.err
    assert f"names {name[:80]}..., which is not there" in " ".join(said.split())
    assert len(said) < 2_000
