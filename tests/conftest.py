"""Fixtures: the command line run in this process; processes that end with their test."""

import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import processes
import pytest
from hypothesis import HealthCheck, settings

from elmcfg.backend import load_blas
from elmcfg.cli import main

# Before any test module imports MLX, which else keeps its own BLAS: numbers are compared with those
# of child processes, which have this one.
load_blas()

# A job in the background ignores Ctrl-C, one under nohup that the terminal goes, and so would every
# process that a test starts.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# CI machines differ in speed by an order of magnitude; a deadline would test the machine.
settings.register_profile("elmcfg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("elmcfg")


@pytest.fixture(autouse=True)
def end_processes() -> Iterator[None]:
    """No test leaves a process or a pipe to another, also where it fails or times out."""
    with processes.ended():
        yield


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``elmcfg ARGUMENTS`` as from a shell, with standard input as given."""

    def call(*arguments: str, stdin: str | bytes = b"") -> Outcome:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["elmcfg", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("PYTHONSAFEPATH", "1")  # main() sets it, for good
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        code = stop.value.code
        assert "Traceback" not in captured.err
        assert "internal error" not in captured.err
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return call
