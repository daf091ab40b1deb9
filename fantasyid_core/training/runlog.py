"""The log of a run: a line of JSON for every event, TensorBoard where it is installed, progress on the terminal."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from importlib import import_module
from pathlib import Path

LOG = "log.jsonl"


class RunLog:
    """Appends to log.jsonl in `folder`, each line on the disk before the call returns.

    A line that a kill cut off stays alone: the next begins on a new line. Only the main process writes.
    """

    def __init__(self, folder: Path, is_main: bool = True):
        self._path, self._is_main = folder / LOG, is_main
        self._board = _tensorboard(folder) if is_main else None

    def write(self, event: str, step: int, **values) -> None:
        """One event, such as "step" with loss and lr. Raises OSError when the disk is full."""
        if not self._is_main:
            return
        line = json.dumps({"event": event, "step": step, "time": round(time.time(), 3), **values}, allow_nan=True)
        self._append(line)
        if self._board is not None and event == "step":
            for name, value in values.items():
                if isinstance(value, (int, float)) and math.isfinite(value):
                    self._board.add_scalar(name, value, step)

    def say(self, text: str) -> None:
        """A line on the terminal."""
        if self._is_main:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _append(self, line: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else "\n" + line
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def read_log(folder: Path) -> list[dict]:
    """The events in a run's log, without lines that a kill cut off."""
    events = []
    for line in (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


class Clock:
    """Seconds per step, over all steps of this process, and the time that is left."""

    def __init__(self):
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def start(self) -> None:
        self._last = time.perf_counter()

    def step(self) -> None:
        """Call after each step; what happened before `start` does not count."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now

    @property
    def per_step(self) -> float:
        """Median of the last hundred."""
        recent = sorted(self.seconds[-100:])
        return recent[len(recent) // 2] if recent else 0.0


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _tensorboard(folder: Path):
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard"))
    except (ImportError, AttributeError):  # not installed, or without the parts that it needs
        return None
