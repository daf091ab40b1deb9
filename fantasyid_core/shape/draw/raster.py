"""A z-buffer in NumPy: the visible triangle of a mesh in each pixel of a picture, and the position in it.

Triangles are scan-converted row by row. The place where an edge crosses a row is computed from the edge alone, so that
two triangles that share an edge agree on it to the last bit. So no pixel is left out, and none is covered twice.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..mesh import check_faces, check_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAX_COORDINATE = 1e6
"""Pixels from the picture's corner; farther away float64 has too few digits left for the pixels inside."""

MAX_SIDE = 32766  # as in the rest of the project: OpenCV 4 counts pixels along a side in 16 bits
CHUNK = 2**16  # pixels in the boxes around the triangles that are worked on at a time: what fits the cache


def rasterise(
    points: ArrayLike,  # [V,2]
    depth: ArrayLike,  # [V]
    faces: ArrayLike,  # [F,3]
    size: tuple[int, int],
    backfaces: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest triangle in every pixel: its index np.int32 [h,w], -1 for none, and the barycentric
    coordinates np.float32 [h,w,3] of the pixel's centre in it, 0..1 with the sum 1 (all 0 for none).

    points: x to the right, y down, in pixels; integers are pixel centres. depth: any unit; the larger, the
    nearer, as FLAME's z; linear within a triangle. Of equal depths the lower index wins. size: (h, w).
    A pixel's centre on an edge belongs to the triangle on its right, or below a level edge (the top-left
    rule). backfaces=False leaves out triangles whose corners run clockwise in the picture: of FLAME's,
    those seen from within.

    Raises ValueError for other shapes, NaN or infinite numbers, points beyond `MAX_COORDINATE`, and faces
    that name missing vertices.
    """
    height, width = _checked_size(size)
    points, depth, faces = _checked_mesh(points, depth, faces)
    corners, depths = points[faces], depth[faces]  # [F,3,2], [F,3]
    twice_area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # y down: < 0 is in front
    kept = np.flatnonzero(twice_area if backfaces else twice_area < 0)
    sides = _sides(corners, twice_area)
    nearest = np.full(height * width, -np.inf)
    index = np.full(height * width, -1, np.int32)
    barycentric = np.zeros((height * width, 3), np.float32)
    for chunk in _chunks(corners, kept, height, width):
        triangle, x, y = _fragments(corners[chunk], height, width)
        triangle, pixel = chunk[triangle], y * width + x
        weights = _weights(sides, triangle, x, y)  # [3,K]
        at = _depth_at(depths, triangle, weights)
        before = nearest[pixel]
        np.maximum.at(nearest, pixel, at)
        won = np.flatnonzero((at > before) & (at == nearest[pixel]))[::-1]  # of equals, the first is written last
        index[pixel[won]] = triangle[won]
        barycentric[pixel[won]] = weights[:, won].T
    return index.reshape(height, width), barycentric.reshape(height, width, 3)


def interpolate(
    values: ArrayLike,  # [V,C] or [V]
    faces: ArrayLike,  # [F,3]
    index: np.ndarray,  # [h,w]
    barycentric: np.ndarray,  # [h,w,3]
) -> np.ndarray:  # [h,w,C] or [h,w]
    """Values given at the vertices, in every pixel of `rasterise`'s result: np.float32, 0 where no triangle is."""
    values, seen = np.asarray(values, np.float32), index >= 0
    picture = np.zeros((*index.shape, *values.shape[1:]), np.float32)
    picture[seen] = mix(values, np.asarray(faces), index[seen], barycentric[seen])
    return picture


