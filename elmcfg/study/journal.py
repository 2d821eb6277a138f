"""What has been done: one record per line of JSON, appended and never changed.

A line is written by one call, under a lock, to a file opened for appending, and is on the disk
before the call returns. A writer that was killed in the middle leaves a last line without an end:
no reader takes it, and the next writer cuts it off. So whatever :meth:`Journal.append` returned
from is there for good, whoever else writes to the file.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic_core import from_json

from elmcfg.document import open_regular

Record = dict[str, Any]
"""A line: key, kind, variant, seed, learning_rate, status, error, result, started, seconds, host,
device, versions, attempt."""

MAX_BYTES = 4 * 2**30
"""Largest journal that is read: its records are held in memory."""
MAX_SECONDS = 1e9
"""Longest that a job can have taken."""
MAX_LINE_BYTES = 16 * 2**20
"""Longest line that can be a record."""

FINAL = ("done", "diverged")
"""Status of what need not be done again."""


_BEGINNING = re.compile(rb'\{"key": ?"([^"\\]+)", ?"status": ?"([^"\\]+)"[,}]')
"""How records are written. To read the rest of each takes many times as long, and most are only
asked whether they are there."""


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "make room" if full else "see to that"


class _Line(NamedTuple):
    status: str
    text: bytes


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
        """Lines that are no records, as far as they were read."""
        self._lines: dict[str, _Line] = {}
        self._attempts: dict[str, int] = {}
        self._offset = 0
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Take in what others have appended since."""
        with self._lock:
            try:
                with open_regular(self.path, MAX_BYTES) as stream:
                    stream.seek(self._offset)
                    for text in _whole_lines(stream):
                        self._offset = stream.tell()
                        self._take(text)
            except FileNotFoundError:
                return

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
                f"{self.path}: cannot be written: {error.strerror or error}; "
                f"{_remedy(error)} and go on with --resume"
            ) from error
        self.refresh()

    def _write(self, text: bytes) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = _cut_torn_line(handle)
            try:
                if os.write(handle, text) != len(text):
                    raise OSError(errno.ENOSPC, "no space left on device")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)  # Which lets go of the lock.

    def records(self) -> dict[str, Record]:
        """The record that counts of each key: the first final one, or else the last."""
        found = {key: self._record(key) for key in list(self._lines)}
        return {key: record for key, record in found.items() if record is not None}

    def final(self, key: str) -> Record | None:
        """The record of what need not be done again; None where it is still to be done."""
        return self._record(key) if self.status(key) in FINAL else None

    def status(self, key: str) -> str | None:
        """Of the record that counts."""
        line = self._lines.get(key)
        return None if line is None else line.status

    def attempts(self, key: str) -> int:
        """How often this was tried."""
        return self._attempts.get(key, 0)

    def _take(self, text: bytes) -> None:
        beginning = _BEGINNING.match(text)
        if beginning is not None and text.endswith(b"}"):
            key, status = (
                beginning[1].decode(errors="replace"),
                beginning[2].decode(errors="replace"),
            )
        else:
            record = _parsed(text)
            if record is None:
                self.damaged += 1
                return
            key, status = record["key"], record["status"]
        self._attempts[key] = self._attempts.get(key, 0) + 1
        known = self._lines.get(key)
        if known is None or known.status not in FINAL:
            self._lines[key] = _Line(status, text)

    def _record(self, key: str) -> Record | None:
        """The record that counts of a key; one that somebody has spoiled no longer does."""
        with self._lock:
            line = self._lines.get(key)
            record = None if line is None else _parsed(line.text)
            if line is not None and record is None:
                self.damaged += 1
                del self._lines[key]
            return record


def _whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield each line that has an end; in place of one that is too long, an empty one."""
    while text := stream.readline(MAX_LINE_BYTES):
        too_long = len(text) == MAX_LINE_BYTES and not text.endswith(b"\n")
        while text and not text.endswith(b"\n"):
            text = stream.readline(MAX_LINE_BYTES) if too_long else b""
        if not text:  # the end of the last line is still to be written
            return
        yield b"" if too_long else text.rstrip(b"\r\n")


def _parsed(text: bytes) -> Record | None:
    try:
        record = from_json(text)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    seconds = record.get("seconds", 0.0)
    whole = (
        all(isinstance(record.get(name), str) for name in ("key", "status"))
        and type(seconds) in (int, float)
        and 0 <= seconds < MAX_SECONDS
    )
    return record if whole else None


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
