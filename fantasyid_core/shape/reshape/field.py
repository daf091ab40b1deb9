"""Where each pixel of a changed frame comes from, drawn from the head before and after.

The heads are drawn with a z-buffer at a low resolution, because the movement is smooth. Hair, neck and background
follow, less and less with the distance from the head, and not at all beyond some centimetres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...face.align import opencv
from ..draw.raster import interpolate, rasterise
from ..edit.fields import ramp
from ..edit.warp import extended

SIDE = 144  # pixels of the drawing along the longer side
REACH = 22.0  # millimetres around the head over which the movement falls to a third; little of what is behind moves
STEEP = 3.0  # and at least so many times the largest movement, so that nothing is folded
ROOM = 2.0  # times the reach: within it the movement falls to nothing
EDGE = 0.03  # share of the drawing's side within which it falls to nothing at the edges of the picture
SMOOTHING = 1.2  # millimetres over which jumps of the movement are smoothed, as between a nose and the cheek behind
LEAST = 1 / 64  # pixels: OpenCV resamples in steps of 1/32


class Grid(NamedTuple):
    """A low-resolution drawing of a part of the picture. left, top, width, height: of the part, in pixels of the
    picture; shape: (h, w) of the drawing."""

    left: int
    top: int
    width: int
    height: int
    shape: tuple[int, int]

    @property
    def scale(self) -> np.ndarray:
        """Pixels of the drawing per pixel of the picture, along x and y."""
        return np.array([self.shape[1] / self.width, self.shape[0] / self.height])

    def drawn(self, points: np.ndarray) -> np.ndarray:  # [N,2] -> [N,2]
        """From the picture's pixels to the drawing's; integers are pixel centres in both."""
        return (points - (self.left, self.top) + 0.5) * self.scale - 0.5

    def cut(self, picture: np.ndarray) -> np.ndarray:
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


class Drawing(NamedTuple):
    """A head drawn on a grid. index, barycentric: as `rasterise` gives them."""

    grid: Grid
    index: np.ndarray
    barycentric: np.ndarray


class Field(NamedTuple):
    """Movement in a part of the picture: `shift` np.float32 [h,w,2] on the grid, pixels of the picture, x and y, to add
    to a pixel's place to get where it comes from."""

    grid: Grid
    shift: np.ndarray

    def full(self) -> np.ndarray:  # [height,width,2]
        """At the picture's own resolution."""
        cv2 = opencv()
        size = self.grid.width, self.grid.height
        return cv2.resize(self.shift, size, interpolation=cv2.INTER_CUBIC)


def reach_of(before: np.ndarray, after: np.ndarray, pixels: float) -> float:  # [V,2] each
    """Pixels over which the movement around a head falls to a third; pixels: per millimetre."""
    return max(REACH * pixels, STEEP * float(np.linalg.norm(after - before, axis=1).max()))


def grid_around(vertices: np.ndarray, reach: float, size: tuple[int, int]) -> Grid | None:
    """The part of a picture of `size` (h, w) that a head [V,2] and what follows it fills; reach: as `reach_of`. None
    for a head outside the picture."""
    low = np.floor(vertices.min(axis=0) - ROOM * reach).astype(int).clip(0)
    high = np.ceil(vertices.max(axis=0) + ROOM * reach).astype(int).clip(max=np.array(size[::-1]) - 1) + 1
    width, height = (high - low).tolist()
    if min(width, height) < 8:
        return None
    step = max(1.0, max(width, height) / SIDE)
    return Grid(int(low[0]), int(low[1]), width, height, (max(8, round(height / step)), max(8, round(width / step))))


def draw_on(grid: Grid, vertices: np.ndarray, faces: np.ndarray) -> Drawing:  # [V,3] pixels of the picture
    points = grid.drawn(vertices[:, :2])
    return Drawing(grid, *rasterise(points, vertices[:, 2], faces, grid.shape, backfaces=False))


def movement(
    drawing: Drawing,  # of the head after the edit
    before: np.ndarray,  # [V,2] pixels
    after: np.ndarray,  # [V,2]
    faces: np.ndarray,
    pixels: float,
    size: tuple[int, int],
    still: np.ndarray | None = None,  # bool [h,w]
) -> Field:
    """pixels: per millimetre. size: (h, w) of the picture. still: where other people are, who do not move along."""
    cv2, grid = opencv(), drawing.grid
    known = drawing.index >= 0
    shift = interpolate(before - after, faces, drawing.index, drawing.barycentric)
    if still is not None:
        known = known | still
    inside = _inside(grid, size)[..., None]
    finer = float(grid.scale.mean())  # pixels of the drawing per pixel of the picture
    shift = extended(shift * inside, known, finer * reach_of(before, after, pixels) / grid.shape[1])
    shift = cv2.GaussianBlur(shift, (0, 0), max(0.6, SMOOTHING * finer * pixels)) * inside
    return Field(grid, shift.astype(np.float32))


def _inside(grid: Grid, size: tuple[int, int]) -> np.ndarray:
    """1 inside, falling smoothly to 0 at the edges of the grid, which may be the picture's."""
    height, width = grid.shape
    away = []
    for count in (height, width):
        place = np.arange(count)
        away.append(np.minimum(place, place[::-1]) / (EDGE * max(grid.shape)))
    return ramp(np.minimum.outer(*away), 0, 1).astype(np.float32)
