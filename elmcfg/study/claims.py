"""Which run does which job, where several runs share one folder.

A claim is a lock on one byte of a file, chosen by the job's key. The system gives it up when the
process ends, however it ends, so no claim outlives its run.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Claims:
    """The claims of this run.

    Args:
        path: The file; made where it is not there, and always empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def take(self, key: str) -> bool:
        """Claim a job; False where another run has it.

        Raises:
            OSError: If the folder's file system has no locks: no claim would ever be granted.
        """
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except (BlockingIOError, PermissionError):  # EAGAIN, or EACCES on some systems.
            return False
        except OSError as error:
            raise OSError(
                f"{self._path}: cannot be locked: {error.strerror}; keep the study on a disk of "
                "this machine"
            ) from error
        return True

    def give_up(self, key: str) -> None:
        """Let others have a job."""
        fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _place(key))

    def close(self) -> None:
        """Let others have all of them."""
        os.close(self._handle)


def _place(key: str) -> int:
    return int(key[:12], 16)
