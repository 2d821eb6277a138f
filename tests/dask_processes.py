"""Schedulers and workers of dask as processes on loopback, and studies on them.

Whatever a test does, :class:`Processes` ends all that it has started and closes its pipes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from processes import end

PAGE = Path(__file__).parent.parent / "docs/how-to/cluster.md"

START_SECONDS = 120.0
"""How long a process may take until it listens; generous, for machines that do other work too."""


class Processes:
    """Processes that end with the block, each with a process group and a log file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._all:
            end(process, leads=True)

    def run(self, log: Path, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program that writes to a log."""
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                env=os.environ | environment,
                start_new_session=True,
            )
        self._all.append(process)
        return process

    def start(
        self, kind: str, *arguments: str, inside: Sequence[str] = (), **environment: str
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start ``dask KIND``; the process and its log."""
        log = self._folder / f"{kind}-{len(self._all)}.log"
        command = (*inside, sys.executable, "-m", "dask", kind, *arguments)
        return self.run(log, *command, **environment), log

    def scheduler(
        self,
        port: str = "0",
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
        **environment: str,
    ) -> tuple[subprocess.Popen[bytes], str]:
        """Start a scheduler; the process and its address."""
        # dask wants over 11 s for TCP.
        process, log = self.start(
            "scheduler", "--host", host, "--port", port, "--no-dashboard", inside=inside,
            DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP="12s",
            DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="2", **environment,
        )  # fmt: skip
        return process, waited(log, r"Scheduler at:\s+(\w+://\S+)")

    def worker(
        self,
        address: str,
        threads: int = 1,
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until the scheduler has it."""
        process, log = self.start(
            "worker", address, "--host", host, "--nthreads", str(threads), "--no-nanny",
            "--no-dashboard", "--memory-limit", "0", inside=inside, **environment,
        )  # fmt: skip
        waited(log, r"(Registered to)")
        return process

    def elmcfg(
        self, *arguments: str, inside: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[str]:
        """Start elmcfg, with pipes for what it says."""
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", "elmcfg", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        self._all.append(process)
        return process


def waited(log: Path, pattern: str) -> str:
    """Wait for a line in a log; the pattern's first group."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def block(language: str, beginning: str) -> str:
    """Find the block of the page about clusters that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = (block for block in blocks if block.startswith(beginning))
    return str(found)


def certificates(folder: Path) -> Path:
    """Make a certificate and dask's configuration by the page's own words; the configuration."""
    folder.mkdir()
    commands = block("sh", "umask 077").replace("~/.config/dask", str(folder))
    subprocess.run(["sh", "-euc", commands], check=True, capture_output=True, timeout=120)
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    path = folder / "tls.yaml"
    text = block("yaml", "# ~/.config/dask/tls.yaml")
    assert "/home/me/.config/dask/" in text
    path.write_text(text.replace("/home/me/.config/dask", str(folder)))
    return path
