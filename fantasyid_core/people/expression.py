"""Expressions of the face: displacement fields for an open mouth, a smile and raised brows.

A blink and the gaze move no vertex; `paint_kernels` paints them. Numbers are millimetres, as in `surface`.
"""

from __future__ import annotations

import numpy as np

from ..shape.ownhead.surface import bump, pushes, smooth_step

EXPRESSION_NAMES = ("mouth_open", "smile", "brows_up")
"""Expressions with a displacement field, each from 0 to 1."""

LIPS_Y, MOUTH_HALF = -65.0, 26.0
LIP_BAND = 5.0
"""Half height of the band around the line of the lips that an opening mouth stretches; the inside of the mouth is
painted into it so that the lips keep their height, see `paint_kernels.mouth_gap`."""
JAW_DROP = 23.0

# centre, width, push; rows with x > 0 are mirrored
_SMILE = np.array(
    [
        [26, -64, 76, 13, 10, 40, 6.5, 6.5, -4],  # corners of the mouth: out, up, back
        [13, -61, 86, 9, 5, 40, 1, 1.2, -1],  # upper lip
        [0, -70, 86, 16, 7, 40, 0, 1.0, -1],  # lower lip, stretched
        [42, -33, 66, 17, 13, 40, 1.5, 4.0, 4.0],  # cheeks
        [31, -9, 80, 17, 5, 40, 0, 1.6, 1.0],  # lower lids
        [14, -37, 95, 9, 8, 40, 1.2, 0.8, 0],  # wings of the nose
    ]
)
_BROWS = np.array(
    [
        [31, 23, 86, 25, 10, 40, 0, 6.5, 0],
        [0, 24, 88, 14, 10, 40, 0, 3.0, 0],
        [0, 48, 86, 45, 14, 40, 0, 2.0, 0],  # forehead
    ]
)


def expression_fields(points: np.ndarray) -> np.ndarray:  # [N,3] -> [3,N,3]
    """Displacements in millimetres, in the order of `EXPRESSION_NAMES`, for the value 1."""
    return np.stack([_mouth_open(points), pushes(points, _SMILE), pushes(points, _BROWS)])


def _mouth_open(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    below = LIPS_Y - y
    parted = ((below + LIP_BAND) / (2 * LIP_BAND)).clip(0, 1)  # linear: `mouth_gap` relies on it
    together = smooth_step(below, -26, 26)
    parting = (1 - (x / MOUTH_HALF) ** 2).clip(0, 1) * smooth_step(z, 45, 65)
    jaw = (together + (parted - together) * parting) * smooth_step(z, -12, 58)
    pull = bump(points, (0, -56, 88), (16, 6, 40))  # the upper lip rises a little
    return np.stack([-0.05 * x * jaw, -JAW_DROP * jaw + 1.2 * pull, -7 * jaw], axis=1)
