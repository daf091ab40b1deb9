"""Output that never ends a command, whatever the terminal's encoding, and also when its reader closes the pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class LastingStream:
    """Wraps a text stream: characters that cannot be encoded are replaced, and text without a reader is dropped."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what can be written and returns the length of `text`."""
        if self._stream is not None:
            try:
                self._stream.write(_printable(text, self._stream))
            except (OSError, ValueError):  # the reader has gone, or the stream is closed
                self._drop()
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._drop()

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def _drop(self) -> None:
        """Redirects the stream to the null device, so that Python's flush at exit does not fail, either."""
        stream, self._stream = self._stream, None
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):
            pass


@contextmanager
def lasting_output() -> Iterator[None]:
    """Puts a `LastingStream` in the place of standard output and standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(LastingStream, before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _printable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "replace").decode(encoding)
    return text
