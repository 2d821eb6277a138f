"""Threads that have jobs done, each by a process of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from elmcfg.children.process import Process
from elmcfg.cores import cores

Member = TypeVar("Member", bound=Process)
Result = TypeVar("Result")


class Crew(Generic[Member]):
    """So many processes at once, each made when there is a job for it.

    Args:
        size: How many.
        make: Makes one, given the environment variables to set for it.
    """

    def __init__(self, size: int, make: Callable[[dict[str, str]], Member]) -> None:
        self._make, self._environment = make, _environment(size)
        self._own = threading.local()
        self._all: list[Member] = []
        self._stopped = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(size)

    def submit(self, do: Callable[[Member], Result]) -> Future[Result]:
        """Have a job done by whichever process is free next.

        Args:
            do: Called in a thread with the process of that thread.
        """
        return self._pool.submit(lambda: do(self._member()))

    def _member(self) -> Member:
        if not hasattr(self._own, "member"):
            with self._lock:
                self._own.member = self._make(self._environment)
                self._all.append(self._own.member)
                if self._stopped:
                    self._own.member.stop()
        member: Member = self._own.member
        return member

    def close(self) -> None:
        """End everything, now: to their threads, the processes die."""
        with self._lock:
            self._stopped = True
            for member in self._all:
                member.stop()
        self._pool.shutdown(cancel_futures=True)
        for member in self._all:
            member.close()


def _environment(size: int) -> dict[str, str]:
    """Several processes that each use every core only get into each other's way."""
    if size == 1 or "OPENBLAS_NUM_THREADS" in os.environ:
        return {}
    return {"OPENBLAS_NUM_THREADS": str(max(1, cores() // size))}
