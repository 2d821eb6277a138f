"""The child process: what happens there happens to it alone, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from elmcfg.config import Config
from elmcfg.linter import load
from elmcfg.proof import (
    CheckResult,
    Child,
    DeviceError,
    Event,
    NotEnoughMemoryError,
    Options,
    Plan,
    Report,
    Step,
    fleet,
    prove_all,
)
from elmcfg.proof.child import _Watch

ROOT = Path(__file__).parent.parent
TINY = load("tiny")

# A worker in which a step of the "cache" check does something else.
BROKEN = """
import ctypes, os, signal, subprocess, sys, time
from elmcfg.proof import worker
from elmcfg.proof.checks import cache
def broken(subject):
    subject.note("the last thing it did")
    {action}
import dataclasses
from elmcfg.proof import registry, runner
runner.CHECKS = tuple(
    dataclasses.replace(c, run=broken) if c.name == "cache" else c for c in registry.CHECKS
)
worker.main()
"""


def broken(action: str) -> Child:
    return Child(command=[sys.executable, "-c", BROKEN.format(action=action)])


def by_name(report: Report) -> dict[str, CheckResult]:
    return {check.name: check for check in report.checks}


def test_a_child_proves_what_this_process_would() -> None:
    told: list[Event] = []
    with Child() as child:
        report = child.prove(TINY, Options(device="cpu"), progress=told.append)
    assert report.passed
    assert report.predicted == report.counted == 845_184
    assert [event for event in told if isinstance(event, CheckResult)] == list(report.checks)
    assert any(isinstance(event, Step) for event in told)
    assert [event for event in told if isinstance(event, Plan)] == [report.plan]


def test_one_warm_child_serves_many() -> None:
    with Child() as child:
        first = child.prove(TINY, Options(shapes_only=True))
        process = child._process
        second = child.prove(load("lws-18l-crown"), Options(shapes_only=True))
        assert child._process is process
    assert first.predicted != second.predicted
    assert process is not None
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("ctypes.string_at(0)", "killed by SIGSEGV (segmentation fault)"),
        ("os.kill(os.getpid(), signal.SIGFPE)", "killed by SIGFPE (floating point exception)"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL (killed), as the system does",
        ),
        ("os.abort()", "killed by SIGABRT (aborted)"),
        ("os._exit(3)", "the process ended with exit code 3"),
        ("print('  why \\\\n', file=sys.stderr); os._exit(4)", "ended with exit code 4: why"),
    ],
)
def test_a_death_is_a_failed_check(action: str, said: str) -> None:
    told: list[Event] = []
    with broken(action) as child:
        report = child.prove(TINY, Options(), progress=told.append)
        assert not report.passed
        checks = by_name(report)
        assert checks["forward"].status == "passed"
        assert checks["cache"].status == "failed"
        assert said in checks["cache"].detail
        assert checks["cache"].detail.endswith("(last step: the last thing it did)")
        assert checks["gradient"].status == "skipped"
        assert checks["gradient"].detail == "not reached: cache failed"
        assert [event for event in told if isinstance(event, CheckResult)] == list(report.checks)
        assert report.plan in told
        assert report.estimated_memory_bytes > 0
        # The next one gets a new process.
        assert child.prove(TINY, Options(shapes_only=True)).passed


def test_what_did_not_fit_is_still_told_so_after_a_death() -> None:
    plan = Plan("auto", "float32", "", {"gradient": "needs about 9 GiB"}, 0, None)
    watch = _Watch(TINY, Options(), plan, None, lambda _: None)
    watch.running = "quantization"
    checks = by_name(watch.cut_short("it died"))
    assert checks["quantization"].detail.startswith("it died")
    assert checks["save-load"].detail == "not reached: quantization failed"
    assert checks["gradient"].detail == "needs about 9 GiB"


def test_a_hang_ends_at_the_timeout() -> None:
    with broken("time.sleep(600)") as child:
        report = child.prove(TINY, Options(), timeout=8)
    detail = by_name(report)["cache"].detail
    assert detail == "did not finish within 8 s (last step: the last thing it did)"


def test_a_hang_that_holds_the_interpreter_ends_too() -> None:
    with broken("ctypes.PyDLL(None).sleep(600)") as child:
        assert "within 8 s" in by_name(child.prove(TINY, Options(), timeout=8))["cache"].detail


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_takes_too_much_memory_is_ended() -> None:
    limit = 700 * 2**20
    with broken("x = []\n    while True: x.append(b'x' * 2**24); time.sleep(.01)") as child:
        report = child.prove(TINY, Options(max_memory=limit), timeout=60)
    assert "MiB, the limit is 700 MiB" in by_name(report)["cache"].detail
    assert report.peak_memory_bytes > limit


def test_a_child_that_cannot_even_start() -> None:
    with Child(command=[sys.executable, "-c", "raise SystemExit('no')"]) as child:
        report = child.prove(TINY, Options(skip=("parameters",)))
    first = by_name(report)["shapes"]
    assert first.status == "failed"
    assert (
        first.detail == "the process ended with exit code 1: no (last step: starting the process)"
    )
    assert by_name(report)["parameters"].detail == "skipped on request"


def test_a_child_finds_the_kernels_that_mlx_has_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """MLX keeps them in the system's folder for temporary files; to compile one takes seconds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with broken("raise ValueError(os.environ['TMPDIR'])") as child:
        report = child.prove(TINY, Options())
    assert str(tmp_path) in by_name(report)["cache"].detail


