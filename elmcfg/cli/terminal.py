"""The one place where text leaves for a terminal or a log.

While a command runs, standard output and standard error are an :class:`Output` each. Whatever is
written there, by elmcfg, by click or by any library, passes :func:`elmcfg.escaping.escaped`,
and only codes that :class:`elmcfg.render.style.Style` has marked reach the terminal as such.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from elmcfg.escaping import escaped
from elmcfg.render.style import BREAK, MARK


class OutputError(Exception):
    """Results cannot be written to standard output; the message says why."""


class Output:
    """A standard stream that shows what it should not send.

    It has no ``buffer``: click would write past it where the encoding is ASCII.

    Args:
        stream: The stream itself.
        required: Whether it is an error if this cannot be written.
    """

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self.stream, self._required = stream, required
        self.encoding, self.errors = stream.encoding, stream.errors

    def write(self, text: str | bytes) -> int:
        """Write text, with everything escaped that is not ours.

        Args:
            text: click has bytes for what shells complete. No bytes are its way to ask for a
                stream of them.

        Raises:
            TypeError: If there are no bytes.
            OutputError: If it cannot be written, but must be.
            BrokenPipeError: If its reader has gone.
        """
        if isinstance(text, bytes):
            if not text:
                raise TypeError("this is a stream of text")
            text = text.decode("utf-8", "replace")
        shown = escaped(text).replace(BREAK, "\n").replace(MARK, "\x1b[")
        with self._told():
            try:
                self.stream.write(shown)
            except UnicodeEncodeError:
                encoding = self.encoding or "ascii"
                self.stream.write(shown.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream; raises as :meth:`write`."""
        with self._told():
            self.stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the number of the stream's file."""
        return self.stream.fileno()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._required:
                why = error.strerror or error
                raise OutputError(f"standard output cannot be written: {why}") from error


def write_exactly(text: str) -> None:
    """Write a text to standard output as it is, for a file or another program.

    On a terminal it is escaped all the same.
    """
    stream: Any = sys.stdout
    if isinstance(stream, Output) and not stream.isatty():
        with stream._told():
            stream.stream.write(text)
            stream.stream.flush()
    else:
        stream.write(text)
        stream.flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Put an :class:`Output` in place of standard output and error, until the command ends."""
    _open_what_is_closed()
    out, err = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", Output(out, required=True))
    sys.stderr = cast("TextIO", Output(err, required=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        for stream in (out, err):
            try:
                stream.flush()
            except OSError:
                # What is still buffered has nowhere to go, and Python would try again at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_what_is_closed() -> None:
    """Open the standard streams that the caller has closed, as in ``elmcfg show tiny >&-``.

    Otherwise the next file that is opened gets the number of the stream, and so what somebody
    writes there. Input and output are opened the wrong way round: to use them is still an error.
    """
    modes = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_RDWR, "w"))
    for number, (name, flags, mode) in enumerate(modes):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # It gets the lowest free number, which is this one.
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
