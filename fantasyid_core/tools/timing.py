"""Times competing calls in turn, so that changes of the machine's speed affect all of them equally; peaks of memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import torch

Times = dict[str, object]
_LOOK = 0.005  # seconds between two looks at the memory of a process


def paired(
    calls: dict[str, Callable], runs: int, device: torch.device, base: str | None = None, warm: bool = True
) -> dict[str, Times]:
    """Times the calls in turn, `runs` times after one turn that is not counted: name -> min, median, seconds.

    seconds: all of them, in the order of the turns. ratio, with `base`: how many times as fast as that call, the
    median over the turns. warm: whether there is the turn that is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(not warm, runs + 1):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    report: dict[str, Times] = {
        name: {"min": min(each), "median": statistics.median(each), "seconds": each} for name, each in times.items()
    }
    if base is not None:
        for each in report.values():
            each["ratio"] = ratio(report[base], each)
    return report


def ratio(slow: Times, fast: Times) -> float:
    """How many times as fast `fast` is as `slow`, the median over the turns."""
    return statistics.median(a / b for a, b in zip(slow["seconds"], fast["seconds"], strict=True))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """The most memory at once in the body: of a GPU, all that PyTorch holds there; else, the growth of this process.

    On a CPU, memory that mapped files take counts as well, and a peak shorter than some milliseconds may be missed.
    """

    def __init__(self, device: torch.device):
        self.device, self.bytes, self._done = device, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._begin = _resident()
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_LOOK):
            self.bytes = max(self.bytes, _resident() - self._begin)


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss
