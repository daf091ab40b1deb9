"""The average head as a surface: where a point of the unit sphere lies on it.

Sculpted as a sculptor would: three silhouettes (front, side, back) span the skull, jaw and neck; then nose, eyes,
lips, chin and ears are pushed out of it or into it. Original work: the numbers are proportions from drawing.
Numbers in this file are millimetres: x to the right of the picture, y up with the eyes at 0, z to the camera.
"""

from __future__ import annotations

import numpy as np

# Rows from the crown to the bottom of the neck: front y, z; side y, x; back y, z; middle z; roundness of the section.
_SILHOUETTES = np.array(
    [
        [122, -12, 122, 0, 122, -12, -12, 2.0],
        [120.3, 7, 120.5, 18, 120, -29, -11.5, 2.0],
        [115, 25, 115.5, 35, 113.5, -48, -11, 2.0],
        [98, 58, 98, 57, 94, -77, -9, 2.05],
        [66, 80, 64, 71.5, 59, -97, -8, 2.15],
        [29, 88.5, 26, 75, 18, -101, -7, 2.25],
        [3, 85, 2, 73, -10, -95, -6, 2.2],
        [-20, 84, -17, 70.5, -30, -85, -5, 2.2],
        [-42, 85, -37, 66, -47, -76, -6, 2.15],
        [-64, 86, -56, 60.5, -63, -69, -8, 2.1],
        [-84, 83, -70, 55, -76, -66, -11, 1.98],
        [-103, 77, -82, 48, -88, -65, -15, 1.78],
        [-112, 63, -92, 45, -101, -65, -18, 1.78],
        [-115, 41, -104, 44.5, -117, -66, -20, 1.92],
        [-126, 27, -121, 45, -133, -67, -20, 2.0],
        [-150, 25, -148, 47, -152, -70, -21, 2.0],
        [-180, 28, -180, 53, -180, -75, -22, 2.0],
        [-186, -22, -186, 0, -186, -22, -22, 2.0],
    ],
    float,
)
_ROWS = np.array(
    [0, 4.5, 9, 19, 30, 41, 48.5, 56, 63.5, 71, 79, 87, 92, 98, 104, 114, 132, 180]
) / 180  # of the way down the sphere  # fmt: skip

# centre x, y, z; width x, y, z; push x, y, z. Rows with x > 0 are mirrored. Top to bottom.
_PUSHES = np.array(
    [
        [0, 92, 70, 60, 28, 60, 0, 0, -2],  # the forehead leans back
        [24, 56, 90, 20, 18, 40, 0, 0, 1.5],  # frontal bumps
        [25, 19, 90, 21, 8, 40, 0, 0, 4.5],  # brow ridge
        [0, 17, 90, 13, 11, 40, 0, 0, 2.0],  # between the brows
        [58, 20, 45, 12, 20, 30, -3, 0, 0],  # temples
        [33, 2, 80, 18, 11, 40, 0, 0, -10],  # eye sockets
        [14, 2, 85, 6, 9, 40, 0, 0, -6],  # corners of the eyes beside the nose
        [32, 0, 80, 13, 9, 40, 0, 0, 8.5],  # eyeballs
        [30, -15, 80, 17, 5, 40, 0, 0, -1.5],  # below the eyes
        [50, -17, 55, 18, 13, 30, 2.5, 0, 3.5],  # cheekbones
        [38, -40, 70, 16, 14, 40, 0, 0, 2.0],  # cheeks
        [52, -55, 45, 14, 18, 30, -2.5, 0, -1],  # hollows below them
        [23, -48, 80, 5, 13, 40, 0, 0, -2.0],  # folds beside nose and mouth
        [0, -52, 85, 3, 6, 40, 0, 0, -1.3],  # philtrum
        [0, -57, 85, 26, 16, 40, 0, 0, 3.5],  # round of the teeth
        [0, -60, 85, 17, 4.2, 40, 0, -0.6, 4.8],  # upper lip
        [0, -65.5, 85, 25, 1.9, 40, 0, 0, -3.2],  # where the lips meet
        [0, -71, 85, 14, 4.6, 40, 0, 0, 5.2],  # lower lip
        [26, -65, 80, 4.5, 4.5, 40, 0, 0, -3.0],  # corners of the mouth
        [0, -83, 85, 20, 6, 40, 0, 0, -4.0],  # fold above the chin
        [0, -101, 80, 17, 12, 40, 0, -1, 7.5],  # chin
        [36, -97, 55, 14, 12, 40, 0, 2, 0],  # between chin and jaw
        [52, -76, 12, 12, 13, 26, 2.5, -2, 0],  # angles of the jaw
        [17, -140, 28, 9, 30, 30, 0, 0, 2.5],  # tendons of the neck
    ],
    float,
)

# The nose, top to bottom: y, height of the ridge over the face, half width of the ridge.
_NOSE = np.array(
    [
        [16, 0, 10], [8, 3.5, 7.5], [0, 6.5, 7.0], [-10, 11, 7.6], [-20, 16.5, 8.6], [-28, 21.5, 9.8],
        [-34, 24.5, 11], [-38, 23, 11.5], [-42, 15, 11.5], [-46, 5, 11], [-50, 1, 11], [-54, 0, 11],
    ],
    float,
)  # fmt: skip
_EAR_MIDDLE, _EAR_SIZE = (-8.0, -12.0), (31.0, 15.0)  # y, z


