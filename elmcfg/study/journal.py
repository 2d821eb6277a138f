"""What has been done: one record per line of JSON, appended and never changed.

A line is written by one call, under a lock, to a file opened for appending, and is on the disk
before the call returns. A writer that was killed in the middle leaves a last line without an end:
no reader takes it, and the next writer cuts it off. So whatever :meth:`Journal.append` returned
from is there for good, whoever else writes to the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
"""A line: key, kind, variant, seed, learning_rate, status, error, result, started, seconds, host,
device, versions, attempt."""

FINAL = ("done", "diverged")
"""Status of what need not be done again."""


class JournalError(OSError):
    """The journal cannot be written; what it held is unharmed."""


class Journal:
    """The records of a folder; safe with several threads and several processes.

    Args:
        path: The file; it need not be there.

    Raises:
        OSError: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Lines that are no records."""
        self._records: dict[str, Record] = {}
        self._attempts: dict[str, int] = {}
        self._offset = 0
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Take in what others have appended since."""
        with self._lock:
            try:
                with self.path.open("rb") as stream:
                    stream.seek(self._offset)
                    raw = stream.read()
            except FileNotFoundError:
                return
            whole = raw.rfind(b"\n") + 1
            self._offset += whole
            with _no_collection():
                for record in self._parsed(raw[:whole].splitlines()):
                    self._take(record)

    def append(self, records: Sequence[Record]) -> None:
        """Write records, all in one piece; they are on the disk when this returns.

        Raises:
            JournalError: If they cannot be written, as on a full disk; then none of them is.
        """
        text = "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records).encode()
        try:
            self._write(text)
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be written: {error.strerror or error}; make room and go on "
                "with --resume"
            ) from error
        self.refresh()

    def _write(self, text: bytes) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = _cut_torn_line(handle)
            try:
                if os.write(handle, text) != len(text):
                    raise OSError(28, "no space left on device")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)  # Which lets go of the lock.

    def records(self) -> dict[str, Record]:
        """The record that counts of each key: the first final one, or else the last."""
        return dict(self._records)

    def get(self, key: str) -> Record | None:
        """The record that counts of a key."""
        return self._records.get(key)

    def is_final(self, key: str) -> bool:
        """Whether this need not be done again."""
        record = self._records.get(key)
        return record is not None and record["status"] in FINAL

    def attempts(self, key: str) -> int:
        """How often this was tried."""
        return self._attempts.get(key, 0)

    def _take(self, record: Record) -> None:
        key = record["key"]
        self._attempts[key] = self._attempts.get(key, 0) + 1
        known = self._records.get(key)
        if known is None or known["status"] not in FINAL:
            self._records[key] = record

    def _parsed(self, lines: list[bytes]) -> Iterable[Record]:
        try:
            # One call is twice as fast as one per line.
            found = json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            found = [_record(line) for line in lines]
        if len(found) != len(lines):
            found = [_record(line) for line in lines]
        for record in found:
            if (
                isinstance(record, dict)
                and isinstance(record.get("key"), str)
                and ("status" in record)
            ):
                yield record
            else:
                self.damaged += 1


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Reading makes many objects and no garbage: looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _record(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _cut_torn_line(handle: int) -> int:
    """Cut off a last line that has no end, left by a writer that was killed; where the file ends.

    The caller has the lock: nobody is writing that line now.
    """
    end = size = os.lseek(handle, 0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(handle, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end != size:
        os.ftruncate(handle, end)
    return end
