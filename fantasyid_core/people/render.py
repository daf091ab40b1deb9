"""Renders pictures of a person, and their ground truth for every pixel.

The camera is far away (scaled orthographic). Pixels: x to the right, y down, integers are pixel centres.
"""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..shape.ownhead.mesh import METRE, head_mesh
from .appearance import paint_of
from .backdrop import Backdrop
from .columns import FRAME
from .scene import build_scene
from .surface_regions import region_of_vertices

if TYPE_CHECKING:
    from .person import Person

MAX_SIZE, MAX_SAMPLES = 4096, 8
NO_REGION = 255


def compile_note() -> str:
    """A sentence for who waits for the first picture of this process, else ""."""
    if f"{__package__}.frame_kernels" in sys.modules:
        return ""
    return "Drawing. After an installation or an update the renderer is compiled first: that takes a minute or two."


class Maps(NamedTuple):
    """The ground truth at the centre of every pixel, and the positions of the head's vertices."""

    depth: np.ndarray  # [T,S,S] float32, metres towards the camera; nan where nothing is
    layers: np.ndarray  # [T,S,S] uint8, index into `columns.LAYERS`
    regions: np.ndarray  # [T,S,S] uint8, index into `regions.REGIONS` of the nearest vertex; 255 off the head
    triangles: np.ndarray  # [T,S,S] int32, index into the mesh's faces; -1 off the head
    points: np.ndarray  # [T,V,2] float32, the vertices in pixels
    vertex_depth: np.ndarray  # [T,V] float32, metres
    scale: np.ndarray  # [T] pixels per metre


def render_frames(
    person: Person,
    frames: np.ndarray,  # [T,15]
    backdrop: Backdrop | None = None,
    size: int = 64,
    samples: int = 2,
    bend: np.ndarray | None = None,  # [V,3]
) -> np.ndarray:  # [T,size,size,3]
    """Pictures np.uint8 RGB, one per row of `frames` (see `columns.FRAME`; `Motion.frames` and `frame_row` make them).

    samples: per pixel and direction. bend: metres, added to the head's vertices (see `build_scene`). The same arguments
    give the same bytes. Raises ValueError for sizes, samples and frames out of range, RuntimeError without the package
    numba.
    """
    frames = _checked_frames(frames)
    size, samples = _checked(size, MAX_SIZE, "side in pixels"), _checked(samples, MAX_SAMPLES, "number of samples")
    from .frame_kernels import render_kernel, workspace

    pictures = np.empty((len(frames), size, size, 3), np.uint8)
    behind = (backdrop or Backdrop()).picture(size)
    scene, paint = build_scene(person.shape, person.appearance, bend), paint_of(person.appearance)
    space = workspace(scene, size * samples)
    render_kernel(tuple(scene), paint, frames, behind, samples, space, pictures)
    return pictures


def render_maps(person: Person, frames: np.ndarray, size: int = 64, bend: np.ndarray | None = None) -> Maps:  # [T,15]
    """The ground truth of `render_frames`'s pictures; errors as there."""
    frames, size = _checked_frames(frames), _checked(size, MAX_SIZE, "side in pixels")
    from .frame_kernels import maps_kernel, workspace
    from .raster_kernels import VISIBLE

    scene, paint = build_scene(person.shape, person.appearance, bend), paint_of(person.appearance)
    grid = (len(frames), size, size)
    depth, layers = np.empty(grid, np.float32), np.empty(grid, np.uint8)
    triangles, shares = np.empty(grid, np.int32), np.empty((*grid, 2), np.float32)
    points = np.empty((len(frames), *scene.neutral.shape), np.float32)
    maps_kernel(tuple(scene), paint, frames, workspace(scene, 1), depth, triangles, shares, layers, points)
    triangles[triangles >= len(head_mesh().faces)] = -1
    points = points[:, : len(head_mesh().template)]
    scale = frames[:, FRAME.index("zoom")] * size / (VISIBLE * METRE)
    depth, vertex_depth = (array * np.float32(METRE) for array in (depth, points[..., 2]))
    return Maps(depth, layers, _regions(triangles, shares), triangles, points[..., :2].copy(), vertex_depth, scale)


def _regions(triangles: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The region of the nearest corner of each pixel's triangle."""
    regions = np.full(triangles.shape, NO_REGION, np.uint8)
    on_head = triangles >= 0
    second, third = shares[on_head].T
    corner = np.argmax([1 - second - third, second, third], axis=0)
    regions[on_head] = region_of_vertices()[head_mesh().faces[triangles[on_head], corner]]
    return regions


def _checked_frames(frames: np.ndarray) -> np.ndarray:
    frames = np.ascontiguousarray(frames, np.float64)
    if frames.ndim != 2 or frames.shape[1] != len(FRAME) or not len(frames):
        raise ValueError(
            f"Expected frames [T,{len(FRAME)}] with T > 0 ({', '.join(FRAME)}), got {list(frames.shape)}. "
            "Make them with Motion.frames or frame_row."
        )
    if not np.isfinite(frames).all():
        row = int((~np.isfinite(frames)).any(axis=1).argmax())
        raise ValueError(f"Expected finite frames, got NaN or infinite numbers in row {row}.")
    zoom = frames[:, FRAME.index("zoom")]
    if not ((zoom >= 0.05) & (zoom <= 50)).all():
        raise ValueError(f"Expected a zoom in 0.05..50, got {zoom.min():g} to {zoom.max():g}.")
    return frames


def _checked(value: int, most: int, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if not 1 <= number <= most:
        raise ValueError(f"Expected a {what} in 1..{most}, got {value!r}.")
    return number
