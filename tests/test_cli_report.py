"""``elmcfg report``: its forms, unfinished studies, and folders that are none."""

import csv
import json
import sys
from pathlib import Path

import pytest
from conftest import Run
from studies import write_study

from elmcfg.study.journal import Journal
from elmcfg.study.results import read_results


def test_it_prints_the_verdict_and_writes_three_files(run: Run, tmp_path: Path) -> None:
    write_study(tmp_path)
    done = run("report", str(tmp_path))
    assert done.code == 0
    assert "It is lower than crown by more than the noise." in done.out
    assert " best" not in done.out
    values = json.loads((tmp_path / "results.json").read_text())
    assert values["version"]
    assert [v["variant"] for v in values["variants"]][-1] == "crown"
    assert len(list(csv.reader((tmp_path / "results.csv").read_text().splitlines()))) == 1 + 16
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    again = (tmp_path / "report.html").read_bytes()
    assert json.loads(run("report", str(tmp_path), "--format", "json", "-q").out) == values
    assert (tmp_path / "report.html").read_bytes() == again


def test_an_unfinished_study_is_reported_with_what_broke(run: Run, tmp_path: Path) -> None:
    write_study(
        tmp_path / "s",
        statuses={("crown", 1): "failed", ("vanilla", 0): "diverged", ("reverse", 2): "missing"},
        match=None,
    )
    journal = tmp_path / "s" / "journal.jsonl"
    journal.write_text('{"key": "t-rev\n' + journal.read_text() + '{"key": "t-rev')
    done = run("report", str(tmp_path / "s"), "-o", str(tmp_path / "new" / "out"))
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "No ranking" in text
    assert "crown: training, seed 1, learning rate 0.0003 failed at step 120" in text
    assert "vanilla: training, seed 0, learning rate 0.0003 diverged" in text
    assert "15 of 16 jobs recorded" in text
    assert "not matched on a budget" in text
    assert "1 damaged lines" in text
    assert len(list((tmp_path / "new" / "out").iterdir())) == 3


def test_the_report_and_a_resumed_study_go_by_one_record_of_a_job(tmp_path: Path) -> None:
    records = write_study(tmp_path, statuses={("crown", 1): "diverged"})
    twice = [r | {"status": "done", "attempt": 2} for r in records if r["status"] == "diverged"]
    failed = [r | {"status": "failed", "result": None, "attempt": 2} for r in records[:1]]
    with (tmp_path / "journal.jsonl").open("a") as stream:
        stream.writelines(json.dumps(r) + "\n" for r in twice + failed)
    counting = Journal(tmp_path / "journal.jsonl").records()
    runs = read_results(tmp_path).runs
    assert {run.key: run.status for run in runs} == {k: r["status"] for k, r in counting.items()}
    assert [run.status for run in runs].count("diverged") == 1
    assert {run.attempt for run in runs} == {1}


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (lambda d: (d / "study.json").unlink(), 2, "elmcfg study PLAN.yaml -o DIR"),
        (lambda d: (d / "study.json").write_text("{"), 1, "study.json"),
        (lambda d: (d / "study.json").write_text("[]"), 1, "study.json"),
        (lambda d: write_study(d, format=9), 1, "format 9"),
        (lambda d: write_study(d, variants=[{"name": "a"}]), 1, "variants.0.config"),
        (lambda d: (d / "journal.jsonl").unlink(), 1, "--resume"),
        (lambda d: (d / "journal.jsonl").write_bytes(b"\xff\n[]\n3\n"), 1, "--resume"),
    ],
)
def test_what_is_no_study_is_told_so(
    run: Run, tmp_path: Path, damage: object, code: int, said: str
) -> None:
    write_study(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    done = run("report", str(tmp_path))
    assert (done.code, said in done.err, done.out) == (code, True, "")
    assert not (tmp_path / "report.html").exists()


def test_without_the_extra_the_install_line_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    done = run("report", str(tmp_path))
    assert (done.code, "pip install 'elmcfg[study]'" in done.err) == (2, True)
