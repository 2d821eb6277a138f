"""What dask and its network library log, kept in a file of the study and off the terminal."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Self

_FAMILIES = ("distributed", "dask", "tornado", "asyncio", "concurrent", "py.warnings")
_MOST_BYTES = 2**20


class DaskLog:
    """Sends the log lines of dask to a file while it is open, and nowhere afterwards.

    Make it after ``distributed`` is imported, which brings handlers of its own.

    Args:
        path: The file, which is made with the first line and kept below 2 MiB in all; None to drop
            what is logged.
    """

    def __init__(self, path: Path | None) -> None:
        self._handler: logging.Handler = logging.NullHandler()
        if path is not None:
            # A second study in the folder appends; the older half of too much goes.
            self._handler = RotatingFileHandler(
                path, maxBytes=_MOST_BYTES, backupCount=1, delay=True, encoding="utf-8",
                errors="backslashreplace",
            )  # fmt: skip
        form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        self._handler.setFormatter(logging.Formatter(form))
        _send_to(self._handler)
        logging.captureWarnings(True)  # Such as of other versions of Python on the workers.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what dask's threads log as they end goes nowhere."""
        logging.captureWarnings(False)
        _send_to(logging.NullHandler())
        self._handler.close()


def _send_to(handler: logging.Handler) -> None:
    """Make this the only handler of dask's loggers."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in _FAMILIES:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in _FAMILIES:
        family = logging.getLogger(name)
        family.setLevel(logging.INFO if name == "distributed" else logging.WARNING)
        family.propagate = False
        family.addHandler(handler)
