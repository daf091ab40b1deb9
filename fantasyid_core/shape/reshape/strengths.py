"""How strong an edit is in each frame."""

from __future__ import annotations

import math

import numpy as np

from .settings import MAX_STRENGTH, Strength

_SEVERAL = (list, tuple, np.ndarray)


def check_strength(strength: Strength) -> None:
    """Raises ValueError for what is no strength."""
    if callable(strength):
        return
    values = list(strength) if isinstance(strength, _SEVERAL) else [strength]
    if not values or not all(_usable(value) for value in values):
        raise ValueError(
            f"Expected a strength of -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}, one for each frame, or a function of the "
            f"time, got {strength!r}."
        )


def strength_at(strength: Strength, number: int, count: int | None) -> float:
    """At the frame `number` of `count`. Raises ValueError for a function without a count, and for no strength."""
    if not callable(strength):
        return float(strength[min(number, len(strength) - 1)] if isinstance(strength, _SEVERAL) else strength)
    if count is None:
        raise ValueError(
            "A strength over time needs the number of frames: give `count`, or the frames as an array or list."
        )
    value = strength(min(number / max(1, count - 1), 1.0))
    if not _usable(value):
        raise ValueError(
            f"Expected a strength of -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}, got {value!r} at frame {number}."
        )
    return float(value)


def never(*strengths: Strength) -> bool:
    """Whether one of them is 0 in every frame."""
    return any(not callable(strength) and not np.any(strength) for strength in strengths)


def _usable(value) -> bool:
    real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return real and math.isfinite(value) and abs(value) <= MAX_STRENGTH
