"""The head pose, estimated from five points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .align import TEMPLATE
from .points import check_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NOSE_DEPTH = 0.45
"""How far the tip of the nose stands out from the plane of eyes and mouth, in eye distances (a mean)."""


def head_pose(points: ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from five exact points [5,2].

    Roll is the angle of the line between the eyes (positive: clockwise in the picture). With roll undone, let
    e be the distance of the eyes, (x, y) the nose from their middle, m the mouth's height below it, and
    p = 0.45 e the depth of the nose; distances of a frontal face, in e, are those of the template. Under
    parallel projection of a head turned about one axis
        tan(yaw) = x / p            positive: the nose points to the right of the picture,
        tan(pitch) = (y / m - y0 / m0) * m0 / 0.45     positive: the nose points down,
    where y0 and m0 are the template's. Turned about both, it is an approximation.

    Raises ValueError for points of which no face can be made.
    """
    points = check_points(points).astype(np.float64)
    across = points[1] - points[0]
    roll = np.arctan2(across[1], across[0])
    x, y, mouth, eyes = _face_lengths(points, roll)
    _, y0, mouth0, eyes0 = _face_lengths(TEMPLATE, 0.0)
    yaw = np.arctan2(x, NOSE_DEPTH * eyes)
    pitch = np.arctan((y / mouth - y0 / mouth0) * (mouth0 / eyes0) / NOSE_DEPTH)
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def turn(degrees: float) -> np.ndarray:
    """Matrix [2,2] that turns x (to the right), y (down) clockwise as seen on the screen."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def _face_lengths(points: np.ndarray, roll: float) -> tuple[float, float, float, float]:
    level = (points - points[:2].mean(axis=0)) @ turn(np.rad2deg(roll))  # from picture axes to the head's
    mouth = level[3:, 1].mean()
    if abs(mouth) < 1e-6:
        raise ValueError(
            f"The eyes and the mouth of {points.tolist()} lie on one line. Expected the mouth below the eyes."
        )
    return level[2, 0], level[2, 1], mouth, level[1, 0] - level[0, 0]
