"""A weight over the sampling as a readable string: `0:0, 0.2:1, 0.8:1, 1:0`.

Each entry is a part of the sampling (0 is the first step, 1 the last, `20%` is 0.2) and the weight there. Between the
points the weight is interpolated linearly; before the first point and after the last one it is constant. Two entries at
one place make a jump. `SCHEDULE_PRESETS` lists the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .typed_text import Scanner, number_text

Points = list[tuple[float, float]]  # (part of the sampling in 0..1, weight), in that order

SCHEDULE_PRESETS: dict[str, Points] = {
    "always": [(0.0, 1.0), (1.0, 1.0)],
    "fade in": [(0.0, 0.0), (0.3, 1.0)],
    "fade out": [(0.7, 1.0), (1.0, 0.0)],
    "fade in and out": [(0.0, 0.0), (0.2, 1.0), (0.8, 1.0), (1.0, 0.0)],
    "first half": [(0.5, 1.0), (0.5, 0.0)],
    "second half": [(0.5, 0.0), (0.5, 1.0)],
}


def parse_schedule(text: str, of: str = "sampling") -> Points:
    """Points (percent 0..1, weight) of a schedule string, in order; an empty string is weight 1 throughout.

    of: what the schedule runs over, as errors call it: the sampling, or the video.
    Raises ValueError with the position of the mistake: malformed or not finite numbers, a percent outside
    0..1 or before its predecessor, more than two points at one place, an unknown preset.
    """
    scan = Scanner(text, "Schedule")
    if scan.at_end:
        return list(SCHEDULE_PRESETS["always"])
    start = scan.position
    preset = scan.name()
    if preset is not None:
        if preset not in SCHEDULE_PRESETS:
            scan.fail(f"points such as 0:0, 0.2:1 or one of the presets {', '.join(SCHEDULE_PRESETS)}", start)
        scan.end_entry()
        if not scan.at_end:
            scan.fail("nothing after a preset")
        return list(SCHEDULE_PRESETS[preset])
    points: Points = []
    while not scan.at_end:
        points.append(_read_point(scan, points, of))
        scan.end_entry()
    return points


def _read_point(scan: Scanner, before: Points, of: str) -> tuple[float, float]:
    start = scan.position
    percent = scan.number(f"a part of the {of} from 0 to 1")
    if scan.take("%") is not None:
        percent /= 100
    if not 0 <= percent <= 1:
        scan.fail(f"a part of the {of} from 0 to 1 (or 0% to 100%)", start)
    if before and percent < before[-1][0]:
        scan.fail(f"a part of the {of} from {number_text(before[-1][0])} on, in order", start)
    if len(before) > 1 and percent == before[-1][0] == before[-2][0]:
        scan.fail("at most two points at one place (a jump)", start)
    if scan.take(":") is None:
        scan.fail("':' and the weight there")
    return percent + 0.0, scan.number("a weight") + 0.0


def check_schedule(points: Sequence[tuple[float, float]]) -> Points:
    """`points` as a list of pairs of floats; ValueError unless finite, in 0..1, in order, at most two at one place."""
    try:
        points = [(float(percent), float(weight)) for percent, weight in points]
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected a schedule of pairs (percent, weight), got {points!r}.") from error
    percents = [percent for percent, _ in points]
    in_order = percents == sorted(percents) and all(percents.count(each) < 3 for each in percents)
    if not points or not in_order or not all(0 <= percent <= 1 and math.isfinite(w) for percent, w in points):
        raise ValueError(
            f"Expected at least one point (percent in 0..1, finite weight), in order and at most two at one place, "
            f"got {points}."
        )
    return points


def schedule_weight(points: Sequence[tuple[float, float]], percent: float) -> float:
    """The weight at `percent` in 0..1: straight lines between the points; at a jump the later value."""
    (first, weight) = points[0]
    if percent < first:
        return weight
    for (left, low), (right, high) in zip(points, points[1:], strict=False):
        if left <= percent < right:
            return between(low, high, (percent - left) / (right - left))
    return points[-1][1]


def between(low: float, high: float, part: float) -> float:
    """The straight line from `low` to `high`, exact at both ends."""
    return low * (1 - part) + high * part


def scheduled(strength: float, text: str, of: str = "sampling") -> float | Callable[[float], float]:
    """A strength that follows a schedule string: a function of the part of the whole, or for "" the number itself.

    Raises as `parse_schedule`.
    """
    if not text.strip():
        return strength
    points = parse_schedule(text, of)
    return lambda part: strength * schedule_weight(points, part)
