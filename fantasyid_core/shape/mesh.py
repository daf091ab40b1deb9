"""Checks of a mesh, and its vertex normals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def check_finite(vertices: np.ndarray, name: str) -> None:  # [V,...]
    """Raises ValueError, with the count and the first index, for vertices with NaN or infinite numbers."""
    bad = ~np.isfinite(vertices).all(axis=tuple(range(1, vertices.ndim)))
    if bad.any():
        raise ValueError(
            f"{name}: expected finite coordinates, got NaN or infinite ones in {bad.sum()} of "
            f"{len(vertices)} vertices, the first at index {bad.argmax()}. Make the shape again."
        )


def check_faces(faces: ArrayLike, vertex_count: int, name: str) -> np.ndarray:
    """Faces as np.int64 [F,3]. Raises ValueError for another shape or type and for missing vertices."""
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"{name}: expected faces [F,3] as integers, got {faces.dtype} {list(faces.shape)}.")
    if faces.size and not 0 <= faces.min() <= faces.max() < vertex_count:
        raise ValueError(
            f"{name}: expected faces that name vertices 0 to {vertex_count - 1}, got {faces.min()} to {faces.max()}."
        )
    return faces.astype(np.int64)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:  # [V,3]
    """Unit normals [V,3] at the vertices [V,3]: the mean over their faces [F,3] by area; 0 without a face.

    They point outwards where the corners run counter-clockwise seen from outside, as FLAME's do.
    """
    first, second, third = vertices[faces].transpose(1, 0, 2)
    of_faces = np.cross(second - first, third - first)
    normals = np.zeros((len(vertices), 3))
    for axis in range(3):
        normals[:, axis] = np.bincount(faces.ravel(), np.repeat(of_faces[:, axis], 3), len(vertices))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-30)
