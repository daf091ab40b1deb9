"""A person's points without jitter and without lag, short gaps filled, and how much of the edit a frame gets.

Around each frame a parabola over time is fitted to the points by weighted least squares (Savitzky and Golay 1964, with
a Gaussian's weights), so that a nod keeps its height. Where a face is lost or found, the edit fades out before and in
after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..edit.fields import ramp
from .track import Seen

GAP = 5  # frames without a face that are bridged
FADE = 6  # frames over which an edit fades
AHEAD = GAP + FADE + 1  # so many frames to either side tell all there is to know
JITTER = 0.006  # face sizes: a millimetre
REACH = 2.5  # standard deviations to either side that count

Around = Sequence[Seen | str | None]
"""A frame with its neighbours: what was seen, or why nothing was, or None for a frame of another scene and beyond the
clip's ends."""


class Steady(NamedTuple):
    """points: [478,3] in pixels, or None. weight: 0..1. reason: why there are no points, or ""."""

    points: np.ndarray | None
    weight: float
    reason: str = ""


def steady(around: Around, centre: int, smoothing: float) -> Steady:
    """The points in the frame `centre`; smoothing: a standard deviation in frames."""
    now = around[centre]
    run = now.run if isinstance(now, Seen) else _bridge(around, centre)
    if run is None:
        return Steady(None, 0.0, now if isinstance(now, str) else "")
    reach = max(1, int(np.ceil(REACH * smoothing))) if isinstance(now, Seen) else GAP + 1
    near = [nth for nth in range(centre - reach, centre + reach + 1) if _seen(around, nth, run)]
    if isinstance(now, Seen) and not smoothing:
        near = [centre]
    shares = _shares(np.array(near, float) - centre, max(smoothing, 0.5))
    points = np.tensordot(shares, np.stack([around[nth].points for nth in near]).astype(np.float64), 1)
    if isinstance(now, Seen):
        points = _near_enough(points, now.points.astype(np.float64))
    return Steady(points, _weight(around, centre))


def _near_enough(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Smoothed points, but none farther from where it was seen than jitter is: a quick turn is no parabola."""
    most = JITTER * np.ptp(seen[:, :2], axis=0).max()
    away = points - seen
    far = np.linalg.norm(away[:, :2], axis=1, keepdims=True)
    return seen + away * np.minimum(1, most / far.clip(1e-12))


def _seen(around: Around, nth: int, run: int) -> bool:
    return 0 <= nth < len(around) and isinstance(around[nth], Seen) and around[nth].run == run


def _shares(times: np.ndarray, sigma: float) -> np.ndarray:
    """By how much values at these times count for the value at 0."""
    # Where there is nothing near, what there is counts: the nearest time as much as at one standard deviation.
    sigma = max(sigma, abs(times).min())
    both = (times < 0).any() and (times > 0).any()
    order = min(2, len(times) - 1) if 0 in times else int(both)
    powers, weights = times[:, None] ** np.arange(order + 1), np.exp(-0.5 * (times / sigma) ** 2)
    inner = powers.T @ (weights[:, None] * powers)
    return np.linalg.solve(inner, (weights[:, None] * powers).T)[0]


def _bridge(around: Around, centre: int) -> int | None:
    """The run that a frame without a face is a short gap of."""
    if not isinstance(around[centre], str):
        return None
    before = next((nth for nth in range(centre - 1, -1, -1) if not isinstance(around[nth], str)), None)
    after = next((nth for nth in range(centre + 1, len(around)) if not isinstance(around[nth], str)), None)
    if before is None or after is None or after - before - 1 > GAP:
        return None
    first, second = around[before], around[after]
    both = isinstance(first, Seen) and isinstance(second, Seen) and first.run == second.run
    return first.run if both else None


def _weight(around: Around, centre: int) -> float:
    lost = [
        abs(nth - centre)
        for nth in range(max(0, centre - FADE), min(len(around), centre + FADE + 1))
        if isinstance(around[nth], str) and _bridge(around, nth) is None and _one_scene(around, centre, nth)
    ]
    return float(ramp(np.float64(min(lost, default=FADE + 1)), 0, FADE + 1))


def _one_scene(around: Around, centre: int, nth: int) -> bool:
    low, high = sorted((centre, nth))
    return all(around[between] is not None for between in range(low, high + 1))
