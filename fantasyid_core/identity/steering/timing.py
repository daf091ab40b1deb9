"""When a person acts: a part of the sampling, ramps inside it, and a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .schedule import check_schedule, schedule_weight

Schedule = Callable[[float], float] | Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Timing:
    """The weight over the sampling, as a function of its progress (0 is the first step, 1 the end).

    start, end: the part in which the person acts. fade_in, fade_out: widths of the linear ramps from and to zero inside
    that part; where they overlap, the smaller weight counts. schedule: points (progress, weight) that are interpolated
    linearly, or a function of the progress; the weight is multiplied by it. Raises ValueError for values outside
    0..1, an end before the start, and invalid schedules.
    """

    start: float = 0.0
    end: float = 1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    schedule: Schedule | None = None

    def __post_init__(self):
        if not 0 <= self.start <= 1 or not 0 <= self.end <= 1:
            raise ValueError(f"Expected start and end between 0 and 1, got {self.start} and {self.end}.")
        if self.end < self.start:
            raise ValueError(f"Expected an end after the start, got start {self.start} and end {self.end}. Swap them.")
        if not 0 <= self.fade_in <= 1 or not 0 <= self.fade_out <= 1:
            raise ValueError(f"Expected fades between 0 and 1 of the sampling, got {self.fade_in} and {self.fade_out}.")
        if self.schedule is not None and not callable(self.schedule):
            object.__setattr__(self, "schedule", tuple(check_schedule(self.schedule)))

    def weight(self, progress: float) -> float:
        """The weight at `progress` in 0..1."""
        # A start at the very end is never reached, as in the host's own nodes.
        if not self.start <= progress <= self.end or self.start >= 1:
            return 0.0
        ramp = min(1.0, _ramp(progress - self.start, self.fade_in), _ramp(self.end - progress, self.fade_out))
        if ramp == 0 or self.schedule is None:
            return ramp
        return ramp * self._scheduled(progress)

    def _scheduled(self, progress: float) -> float:
        if not callable(self.schedule):
            return schedule_weight(self.schedule or (), progress)
        weight = float(self.schedule(progress))
        if not math.isfinite(weight):
            raise ValueError(
                f"Expected finite weights from the schedule, got {weight} at {progress:.3f} of the sampling."
            )
        return weight


def _ramp(way: float, width: float) -> float:
    return 1.0 if width == 0 else way / width
