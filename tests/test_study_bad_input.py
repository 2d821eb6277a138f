"""What a study is given that is no good: told where it stands, and the rest goes on unharmed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_study import lines

from elmcfg.cli.report import _forms, _write
from elmcfg.study.results import NotAStudyError, read_results

PLAN = """\
variants: [{profile: uniform}]
shape: {num_transformer_layers: 2, model_dim: 32, head_dim: 16, ffn_dim_divisor: 16, vocab_size: 256}
measure: [costs, training]
seeds: 1
training: {steps: 6, batch_size: 1, seq_len: 16, log_every: 2}
corpus: {source: text.txt, validation: 0.2}
"""  # noqa: E501


def study(run: Run, folder: Path, plan: str, *more: str) -> tuple[int, str]:
    (folder / "plan.yaml").write_text(plan)
    done = run("study", str(folder / "plan.yaml"), "-o", str(folder / "out"), *more)
    assert "Traceback" not in done.err
    return done.code, done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; name a text with something in it"),
        (b" \n\n ", "is empty"),
        (b"in the beginning \xff", "not UTF-8: byte 17 is 0xff; convert it"),
        (None, "no such file or folder; kjv and synthetic need none"),
    ],
)
def test_a_text_that_is_none_is_told_before_anything_runs(
    run: Run, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    code, err = study(run, tmp_path, PLAN)
    assert code == 2
    assert f"plan.yaml:6:18: corpus {tmp_path / 'text.txt'}: {message}" in err
    assert not (tmp_path / "out").exists()


def test_a_text_shorter_than_a_sequence_is_one_failed_record(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("too short")
    code, err = study(run, tmp_path, PLAN)
    assert code == 1
    assert "its training text has 7 tokens, and a sequence with its last target 17" in err
    assert [r["status"] for r in lines(tmp_path / "out")] == ["done", "failed"]


def test_a_loss_that_is_no_number_ends_that_run_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("in the beginning " * 20)
    plan = PLAN.replace("steps: 6", "steps: 6, learning_rate: [1.0e+20, 1.0e-3]")
    code, err = study(run, tmp_path, plan)
    assert code == 0
    assert "learning rate 1e+20: diverged at step " in err
    assert [r["status"] for r in lines(tmp_path / "out")] == ["done", "diverged", "done"]
    assert lines(tmp_path / "out")[-1]["result"]["bits_per_byte"] > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one block."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    yield place
    with contextlib.suppress(OSError):
        subprocess.run(["umount", str(place)], check=False)


def test_a_full_disk_at_any_time_is_told_and_the_study_goes_on(run: Run, small_disk: Path) -> None:
    def grow(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)

    text = "in the beginning " * 20
    (small_disk.parent / "text.txt").write_text(text)
    plan = PLAN.replace("text.txt", str(small_disk.parent / "text.txt"))
    (small_disk.parent / "plan.yaml").write_text(plan)
    arguments = ("study", str(small_disk.parent / "plan.yaml"), "-o", str(small_disk / "out"))
    # plan.yaml takes the one block, study.json the second, the journal the third.
    begun = run(*arguments)
    assert begun.code == 1
    assert f"{small_disk / 'out'}: cannot be written: No space left on device" in begun.err
    grow("8k")
    unwritten = run(*arguments)
    assert unwritten.code == 1
    assert "journal.jsonl: cannot be written: No space left on device; make room and" in (
        unwritten.err
    )
    assert lines(small_disk / "out") == []
    grow("12k")
    no_checkpoint = run(*arguments, "--resume")
    assert no_checkpoint.code == 1
    assert "checkpoint.safetensors: cannot be written: No space left on device" in (
        no_checkpoint.err
    )
    grow("4m")
    assert run(*arguments, "--resume").code == 0
    assert [r["status"] for r in lines(small_disk / "out")] == ["done", "failed", "done"]


def test_a_scheduler_without_dask_is_told_before_anything_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    (tmp_path / "text.txt").write_text("in the beginning " * 20)
    code, err = study(run, tmp_path, PLAN, "--scheduler", "tcp://127.0.0.1:1")
    assert code == 1
    assert "pip install 'elmcfg[dask]'" in err
    assert not (tmp_path / "out").exists()


STUDY = Path(__file__).parent.parent / "docs" / "studies" / "schedules-20m"
HEADER: dict[str, Any] = json.loads((STUDY / "study.json").read_text())
RECORDS: list[Any] = [
    json.loads(line) for line in (STUDY / "journal.jsonl").read_text().splitlines()
]


def nested(depth: int) -> list[Any]:
    values: list[Any] = []
    for _ in range(depth):
        values = [values]
    return values


DEEP = "100,000 lists in each other"
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**400, 2**63, 1e308, -1e308, "",
    "x", "nan", "1e3", "\ud800", "\x1b[31m", "9" * 5000, [], {}, [[]], [None], {"a": 1}, {"": None},
    nested(150), DEEP,
)  # fmt: skip


def places(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a tree."""
    yield place
    keys: Any = values if isinstance(values, dict) else ()
    if isinstance(values, list):
        keys = range(len(values))
    for key in keys:
        yield from places(values[key], (*place, key))


