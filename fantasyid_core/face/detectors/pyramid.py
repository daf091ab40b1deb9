"""One grey picture at many sizes, and square views of any place, size and turn in it."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..pose import turn
from .cascade import WINDOW

STEP = 1.2  # from one size to the next
SMALLEST = 18  # pixels along the shorter side of the smallest size
REACH = 44  # pixels that a view may reach over the edge, which is repeated


class Pose(NamedTuple):
    """A square window: its middle and side in pixels, counted from the picture's corner; the angle in degrees by
    which a face in it is turned clockwise."""

    x: float
    y: float
    side: float
    angle: float


class Pyramid:
    """`picture` (PIL, mode L) at sizes in steps of `STEP`, down to `SMALLEST`."""

    def __init__(self, picture: Image.Image, step: float = STEP):
        self.size = np.array(picture.size)
        count = 1 + int(max(0.0, np.log(self.size.min() / SMALLEST) / np.log(step)))
        sizes = [np.round(self.size / step**nth).astype(int) for nth in range(count)]
        self.levels = [picture]
        for size in sizes[1:]:
            # From the smallest level of twice the size or more, as good as the picture itself, and faster.
            source = next(
                level for level in reversed(self.levels) if (level.size >= 2 * size).all() or level is picture
            )
            self.levels.append(source.resize(size.tolist(), Image.Resampling.BILINEAR))
        self.zooms = self.size / sizes  # [N, 2] pixels of the picture per pixel of a level; rounding parts the axes

    @cached_property
    def _framed(self) -> list[Image.Image]:
        return [Image.fromarray(np.pad(np.asarray(level), REACH, mode="edge")) for level in self.levels]

    def view(self, pose: Pose, side: int, stretch: float = 1.0, mirrored: bool = False) -> np.ndarray:
        """np.uint8 [side,side] around a window, which becomes `WINDOW` pixels large and upright.

        stretch: shown wider by this factor, as the narrowed face of a head that is turned to the side needs.
        """
        scale = pose.side / WINDOW
        nth = max(0, int(np.searchsorted(self.zooms[:, 0], scale * 1.001)) - 1)
        across = turn(pose.angle) * scale / self.zooms[nth][:, None] * ((-1 if mirrored else 1) / stretch, 1)
        x, y = np.array(pose[:2]) / self.zooms[nth] - across.sum(axis=1) * side / 2 + REACH
        (a, b), (c, d) = across
        view = self._framed[nth].transform(
            (side, side), Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR, fillcolor=128
        )
        return np.asarray(view)
