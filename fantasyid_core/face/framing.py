"""The framing of the crop: margins around the aligned face, rotation, and the share that lies outside the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

RANGES = {"padding": (-0.2, 1.0), "hair": (0.0, 1.0), "neck": (0.0, 1.0), "rotation": (-180.0, 180.0)}


@dataclass(frozen=True)
class Framing:
    """Room around the face, as shares of the official crop's side. `Framing()` is the official crop.

    padding: added on every side, -0.2..1 (negative: closer). hair, neck: added above and below the face,
    0..1; the square grows to hold them, the face stays centred horizontally.
    rotation: degrees, -180..180, about the middle of the crop; positive turns the picture clockwise.

    Raises ValueError for what is not a number, and outside these ranges.
    """

    padding: float = 0.0
    hair: float = 0.0
    neck: float = 0.0
    rotation: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), RANGES[field.name]
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and low <= value <= high):  # NaN is not in the range either
                raise ValueError(f"Expected a {field.name} of {low:g} to {high:g}, got {value!r}. 0 is as trained.")

    def applied(self, matrix: np.ndarray, size: int) -> np.ndarray:
        """`matrix` [2,3] (picture -> official crop of `size` pixels) as the one to the framed crop, float64."""
        if self == Framing():
            return matrix
        zoom = 1 / (1 + 2 * self.padding + self.hair + self.neck)
        angle, middle = math.radians(self.rotation), (size - 1) / 2
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        # Of the official crop, this point comes to lie in the middle of the framed one.
        seen = np.array([middle, middle + size * (self.neck - self.hair) / 2])
        linear = zoom * turn @ matrix[:, :2]
        return np.column_stack([linear, zoom * turn @ (matrix[:, 2] - seen) + middle])


def share_outside(matrix: np.ndarray, size: int, picture_size: tuple[int, int]) -> float:
    """The share 0..1 of a crop's area that lies outside the picture.

    matrix: [2,3], picture -> crop of `size` x `size` pixels. picture_size: width and height in pixels.
    """
    side = size - 0.5  # a pixel reaches half its width beyond its centre
    corners = np.array([[-0.5, -0.5], [side, -0.5], [side, side], [-0.5, side]])
    quad = np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T).T
    inside = quad
    for axis, length in enumerate(picture_size):
        inside = _clip(inside, axis, -0.5, 1)
        inside = _clip(inside, axis, length - 0.5, -1)
    return float(np.clip(1 - _area(inside) / _area(quad), 0, 1))


def _clip(polygon: np.ndarray, axis: int, edge: float, sign: int) -> np.ndarray:
    """The part of a convex polygon [N,2] with sign * (coordinate - edge) >= 0 (Sutherland and Hodgman, 1974)."""
    kept = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        before, after = sign * (start[axis] - edge), sign * (end[axis] - edge)
        if before >= 0:
            kept.append(start)
        if (before >= 0) != (after >= 0):
            kept.append(start + (end - start) * (before / (before - after)))
    return np.array(kept).reshape(-1, 2)


def _area(polygon: np.ndarray) -> float:
    if len(polygon) < 3:
        return 0.0
    # Measured from a corner: far from the origin the products would cancel.
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
