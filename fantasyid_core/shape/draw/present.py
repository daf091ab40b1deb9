"""Presents a 3D face to users: pictures of it, and sentences about it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..faceshape import FaceShape
from .drawing import draw_head, draw_landmarks, draw_overlay

if TYPE_CHECKING:
    from ..reconstruct.reconstruct import Reconstruction


def draw_shape(shape: FaceShape, size: int = 512) -> np.ndarray:
    """The head from the front and half from the side: np.uint8 [size, 2 size, 3] RGB."""
    return draw_head(shape.vertices.numpy(), shape.faces, size)


class Presented(NamedTuple):
    """turn: the head turning, pictures np.uint8 [S,S,3]. shown: the same, beside the head before where there is one.
    comparison: `draw_before_after`. model: a .glb file. lines: for people."""

    turn: list[np.ndarray]
    shown: list[np.ndarray]
    comparison: np.ndarray
    model: bytes
    lines: list[str]


def present_shape(
    shape: FaceShape,
    before: FaceShape | None = None,
    frames: int = 24,
    size: int = 256,
    folders: Iterable[str | os.PathLike] = (),
) -> Presented:
    """Everything that shows a 3D face, and how it differs from `before`. folders: one may hold the topology file, whose
    triangles a cloud of points gets. Raises ValueError as `draw_head`."""
    from ..files.meshfile import encode
    from ..topology.known import with_faces

    shape, earlier = with_faces(shape, folders), None if before is None else with_faces(before, folders)
    turn = draw_turntable(shape, frames, size)
    beside = [] if earlier is None else draw_turntable(earlier, frames, size, shape)
    shown = [np.concatenate(pair, axis=1) for pair in zip(beside, turn, strict=True)] if beside else turn
    comparison = draw_before_after(earlier or shape, shape, size)
    lines = [*describe_shape(shape), describe_change(earlier, shape) if earlier else ""]
    return Presented(turn, shown, comparison, encode(shape.vertices.numpy(), shape.faces, ".glb"), lines)


def draw_turntable(
    shape: FaceShape, frames: int = 24, size: int = 256, like: FaceShape | None = None
) -> list[np.ndarray]:
    """The head turning once about itself, from the front over the right of the picture: `frames` pictures np.uint8
    [size,size,3] RGB, all at one scale, that of the head `like` if one is given.

    Raises ValueError for less than one frame.
    """
    if frames < 1:
        raise ValueError(f"Expected at least one frame, got {frames}.")
    views = [360 * frame / frames for frame in range(frames)]
    extent = None if like is None else like.vertices.numpy()
    strip = draw_head(shape.vertices.numpy(), shape.faces, size, views, extent)
    return np.split(strip, frames, axis=1)


def draw_before_after(before: FaceShape, after: FaceShape, size: int = 384) -> np.ndarray:
    """Two heads from the front and half from the side, the earlier one above: np.uint8 [2 size, 2 size, 3] RGB.

    Both are drawn at one scale, so that a wider head is wider.
    """
    heads = [shape.vertices.numpy() for shape in (before, after)]
    rows = [
        draw_head(head, shape.faces, size, extent=np.concatenate(heads))
        for head, shape in zip(heads, (before, after), strict=True)
    ]
    return np.concatenate(rows)


def describe_change(before: FaceShape, after: FaceShape) -> str:
    """How far the vertices of one mesh moved, in a sentence; "" for different meshes."""
    if before.vertices.shape != after.vertices.shape:
        return ""
    moved = 1000 * np.linalg.norm(after.vertices.numpy() - before.vertices.numpy(), axis=1)
    share = (moved > 0.05).mean()
    return f"{share:.0%} of the vertices move, at most by {moved.max():.1f} mm." if share else "Nothing moves."


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
