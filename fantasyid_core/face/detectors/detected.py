"""A detected face: its box, five points and head pose, and estimates of the points where a detector gives none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..align import TEMPLATE, TEMPLATE_SIZE
from ..points import check_points
from ..pose import head_pose

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

WINDOW_EYES = 0.40
"""Distance of the eyes as a share of the side of the square around a face."""


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face. Lengths are pixels of the picture, x to the right and y down; integers are pixel centres.

    box: np.float32 [4] x0, y0, x1, y1, inside the picture.
    points: np.float32 [5,2] in the order of `align.TEMPLATE`; may lie outside the picture.
    score: 0..1, more is surer; only scores of one detector can be compared.
    exact_points: False when the points are mean proportions of the box, not seen in the picture.
    yaw, pitch, roll: degrees, see `head_pose`; None unless the points are exact.
    detector: which one found it.
    """

    box: np.ndarray
    points: np.ndarray
    score: float
    exact_points: bool
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None
    detector: str = ""

    @property
    def centre(self) -> np.ndarray:
        """x, y of the middle of the box."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return float(np.prod(self.box[2:] - self.box[:2]))


def face_from_points(
    image: np.ndarray, points: ArrayLike, box: ArrayLike | None = None, score: float = 1.0, detector: str = "none"
) -> DetectedFace:
    """A face known by its five exact points [5,2]; without a box, the template's square around them, clipped.

    Raises ValueError for points that are no face, or lie outside the picture.
    """
    points = check_points(points)
    if box is None:
        box = _box_around(image, points)
    yaw, pitch, roll = head_pose(points)
    return DetectedFace(np.asarray(box, np.float32), points, score, True, yaw, pitch, roll, detector)


def centre_face(image: np.ndarray) -> DetectedFace:
    """The centre square of a picture as a face with the template's points."""
    height, width = image.shape[:2]
    side, middle = min(height, width), np.array([width, height]) / 2
    box = clipped_square(middle - 0.5, side, image)
    points = (TEMPLATE + 0.5) * (side / TEMPLATE_SIZE) - 0.5 + middle - side / 2
    return DetectedFace(box, points.astype(np.float32), 0.0, False, detector="none")


def clipped_square(middle: np.ndarray, side: float, image: np.ndarray) -> np.ndarray:
    """The square about `middle`, cut at the picture's edges: np.float32 [4]."""
    return clipped(np.concatenate([middle - side / 2, middle + side / 2]), image)


def clipped(box: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A box [4] cut at the picture's edges: np.float32 [4]."""
    edges = np.array(image.shape[1::-1], dtype=np.float64) - 1
    return np.clip(box, 0, np.tile(edges, 2)).astype(np.float32)


def _box_around(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    side = max(np.linalg.norm(points[1] - points[0]), np.linalg.norm(mouth - eyes)) / WINDOW_EYES
    box = clipped_square(points.mean(axis=0), side, image)
    if not (box[2:] > box[:2]).all():
        raise ValueError(
            f"The five points {points.tolist()} lie outside the picture of {image.shape[1]} x "
            f"{image.shape[0]} pixels. Give the points in pixels of this picture."
        )
    return box