def test_refusals_come_back_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with Child() as child:
        with pytest.raises(NotEnoughMemoryError, match=r"the limit is 100 MiB"):
            child.prove(TINY, Options(max_memory=100 * 2**20))
        with pytest.raises(ValueError, match="seq_len must be 1 to"):
            child.prove(TINY, Options(seq_len=10**6))
        with pytest.raises(DeviceError, match="unknown device 'tpu'"):
            child.prove(TINY, Options(device="tpu"))


def test_saving_ends_in_a_folder_or_an_error(tmp_path: Path) -> None:
    with Child() as child:
        child.save(TINY, Options(), tmp_path)
        assert (tmp_path / "model.safetensors").stat().st_size > 2 * 845_184
        with pytest.raises(OSError, match="No such file or directory"):
            child.save(TINY, Options(), tmp_path / "x")
        with pytest.raises(OSError, match=r"did not finish within 0\.01 s"):
            child.save(TINY, Options(), tmp_path, timeout=0.01)
    # A child that dies, or says what belongs to a proof, has saved nothing.
    for action in ("ctypes.string_at(0)", "os._exit(0)"):
        program = f"import ctypes, os; {action}"
        with (
            Child(command=[sys.executable, "-c", program]) as child,
            pytest.raises(OSError, match=r"the process (was killed|ended)"),
        ):
            child.save(TINY, Options(), tmp_path)


def group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(condition: object) -> bool:
    assert callable(condition)
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_parent_is_stopped(signal_: signal.Signals) -> None:
    """Also what the child itself has started."""
    action = (
        "import tempfile; made = tempfile.mkdtemp(); print(file=open(made + '/x', 'w')); "
        "print(os.getpgid(0), made, file=open({file!r}, 'w')); time.sleep(600)"
    )
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from test_proof_child import *
with broken(sys.argv[1]) as child:
    child.prove(TINY, Options())
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "group"
        parent = subprocess.Popen(
            [sys.executable, "-c", program, action.format(file=str(file))],
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda: file.exists() and file.read_text().strip())
        group, made = file.read_text().split()
        assert (Path(made) / "x").is_file()
        parent.send_signal(signal_)
        assert parent.wait(20) != 0
        assert eventually(lambda: group_is_empty(int(group)))
        assert eventually(lambda: not Path(made).parent.exists())


def test_what_the_child_started_ends_with_it() -> None:
    with broken("subprocess.Popen(['sleep', '600']); time.sleep(600)") as child:
        child.start()
        assert child._process is not None
        group = child._process.pid
        timer = threading.Timer(3, child.stop)
        timer.start()
        child.prove(TINY, Options())
        timer.join()
    assert eventually(lambda: group_is_empty(group))


def test_the_parent_never_imports_mlx() -> None:
    program = """
import sys
import elmcfg
from elmcfg.proof import *
with Child() as child:
    assert child.prove(elmcfg.load("tiny"), Options()).passed
prove_all([elmcfg.load("tiny")] * 2, Options(shapes_only=True))
sys.argv = ["elmcfg", "build-and-run", "tiny", "-q"]
from elmcfg.cli import main
try: main()
except SystemExit as stop: assert stop.code == 0
print("mlx" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_many_are_proven_in_order() -> None:
    def variant(width: int) -> Config:
        return TINY.model_copy(update={"ffn_dim_divisor": width})

    configs = [variant(32 * n) for n in range(1, 8)]
    ended: list[int] = []
    outcomes = prove_all(configs, Options(), done=lambda index, outcome: ended.append(index))
    assert sorted(ended) == list(range(7))
    from elmcfg.costs import cost

    for config, outcome in zip(configs, outcomes, strict=True):
        assert isinstance(outcome, Report)
        assert outcome.passed
        assert outcome.counted == cost(config).parameters.total


@pytest.mark.parametrize(
    ("device", "gpu", "shapes_only", "expected"),
    [
        ("auto", True, False, 1),
        ("gpu", False, False, 1),
        ("auto", True, True, 4),
        ("auto", False, False, 4),
        ("cpu", True, False, 4),
    ],
)
def test_one_at_a_time_computes_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, gpu: bool, shapes_only: bool, expected: int
) -> None:
    monkeypatch.setattr(fleet, "has_gpu", lambda: gpu)
    monkeypatch.setattr(fleet, "cores", lambda: 4)
    monkeypatch.setattr(fleet, "free_on_host", lambda: None)
    options = Options(device=device, shapes_only=shapes_only)
    assert fleet._children([TINY] * 5, options) == expected


def test_a_child_that_was_stopped_starts_no_process() -> None:
    with Child() as child:
        child.stop()
        report = child.prove(TINY, Options())
        assert child._process is None
    assert (
        by_name(report)["parameters"].detail == "it was stopped (last step: starting the process)"
    )


def test_one_that_cannot_be_proven_does_not_stop_the_others() -> None:
    large = TINY.model_copy(update={"model_dim": 2**20})
    outcomes = prove_all([TINY, large, TINY], Options(max_memory=2**30))
    assert [type(outcome) for outcome in outcomes] == [Report, NotEnoughMemoryError, Report]
