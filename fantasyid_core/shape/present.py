"""A 3D face for people: pictures of it, and sentences about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .drawing import draw_head, draw_landmarks, draw_overlay
from .pointcloud import FaceShape

if TYPE_CHECKING:
    from .reconstruct import Reconstruction


def draw_shape(shape: FaceShape, size: int = 512) -> np.ndarray:
    """The head from the front and half from the side: np.uint8 [size, 2 size, 3] RGB."""
    return draw_head(shape.vertices.numpy(), shape.faces, size)


def draw_reconstruction(result: Reconstruction) -> np.ndarray:
    """The crop, and beside it the 3D face drawn over it with the landmarks: np.uint8 [S, 2 S, 3] RGB."""
    crop = result.face.crop
    marked = crop if result.landmarks is None else draw_landmarks(crop, result.landmarks)
    overlay = draw_overlay(crop, result.projected, result.depth, result.shape.faces, result.landmarks)
    return np.concatenate([marked, overlay], axis=1)


def describe_shape(shape: FaceShape) -> list[str]:
    """Number of vertices and size of a head, and what was noticed when it was read."""
    width, height, depth = np.ptp(shape.vertices.numpy(), axis=0) * 100
    size = f"{len(shape.vertices)} vertices, {width:.1f} x {height:.1f} x {depth:.1f} cm (width, height, depth)."
    return [size, *filter(None, [shape.note])]


def describe_reconstruction(result: Reconstruction) -> list[str]:
    """The size of the head, and what was noticed when it was made."""
    return [*describe_shape(result.shape), *result.notes]