def mix(values: np.ndarray, faces: np.ndarray, triangle: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values [V,C] or [V] at points of triangles [K], given by their barycentric coordinates [K,3]: [K,C] or [K]."""
    corners = faces.take(triangle, axis=0)  # [K,3]
    weights = weights.reshape(*weights.shape, *[1] * (values.ndim - 1))
    mixed = values.take(corners[:, 0], axis=0) * weights[:, 0]
    for corner in (1, 2):
        mixed += values.take(corners[:, corner], axis=0) * weights[:, corner]
    return mixed


def _fragments(corners: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pixels that triangles [F,3,2] cover, hidden or not: triangle, x and y, each [K], triangles ascending."""
    first, stop = (_cut(bound, height) for bound in (corners[..., 1].min(axis=1), corners[..., 1].max(axis=1)))
    triangle, row = _unrolled(first, stop)
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for corner in range(3):
        upper, lower = corners[:, corner], corners[:, (corner + 1) % 3]
        # Computed from the upper end for both triangles of an edge, so that they get the same number.
        turned = (upper[:, 1] > lower[:, 1])[:, None]
        upper, lower = np.where(turned, lower, upper), np.where(turned, upper, lower)
        crossed = np.flatnonzero((upper[triangle, 1] <= row) & (row < lower[triangle, 1]))
        (x0, y0), (x1, y1) = upper[triangle[crossed]].T, lower[triangle[crossed]].T
        # The product before the quotient: exact where the edge goes through a pixel's centre.
        x = x0 + (row[crossed] - y0) * (x1 - x0) / (y1 - y0)
        left[crossed], right[crossed] = np.minimum(left[crossed], x), np.maximum(right[crossed], x)
    span, x = _unrolled(_cut(left, width), _cut(right, width))
    return triangle[span], x, row[span]


def _cut(bounds: np.ndarray, size: int) -> np.ndarray:
    """The first pixel at or after each bound, within 0..size."""
    return np.ceil(bounds).clip(0, size).astype(np.int64)


def _unrolled(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The integers of all ranges start..stop-1, one range after the other: which range [K], which integer [K]."""
    counts = stop - start
    which = np.repeat(np.arange(len(start)), counts)
    return which, np.arange(len(which)) + np.repeat(start - (np.cumsum(counts) - counts), counts)


def _chunks(corners: np.ndarray, kept: np.ndarray, height: int, width: int) -> Iterator[np.ndarray]:
    """The triangles in `kept`, in order, in groups whose boxes hold about `CHUNK` pixels; all but one may hold less."""
    low, high = (bound.clip(0, (width, height)) for bound in (corners[kept].min(axis=1), corners[kept].max(axis=1)))
    pixels = (high - low + 1).prod(axis=1)
    groups = (np.cumsum(pixels) // CHUNK).astype(np.int64)
    yield from np.split(kept, np.flatnonzero(np.diff(groups)) + 1)


def _sides(corners: np.ndarray, twice_area: np.ndarray) -> np.ndarray:  # [F,7]
    """Per triangle, its first corner, the sides from there to the second and to the third, and twice its area."""
    first, second, third = corners.transpose(1, 0, 2)
    return np.column_stack([first, second - first, third - first, twice_area])


def _weights(sides: np.ndarray, triangle: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:  # [3,K]
    """Barycentric coordinates of pixels in their triangles, 0..1 with the sum 1."""
    first_x, first_y, side_x, side_y, other_x, other_y, twice_area = sides.take(triangle, axis=0).T
    across, down = x - first_x, y - first_y
    # Divided last: at a corner the weights are exactly 0 and 1, so that triangles that meet there are a tie.
    second = (across * other_y - down * other_x) / twice_area
    third = (down * side_x - across * side_y) / twice_area
    weights = np.stack([1 - second - third, second, third]).clip(0, 1)  # rounding leads outside, on edges
    weights /= weights.sum(axis=0)
    # A sliver too thin for a correct digit: any of its points will do.
    weights[:, ~np.isfinite(weights[0])] = 1 / 3
    return weights


def _depth_at(depths: np.ndarray, triangle: np.ndarray, weights: np.ndarray) -> np.ndarray:  # [K]
    # From the first corner on, so that a triangle of one depth has exactly that depth everywhere.
    first, second, third = depths.take(triangle, axis=0).T
    return first + weights[1] * (second - first) + weights[2] * (third - first)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(f"Expected the picture's size as (height, width), got {size!r}.") from None
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"Expected a picture of 1 to {MAX_SIDE} pixels along a side, got {width} x {height}.")
    return height, width


def _checked_mesh(points: ArrayLike, depth: ArrayLike, faces: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points, depth, faces = np.asarray(points, np.float64), np.asarray(depth, np.float64), np.asarray(faces)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"Expected points [V,2] (x, y), got shape {list(points.shape)}.")
    if depth.shape != points.shape[:1]:
        raise ValueError(f"Expected one depth for each of {len(points)} points, got shape {list(depth.shape)}.")
    check_finite(points, "The points")
    check_finite(depth, "The depth")
    if points.size and abs(points).max() > MAX_COORDINATE:
        raise ValueError(
            f"Expected points within {MAX_COORDINATE:.0f} pixels of the picture, got {abs(points).max():.3g}. "
            "Check the camera that projects them."
        )
    return points, depth, check_faces(faces, len(points), "The mesh")
