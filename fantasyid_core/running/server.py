"""A server that runs beside this process, until it is no longer needed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ENDING = 20  # seconds that it gets to end by itself


@contextmanager
def server_process(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen]:
    """Starts the command in a folder and writes what it says into `log`; asks it to end afterwards, as Ctrl-C does,
    and kills it where it does not. Raises OSError for a program or folder that is not there."""
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
