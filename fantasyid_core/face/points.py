"""Five points of a face: eye left, eye right, tip of the nose, mouth left, mouth right, as seen in the picture."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ORDER = "eye left, eye right, nose, mouth left, mouth right, as seen in the picture"


def parse_points(text: str) -> np.ndarray:
    """Five points that a user typed, as np.float32 [5,2] in pixels.

    Numbers may be separated by commas, semicolons, blanks and line breaks ("x,y x,y x,y x,y x,y"), or form a
    JSON list of [x, y] or {"x": x, "y": y}.

    Raises ValueError for another count, for what is not a number, for NaN, for collapsed points, and for
    points in another order (the triangle of eyes and mouth is then turned over).
    """
    numbers = _numbers(text)
    if len(numbers) != 10:
        raise ValueError(
            f"Expected 5 points, that is 10 numbers, got {len(numbers)} numbers in {_shortened(text)}. "
            f'Write "x,y x,y x,y x,y x,y": {ORDER}.'
        )
    points = check_points(np.array(numbers).reshape(5, 2))
    eye, across, down = points[0], points[1] - points[0], points[3:].mean(axis=0) - points[0]
    if across[0] * down[1] - across[1] * down[0] <= 0:
        raise ValueError(
            f"The five points are in another order or mirrored (first point: {eye[0]:g}, {eye[1]:g}). "
            f"Expected: {ORDER}."
        )
    return points


def check_points(points: ArrayLike) -> np.ndarray:
    """Five points as np.float32 [5,2]; ValueError for another shape, NaN, infinite or collapsed points."""
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused below
            points = _reals(points).astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Expected five points [5,2] as numbers (x, y in pixels), got {_shortened(repr(points))}: {ORDER}."
        ) from error
    if points.shape != (5, 2):
        raise ValueError(f"Expected five points [5,2] (x, y in pixels), got shape {list(points.shape)}: {ORDER}.")
    if not np.isfinite(points).all():
        raise ValueError(f"Expected five finite points, got {points.tolist()}. Replace NaN and infinite values.")
    along, across = np.linalg.svd(points - points.mean(axis=0, dtype=np.float64), compute_uv=False)
    if along < 1 or across < 0.02 * along:
        raise ValueError(
            f"The five points {points.tolist()} coincide or lie on one line, so they give no face. "
            f"Expected different places: {ORDER}."
        )
    return points


def _reals(points: ArrayLike) -> np.ndarray:
    points = np.asarray(points)
    if points.dtype.kind not in "iufO":
        raise TypeError(f"numbers of type {points.dtype}")
    return points


def _numbers(text: str) -> list[float]:
    text = text.strip()
    try:
        values = json.loads(text) if text[:1] == "[" else [t for t in re.split(r"[\s,;]+", text) if t]
        return [float(value) for value in _flattened(values)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"Expected 5 points as numbers, got {_shortened(text)} ({error}). "
            f'Write "x,y x,y x,y x,y x,y", or a JSON list of [x, y]: {ORDER}.'
        ) from error


def _flattened(values) -> list:
    if isinstance(values, dict):
        return [values["x"], values["y"]]
    if isinstance(values, list):
        return [number for value in values for number in _flattened(value)]
    return [values]


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def check_inside(points: np.ndarray, width: int, height: int) -> None:
    """Raises ValueError, naming the first of five points [5,2] that lies outside a picture of this size."""
    outside = ((points < 0) | (points >= (width, height))).any(axis=1)
    if outside.any():
        first = int(outside.argmax())
        raise ValueError(
            f"Point {first + 1} of 5, ({points[first, 0]:g}, {points[first, 1]:g}), lies outside the "
            f"picture: expected x in 0..{width - 1} and y in 0..{height - 1}. Give the points in pixels of "
            "this picture."
        )