def surface(directions: np.ndarray) -> np.ndarray:
    """Points of the average head in millimetres, float64 [N,3], for points of the unit sphere [N,3].

    +y of the sphere is the crown, +z the middle of the face. The neck is closed below, at y = -186.
    """
    turn, fall = np.arctan2(directions[:, 0], directions[:, 2]), np.arccos(directions[:, 1].clip(-1, 1))
    points = skull(turn, fall / np.pi)
    points += _nose(points) + pushes(points, _PUSHES)
    return points + _ears(points)


def skull(turn: np.ndarray, row: np.ndarray) -> np.ndarray:  # [N], [N] -> [N,3]
    """Points without nose, eyes, lips and ears; turn: radians from the front, row: 0 at the crown, 1 below the neck."""
    front_y, front, side_y, side, back_y, back, middle, roundness = smooth_curve(row, _ROWS, _SILHOUETTES).T
    sine, cosine = np.sin(turn), np.cos(turn)
    depth = np.where(cosine > 0, front - middle, middle - back)
    # r with (|sin|/side)^e + (|cos|/depth)^e = r^-e, written so that it holds where the section is a point
    level = np.hypot(abs(sine) * depth, abs(cosine) * side).clip(1e-9)
    shape = (abs(sine) * depth / level) ** roundness + (abs(cosine) * side / level) ** roundness
    radius = side * depth / level / shape.clip(1e-9) ** (1 / roundness)
    ahead, behind = cosine.clip(0) ** 1.4, (-cosine).clip(0) ** 1.4
    y = side_y + (front_y - side_y) * ahead + (back_y - side_y) * behind
    return np.stack([radius * sine, y, middle + radius * cosine], axis=1)


def _nose(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    y = y.clip(_NOSE[-1, 0], _NOSE[0, 0])
    height, width = smooth_curve(-y, -_NOSE[:, 0], _NOSE[:, 1:]).T
    ridge = height * np.exp(-((abs(x) / width) ** 2.1))
    wings = 9.5 * bump(points, (12.5, -37, 85), (5.2, 6.0, 60)) + 9.5 * bump(points, (-12.5, -37, 85), (5.2, 6.0, 60))
    creases = -2.2 * (bump(points, (20, -36, 85), (3, 7, 60)) + bump(points, (-20, -36, 85), (3, 7, 60)))
    out = (ridge + wings + creases) * smooth_step(z, 30, 60)
    down = -3.0 * bump(points, (0, -38, 85), (10, 5, 60)) * smooth_step(z, 30, 60)
    return np.stack([0 * x, down, out], axis=1)


def _ears(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    up = (y - _EAR_MIDDLE[0]) / _EAR_SIZE[0]
    along = (z - _EAR_MIDDLE[1] + 6 * up) / (_EAR_SIZE[1] * (1 + 0.18 * up))
    distance = np.hypot(up, along)
    there = smooth_step(-distance, -1.12, -0.72) * smooth_step(abs(x), 40, 60)
    hollow = np.exp(-(((up + 0.05) / 0.5) ** 2 + ((along - 0.2) / 0.5) ** 2))
    out = there * (10 - 6 * along - 5 * hollow)
    return np.stack([np.sign(x) * out, 0 * y, -9 * there], axis=1)


def pushes(points: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The sum of Gaussian pushes at points [N,3]; rows: centre, width, push (three numbers each), x > 0 mirrored."""
    total = np.zeros_like(points)
    for row in table:
        centre, width, push = row[:3], row[3:6], row[6:]
        total += bump(points, centre, width)[:, None] * push
        if centre[0] > 0:
            flip = np.array([-1, 1, 1])
            total += bump(points, centre * flip, width)[:, None] * (push * flip)
    return total


def bump(points: np.ndarray, centre, width) -> np.ndarray:  # [N,3] -> [N]
    """1 in the centre, exp(-1) one width away from it."""
    return np.exp(-(((points - np.asarray(centre)) / np.asarray(width)) ** 2).sum(axis=1))


def smooth_step(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smoothly from 0 at `start` to 1 at `end`."""
    t = ((values - start) / (end - start)).clip(0, 1)
    return t * t * (3 - 2 * t)


def smooth_curve(at: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:  # [N], [K], [K,C] -> [N,C]
    """A cubic Hermite curve through values at increasing knots, without overshoot (slopes: Fritsch and Carlson)."""
    steps = np.diff(knots)[:, None]
    rises = np.diff(values, axis=0) / steps
    same_way = rises[1:] * rises[:-1] > 0
    before, after = np.where(same_way, rises[:-1], 1), np.where(same_way, rises[1:], 1)
    heavy, light = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    inner = same_way * (heavy + light) / (heavy / before + light / after)
    slopes = np.concatenate([rises[:1], inner, rises[-1:]])
    left = np.searchsorted(knots, at, side="right").clip(1, len(knots) - 1) - 1
    step = steps[left]
    t = ((at - knots[left])[:, None] / step).clip(0, 1)
    rise = values[left + 1] - values[left]
    return (
        values[left] + rise * t * t * (3 - 2 * t) + step * t * (1 - t) * (slopes[left] * (1 - t) - slopes[left + 1] * t)
    )
