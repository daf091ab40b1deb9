"""Fits the rotation, scale and position of a head to its points in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..edit.faceframe import similarity

ROUNDS = 4
ROBUST = 4.0  # millimetres by which a point is off when it counts half


@dataclass(frozen=True, eq=False)
class Pose:
    """A similarity from an upright head in millimetres to the picture: x right, y up, z to the viewer, in pixels."""

    rotation: np.ndarray  # [3,3]
    scale: float  # pixels per millimetre
    shift: np.ndarray  # [3]

    @property
    def yaw(self) -> float:
        """Degrees, positive: the nose points to the right of the picture."""
        return float(np.degrees(np.arctan2(self.rotation[0, 2], self.rotation[2, 2])))

    @property
    def level(self) -> np.ndarray:
        """[2,2], the head's roll: `vectors @ level` are a picture's vectors (y up) as they were without it, and
        `vectors @ level.T` the way back."""
        across = self.rotation[:2, 0] / max(np.hypot(*self.rotation[:2, 0]), 1e-9)
        return np.array([[across[0], -across[1]], [across[1], across[0]]])

    @property
    def sines(self) -> tuple[float, float]:
        """Of yaw (positive: to the picture's right) and pitch (positive: up), without the roll."""
        right, up = self.rotation[:2, 2] @ self.level
        return float(right), float(up)

    def upright(self, points: np.ndarray) -> np.ndarray:  # [N,3] -> [N,3]
        """From the picture to the head."""
        return (points - self.shift) @ self.rotation / self.scale

    def seen(self, points: np.ndarray) -> np.ndarray:  # [N,3] -> [N,3]
        """From the head to the picture."""
        return self.scale * points @ self.rotation.T + self.shift


def pose_of(points: np.ndarray, wanted: np.ndarray, weights: np.ndarray) -> Pose:  # [N,3], [N,3], [N]
    """The pose that takes `wanted` places of an upright head to seen points, robustly.

    Raises ValueError for points that are not finite, on one line, or all at one place.
    """
    if not np.isfinite(points).all() or np.ptp(points[:, :2], axis=0).max() < 1e-6:
        raise ValueError("Expected finite points of a face, at different places. Detect the face again.")
    weights, share = weights / weights.sum(), np.ones(len(points))
    for _ in range(ROUNDS):
        now = weights * share
        rotation, scale = similarity(wanted, points, now)
        middle, target = (np.average(each, axis=0, weights=now) for each in (wanted, points))
        pose = Pose(rotation, scale, target - scale * rotation @ middle)
        away = np.linalg.norm((pose.upright(points) - wanted)[:, :2], axis=1)
        share = 1 / (1 + (away / ROBUST) ** 2)
    return pose
