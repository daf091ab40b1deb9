"""Memory of a process at named points, with the most private memory between them, and the bounds on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..machine.memory import MemoryUse, memory_use

GIB = 2**30
BEFORE_SAMPLING, PEAK, LET_GO = 3 * GIB, 16 * GIB, 1 * GIB
"""Bytes: private before sampling begins, resident at most, private after a model is let go."""
SAMPLING = "sampling begins"
GONE = "let go: "
"""The name of a point after a release begins with this."""
_LOOK = 0.02  # seconds between two looks


class Point(NamedTuple):
    """Bytes of memory at a point. between: the most private memory since the point before; kept: what is rightly held
    of it after a release, such as the layers that were folded for a person."""

    name: str
    private: int
    between: int
    resident: int
    kept: int = 0


class Bound(NamedTuple):
    """A limit and what was measured, in bytes."""

    what: str
    found: int
    limit: int

    @property
    def holds(self) -> bool:
        return self.found <= self.limit


class Recorder:
    """Points of a process, `pid` or this one, while a thread looks for peaks of private memory between them."""

    def __init__(self, pid: int | None = None, report: Callable[[str], None] = lambda name: None):
        self.pid, self.points, self.report = pid, [], report
        self._between, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()

    def point(self, name: str, kept: int = 0) -> None:
        """Measures now. kept: bytes that a release rightly leaves."""
        use = self.use()
        self.points.append(Point(name, use.private, max(self._between, use.private), use.resident, kept))
        self._between = 0
        self.report(name)

    def use(self) -> MemoryUse:
        return memory_use(self.pid)

    def _watch(self) -> None:
        status = Path("/proc") / str(self.pid or "self") / "status"
        while not self._done.wait(_LOOK):
            try:
                lines = status.read_text(encoding="utf-8").splitlines()
            except OSError:  # the process has ended
                return
            found = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
            self._between = max(self._between, 1024 * found)


def bounds(points: Sequence[Point], most: int) -> list[Bound]:
    """The three bounds. most: the largest resident memory of the process."""
    names = [point.name for point in points]
    before = points[: names.index(SAMPLING) + 1] if SAMPLING in names else points
    gone = [point for point in points if point.name.startswith(GONE)]
    return [
        Bound("private memory before sampling begins", max(point.between for point in before), BEFORE_SAMPLING),
        Bound("resident memory at most", most, PEAK),
        Bound("private memory after a release", max(point.private - point.kept for point in gone), LET_GO),
    ]


def table(title: str, points: Sequence[Point], found: Sequence[Bound]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "",
        f"### {title}",
        "",
        "| Point | Private, GiB | Most since the last point | Resident |",
        "|---|---|---|---|",
    ]
    for point in points:
        kept = f" ({point.kept / GIB:.2f} of it held for the person)" if point.kept else ""
        figures = f"{point.private / GIB:.2f}{kept} | {point.between / GIB:.2f} | {point.resident / GIB:.2f}"
        lines.append(f"| {point.name} | {figures} |")
    lines.append("")
    for bound in found:
        word = "holds" if bound.holds else "IS BROKEN"
        lines.append(f"{bound.what}: {bound.found / GIB:.2f} GiB of {bound.limit / GIB:.0f} GiB: the bound {word}.")
    return lines
