"""Turned squares around faces: the mesh's input, and the way back from its points to the picture.

The rules are MediaPipe's: a square 1.5 times as large as the longer side of a box, turned by the line between the
eyes; read at single places, without smoothing, even where the picture is larger than what is cut out of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .boxes import Boxes
from .points import EYE_CORNERS

ROOM = 1.5
LARGEST = 30_000
"""Longest side of a window that OpenCV reads: it counts pixels in 16 bits."""


@dataclass(frozen=True)
class Squares:
    """Squares in the picture; the angles are those of their upper sides, clockwise on the screen."""

    middles: np.ndarray  # [N, 2]
    sides: np.ndarray  # [N]
    angles: np.ndarray  # [N], radians

    def __getitem__(self, index) -> Squares:
        return Squares(self.middles[index], self.sides[index], self.angles[index])

    def __len__(self) -> int:
        return len(self.sides)

    def matrices(self, size: int) -> np.ndarray:
        """[N,2,3], from the pixels of the squares cut out at `size` to those of the picture."""
        cos, sin = np.cos(self.angles), np.sin(self.angles)
        linear = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2) * (self.sides / size)[:, None, None]
        return np.concatenate([linear, (self.middles - linear.sum(-1) * (size / 2))[..., None]], -1)


def squares_of_boxes(boxes: Boxes) -> Squares:
    """The squares around a detector's boxes."""
    across = boxes.points[:, 1] - boxes.points[:, 0]
    return _squares(boxes.corners[:, 0], boxes.corners[:, 1], across)


def squares_of_points(points: np.ndarray) -> Squares:
    """The squares around the mesh's points [N,478,3]."""
    flat = points[..., :2]
    return _squares(flat.min(1), flat.max(1), flat[:, EYE_CORNERS[1]] - flat[:, EYE_CORNERS[0]])


def cut_squares(image: np.ndarray, squares: Squares, size: int) -> np.ndarray:
    """np.uint8 [N,size,size,3] of a picture [H,W,3]; outside of it its edge goes on."""
    cut = [_cut(image, matrix, size) for matrix in squares.matrices(size)]
    return np.stack(cut) if cut else np.zeros((0, size, size, 3), np.uint8)


def points_in_picture(points: np.ndarray, squares: Squares, size: int) -> np.ndarray:
    """Points [N,P,3] in the pixels of squares cut out at `size` -> [N,P,3] in pixels of the picture, z too."""
    matrices = squares.matrices(size)
    flat = points[..., :2] @ matrices[..., :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return np.concatenate([flat, points[..., 2:] * (squares.sides / size)[:, None, None]], -1)


def _squares(low: np.ndarray, high: np.ndarray, across: np.ndarray) -> Squares:
    sides = (high - low).max(-1) * ROOM
    return Squares((low + high) / 2, sides, np.arctan2(across[:, 1], across[:, 0]))


def _cut(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ matrix.T
    limits = np.array(image.shape[1::-1])
    # Only the needed part is cut out, so that pictures beyond OpenCV's size limit work, too.
    low = np.clip(np.floor(corners.min(0)) - 2, 0, limits - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 3, low + 1, np.minimum(limits, low + LARGEST)).astype(int)
    window = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    shifted = matrix - np.column_stack([np.zeros((2, 2)), low])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(window, shifted, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
