"""Measures the free main memory and that of a process, and returns freed memory to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

_LIMITS = (  # control groups, of version 2 and 1: what a container may use, and uses
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


def free_memory() -> int:
    """Bytes of main memory that may still be taken: what the machine has free, or the rest of a container's limit."""
    import psutil

    free = psutil.virtual_memory().available
    for limit, used, statistics, dropped in _LIMITS:
        try:
            most, taken = int(Path(limit).read_text(encoding="utf-8")), int(Path(used).read_text(encoding="utf-8"))
            lines = dict(line.split() for line in Path(statistics).read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):  # no such limit here: "max" is no number
            continue
        free = min(free, most - taken + int(lines.get(dropped, 0)))
    return max(0, free)


class MemoryUse(NamedTuple):
    """Bytes of main memory of a process.

    private: what the system cannot drop and read again from a file. resident: with the parts of mapped files that are
    in memory. most: the largest `resident` since the process began.
    """

    private: int
    resident: int
    most: int


def memory_use(pid: int | None = None) -> MemoryUse:
    """The memory of this process, or of another one of this user; RuntimeError on systems other than Linux."""
    place = Path("/proc") / str(pid or os.getpid())
    try:
        rolled, status = _kilobytes(place / "smaps_rollup"), _kilobytes(place / "status")
    except OSError as error:
        raise RuntimeError(
            f"The memory of a process is read from {place}/smaps_rollup, got {error}. Expected Linux and a process "
            "that runs."
        ) from error
    return MemoryUse(rolled["Anonymous"] + rolled["Swap"], rolled["Rss"], status["VmHWM"])


def _kilobytes(path: Path) -> dict[str, int]:
    """Name -> bytes of the lines "Name: 12 kB" of a file."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[-1:] == ["kB"]}


def check_memory(what: str, needed: int, advice: str, free: int | None = None) -> None:
    """Raises RuntimeError when `needed` bytes of main memory are more than are free (None: asked of the machine)."""
    free = free_memory() if free is None else free
    if needed > free:
        raise RuntimeError(
            f"{what} needs {needed / 2**30:.1f} GiB of main memory, {free / 2**30:.1f} GiB are free. Nothing was "
            f"loaded. {advice}"
        )


def return_memory() -> None:
    """Returns freed memory to the system, because glibc keeps freed blocks below its threshold for the process."""
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library, which gives memory back by itself
            pass
