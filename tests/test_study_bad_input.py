"""What a study is given that is no good: told where it stands, and the rest goes on unharmed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run
from test_study import lines

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
