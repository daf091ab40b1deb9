"""The raw displacement field of each control in face coordinates (see `places`); `controls` mixes and scales them.

A field is a function of (a, y, z), where a is the distance from the middle of the face, and gives a movement
outwards, up and ahead; so it is the same on both sides. All numbers are millimetres on a head of mean size.
Fields change slowly: a slope below one is what keeps a moved mesh from folding or running into itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .places import EYE

Parts = tuple  # outwards, up, ahead: arrays [N] or 0
Field = Callable[[np.ndarray, np.ndarray, np.ndarray], Parts]

EAR = 74.0, -27.0, -64.0
"""Where the ear sits on the head: what an ear is scaled about, and what it follows."""


def ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smoothly from 0 at `start` to 1 at `end`, which may be the lower one."""
    t = ((values - start) / (end - start)).clip(0, 1)
    return t * t * (3 - 2 * t)


def hill(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    """1 in the middle, falling smoothly to 0 at `width` to either side."""
    return ramp(abs(values - middle), width, 0)


def dome(a, y, z, middle: tuple, radii: tuple) -> np.ndarray:
    """1 in the middle, falling smoothly to 0 on an ellipsoid."""
    squared = sum(((v - m) / r) ** 2 for v, m, r in zip((a, y, z), middle, radii, strict=True))
    return ramp(np.sqrt(squared), 1, 0)


def around_eye(a, y, z) -> np.ndarray:
    """1 on the eyeball and the lids, falling to 0 beyond the brow and beside the nose."""
    away = np.sqrt((a - EYE[0]) ** 2 + (1.15 * y) ** 2 + (0.6 * (z - 4)) ** 2)
    return ramp(away, 36, 17)


def around_ear(a, y, z) -> np.ndarray:
    """1 on the ear, falling to 0 on the head around it."""
    away = np.sqrt(((y + 28) / 33) ** 2 + ((z + 76) / 19) ** 2)
    return ramp(away, 1.75, 1.0) * ramp(a, 40, 58)


def head_width(a, y, z):
    behind = 1 - 0.9 * ramp(z, -70, 5)
    return 7.5 * ramp(a, 0, 76) * ramp(y, -60, 30) * behind, 0, 0


def head_length(a, y, z):
    return 0, 10 * ramp(y, 55, 110), 0


def head_depth(a, y, z):
    return 0, 0, -11 * ramp(z, -70, -172) * ramp(y, -125, -40)


def forehead_height(a, y, z):
    there = ramp(y, 20, 72) * ramp(y, 125, 72) * ramp(z, -75, 0)
    return 0, 8 * there, 2 * there


def forehead_width(a, y, z):
    return 6 * ramp(a, 5, 58) * ramp(y, 8, 38) * ramp(y, 105, 55) * ramp(z, -75, -12), 0, 0


def forehead_slope(a, y, z):
    return 0, 0, -8 * ramp(y, 22, 75) * ramp(y, 130, 75) * ramp(z, -90, 0)


def brow_ridge(a, y, z):
    there = ramp(y, 0, 18) * ramp(y, 42, 20) * ramp(a, 74, 42) * ramp(z, -25, 5)
    return 0, 0, 4.5 * there


def brow_height(a, y, z):
    there = ramp(y, 4, 20) * ramp(y, 52, 26) * ramp(a, 78, 46) * ramp(z, -30, 0)
    return 0, 5 * there, 0


def eye_size(a, y, z):
    near = 0.13 * around_eye(a, y, z) * ramp(a, 0, 17)
    return near * (a - EYE[0]), near * y, near * z


def eye_spacing(a, y, z):
    return 3.2 * around_eye(a, y, z) * ramp(a, 0, 17), 0, 0


def eye_height(a, y, z):
    return 0, 3.5 * around_eye(a, y, z) * ramp(a, 0, 17), 0


def eye_depth(a, y, z):
    return 0, 0, -3.5 * around_eye(a, y, z) * ramp(a, 0, 17)


def eye_tilt(a, y, z):
    near = 0.12 * around_eye(a, y, z) * ramp(a, 0, 17)
    return -near * y, near * (a - EYE[0]), 0


def nose_length(a, y, z):
    return 0, -4 * ramp(y, 4, -34) * ramp(y, -58, -38) * ramp(a, 32, 14) * ramp(z, 4, 26), 0


def nose_width(a, y, z):
    along = ramp(y, -56, -36) * ramp(y, 0, -32)
    return 3.2 * ramp(a, 0, 14) * ramp(a, 36, 18) * along * ramp(z, 4, 24), 0, 0


def nose_bridge(a, y, z):
    return 0, 0, 4 * hill(y, -9, 26) * ramp(a, 19, 2) * ramp(z, 8, 26)


def nose_tip_height(a, y, z):
    there = ramp(y, -50, -32) * ramp(y, -2, -26) * ramp(a, 24, 5) * ramp(z, 22, 46)
    return 0, 4.5 * there, 1.0 * there


def nose_projection(a, y, z):
    along = ramp(y, -58, -34) * ramp(y, 2, -26)
    return 0, 0, 5.5 * along * ramp(a, 26, 7) * ramp(z, 20, 52)


def face_width(a, y, z):
    band = ramp(y, -98, -44) * ramp(y, 78, -16)
    return 0.11 * a * ramp(a, 22, 66) * band * (1 - 0.5 * ramp(z, -25, 25)) * ramp(z, -150, -75), 0, 0


def cheekbone_width(a, y, z):
    there = dome(a, y, z, (53, -22, 2), (34, 30, 40))
    return 4.2 * there, 0, 2.0 * there


def cheekbone_height(a, y, z):
    there = dome(a, y, z, (53, -28, 2), (36, 36, 44))
    shade = hill(y, -13, 16) - hill(y, -42, 16)
    return 1.2 * there * shade, 5 * there, 0.8 * there * shade


def cheek_fullness(a, y, z):
    there = dome(a, y, z, (44, -51, 8), (29, 31, 40))
    return 4.0 * there, 0, 4.5 * there


def mouth_width(a, y, z):
    along = hill(y, -64, 24)
    return 4 * ramp(a, 0, 24) * ramp(a, 50, 25) * along * ramp(z, -5, 18), 0, 0


def mouth_height(a, y, z):
    return 0, 3.5 * ramp(y, -90, -71) * ramp(y, -38, -58) * ramp(a, 50, 26) * ramp(z, -5, 18), 0


def upper_lip_fullness(a, y, z):
    there = ramp(y, -63.4, -57.5) * ramp(y, -45, -57) * ramp(a, 27, 8) * ramp(z, 18, 32)
    return 0, 1.3 * there, 2.6 * there


def lower_lip_fullness(a, y, z):
    there = ramp(y, -62.8, -68.5) * ramp(y, -84, -70) * ramp(a, 26, 8) * ramp(z, 18, 31)
    return 0, -1.3 * there, 2.6 * there


def jaw_width(a, y, z):
    along = ramp(y, -115, -80) * ramp(y, -34, -74)
    return 6.5 * ramp(a, 16, 55) * along * ramp(z, -100, -50) * ramp(z, 35, -15), 0, 0


def jaw_sharpness(a, y, z):
    corner = dome(a, y, z, (58, -82, -42), (34, 26, 34))
    hollow = dome(a, y, z, (46, -84, -6), (30, 30, 34))
    below = dome(a, y, z, (26, -115, -14), (34, 16, 40))
    return 3.0 * corner - 3.2 * hollow, -2.5 * corner + 3.0 * below, -1.0 * corner


def chin_height(a, y, z):
    return 0, -5 * ramp(y, -76, -108) * ramp(z, -32, 8) * ramp(a, 52, 14), 0


def chin_width(a, y, z):
    return 4.5 * ramp(a, 0, 17) * ramp(a, 46, 19) * ramp(y, -74, -98) * ramp(z, -28, 8), 0, 0


def chin_projection(a, y, z):
    return 0, 0, 6 * ramp(y, -74, -96) * ramp(a, 44, 6) * ramp(z, -42, 24)


def ear_size(a, y, z):
    near = 0.16 * around_ear(a, y, z)
    return near * (a - EAR[0]), near * (y - EAR[1]), near * (z - EAR[2])


def ear_angle(a, y, z):
    near = around_ear(a, y, z) * ramp(a, 73, 90)
    return 5 * near, 0, 1.5 * near


def neck_width(a, y, z):
    there = ramp(y, -88, -125) * (1 - 0.75 * ramp(y, -130, -205)) * ramp(a, 0, 30)
    along = ramp(y, -100, -132) * (1 - 0.75 * ramp(y, -130, -205)) * ramp(abs(z + 78), 0, 30)
    return 0.13 * there * a, 0, 0.10 * along * (z + 78)


def double_chin(a, y, z):
    there = dome(a, y, z, (0, -119, -12), (46, 26, 40))
    return 0, -7 * there, 2.5 * there


def jowls(a, y, z):
    there, hollow = dome(a, y, z, (37, -93, 4), (26, 22, 30)), dome(a, y, z, (22, -84, 22), (14, 18, 24))
    return 2.2 * there, -2.5 * there, 1.0 * there - 1.0 * hollow


FIELDS: dict[str, Field] = {
    field.__name__: field
    for field in (
        head_width,
        head_length,
        head_depth,
        forehead_height,
        forehead_width,
        forehead_slope,
        brow_ridge,
        brow_height,
        eye_size,
        eye_spacing,
        eye_height,
        eye_depth,
        eye_tilt,
        nose_length,
        nose_width,
        nose_bridge,
        nose_tip_height,
        nose_projection,
        face_width,
        cheekbone_width,
        cheekbone_height,
        cheek_fullness,
        mouth_width,
        mouth_height,
        upper_lip_fullness,
        lower_lip_fullness,
        jaw_width,
        jaw_sharpness,
        chin_height,
        chin_width,
        chin_projection,
        ear_size,
        ear_angle,
        neck_width,
        double_chin,
        jowls,
    )
}
"""Name of a control -> its raw field; the last ones serve mixtures only."""