# The header first, then a record of each line.
PLACES = [(i, p) for i, tree in enumerate([HEADER, *RECORDS]) for p in places(tree)]


def changed(values: Any, place: tuple[Any, ...], how: str, odd: Any) -> Any:
    """A copy of a tree with one value replaced, taken out or doubled."""
    if not place:
        return odd
    if len(place) > 1:
        inner = changed(values[place[0]], place[1:], how, odd)
    else:
        inner = odd
        if how == "remove":
            if isinstance(values, dict):
                return {key: value for key, value in values.items() if key != place[0]}
            return [value for at, value in enumerate(values) if at != place[0]]
        if how == "double" and isinstance(values, list):
            return [*values, values[place[0]]]
    copy = dict(values) if isinstance(values, dict) else list(values)
    copy[place[0]] = inner
    return copy


def as_json(values: Any) -> str:
    """JSON, with what is deeper than Python's calls in place of its mark."""
    return json.dumps(values).replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLACES),
            st.sampled_from(["replace", "replace", "remove", "double"]),
            st.sampled_from(ODD),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda change: change[0][0],
    )
)
def test_a_damaged_study_is_reported_or_refused_in_words(changes: list[Any]) -> None:
    trees = [HEADER, *RECORDS]
    for (index, place), how, odd in changes:
        trees[index] = changed(trees[index], place, how, odd)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.json").write_text(as_json(trees[0]))
        (folder / "journal.jsonl").write_text("".join(as_json(t) + "\n" for t in trees[1:]))
        refusal = ""
        try:
            _write(folder / "out", _forms(read_results(folder)), quiet=True)
        except NotAStudyError as error:
            refusal = str(error)
        assert "\n" not in refusal
        assert len(refusal) < 3_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": []}, "study.json: variants: Tuple should have at least 1 item"),
        ({"variants": HEADER["variants"][:1] * 2}, "two variants have one name"),
        ({"variants": HEADER["variants"][:1]}, "which is no variant"),
        ({"name": 7}, "study.json: name: Input should be a valid string"),
        ({"format": 2}, "has format 2, and this elmcfg reads format 1"),
        ({"settings": DEEP}, "study.json cannot be read: recursion limit"),
    ],
)
def test_a_study_json_that_cannot_be_is_refused(
    run: Run, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "study.json").write_text(as_json(HEADER | change))
    (tmp_path / "journal.jsonl").write_bytes((STUDY / "journal.jsonl").read_bytes())
    done = run("report", str(tmp_path))
    assert done.code == 1
    assert message in done.err


@pytest.mark.parametrize("seconds", ["soon", None, float("nan"), -1, 10**400])
def test_a_record_of_no_time_is_no_record(run: Run, tmp_path: Path, seconds: object) -> None:
    """Neither for who goes on with the study, and estimates what is left by it."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("variants: [tiny]\nmeasure: [costs, speed]\nengine: {speed: 1TFLOPS}\n")
    assert run("study", str(plan), "-o", str(tmp_path / "out"), "--measure", "costs").code == 0
    (record,) = lines(tmp_path / "out")
    text = json.dumps(record | {"seconds": seconds})
    (tmp_path / "out" / "journal.jsonl").write_text(text + "\n")
    done = run("study", str(plan), "-o", str(tmp_path / "out"), "--resume", "--dry-run")
    assert done.code == 0
    assert "of them are done" not in done.out


def test_two_variants_that_are_one_model_share_their_records(run: Run, tmp_path: Path) -> None:
    jobs = [job for job in HEADER["jobs"] if job["variant"] == "uniform"]
    first = next(v for v in HEADER["variants"] if v["name"] == "uniform")
    header = HEADER | {
        "variants": [first, first | {"name": "alias"}],
        "jobs": [*jobs, *(job | {"variant": "alias"} for job in jobs)],
    }
    (tmp_path / "study.json").write_text(json.dumps(header))
    (tmp_path / "journal.jsonl").write_bytes((STUDY / "journal.jsonl").read_bytes())
    done = run("report", str(tmp_path), "--format", "json")
    assert done.code == 0
    rows = json.loads(done.out)["variants"]
    assert rows[0] | {"variant": ""} == rows[1] | {"variant": ""}


def test_two_trainings_of_one_seed_are_refused(run: Run, tmp_path: Path) -> None:
    records = [r for r in RECORDS if r["kind"] == "training"]
    (tmp_path / "journal.jsonl").write_text(
        "".join(json.dumps(r | {"seed": 0}) + "\n" for r in records)
    )
    (tmp_path / "study.json").write_text(json.dumps(HEADER))
    done = run("report", str(tmp_path))
    assert done.code == 1
    assert "has two trainings with seed 0 and learning rate 0.001" in done.err
