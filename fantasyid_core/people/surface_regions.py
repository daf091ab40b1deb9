"""Names for parts of the head: one region for every vertex, and landmarks by vertex.

Left and right are those of the picture. Numbers in tables are millimetres on the average head, as in `surface`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..shape.ownhead.mesh import METRE, head_mesh, nearest_vertices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Ellipsoids on one half: centre and reach (x, y, z). The first that holds a vertex gives it its name.
_ELLIPSOIDS = [
    ("eyeball", (31.5, 0.5, 82), (16.8, 6.3, 30)),
    ("eye", (31.5, 1.5, 82), (23, 14, 30)),
    ("brow", (31, 22, 86), (23, 8.5, 40)),
    ("nose", (0, -18, 98), (13, 26, 34)),
    ("nose", (0, -37, 98), (21.5, 13, 24)),
    ("upper lip", (0, -60.5, 88), (25.6, 4.8, 30)),
    ("lower lip", (0, -70, 88), (24.5, 6.2, 30)),
    ("ear", (80, -8, -20), (17, 36, 25)),
    ("mouth", (0, -63, 84), (34, 18, 34)),
    ("chin", (0, -101, 70), (27, 22, 50)),
]
_SIDED = ("eyeball", "eye", "brow", "ear", "cheek", "jaw", "temple")

REGIONS = (
    "eyeball left", "eyeball right", "eye left", "eye right", "brow left", "brow right", "nose", "upper lip",
    "lower lip", "mouth", "ear left", "ear right", "chin", "cheek left", "cheek right", "jaw left", "jaw right",
    "temple left", "temple right", "forehead", "scalp", "neck",
)  # fmt: skip
"""Every vertex belongs to exactly one of these."""

# Landmarks of one half, x >= 0, in the order of the 68 points of iBUG seen from the middle outwards.
_JAW = [
    (0, -115, 60), (15, -111, 68), (28, -106, 58), (38, -98, 48), (46, -88, 28), (51, -76, 14), (58, -56, 12),
    (64, -34, 14), (68, -10, 16),
]  # fmt: skip
_BROW = [(14, 20, 88), (22, 22.5, 88), (31, 23.5, 86), (40, 22.5, 82), (49, 19, 74)]
_BRIDGE = [(0, 4, 93), (0, -8, 97), (0, -20, 102), (0, -33, 109)]
_NOSTRILS = [(0, -46, 92), (7, -44, 95), (15, -42, 92)]
_EYE = [  # from the nose, over the top
    (15, -1, 80), (24.5, 6.4, 82), (38, 6.4, 80), (48, 1.5, 75), (38, -5, 80), (25, -5, 82),
]  # fmt: skip
_OUTER_LIPS = [
    (25, -65, 78), (14, -60, 86), (3.6, -56.2, 90), (0, -57, 90), (17.2, -69.2, 84), (6.8, -74.4, 88), (0, -75, 88),
]  # fmt: skip
_INNER_LIPS = [(19, -65, 82), (8.1, -65, 88), (0, -65, 89)]


@cache
def region_of_vertices() -> np.ndarray:
    """Index into `REGIONS` of every vertex, uint8 [V], read-only."""
    places = head_mesh().template / METRE
    regions = np.array([REGIONS.index(_name(place)) for place in places], np.uint8)
    regions.setflags(write=False)
    return regions


def region(name: str) -> np.ndarray:
    """Indices of the vertices of a region, or of both sides of one ("eye"). Raises ValueError for unknown names."""
    wanted = [row for row, full in enumerate(REGIONS) if full == name or full.rsplit(" ", 1)[0] == name]
    if name not in REGIONS and name not in _SIDED:
        raise ValueError(f"Unknown region {name!r}. There are: {', '.join(REGIONS)}.")
    return np.flatnonzero(np.isin(region_of_vertices(), wanted))


@cache
def landmark_vertices() -> np.ndarray:
    """The vertices of 68 landmarks, int64 [68], in the usual order (iBUG): jaw from left to right 0-16, brows 17-26,
    bridge of the nose 27-30, nostrils 31-35, eyes 36-47, outer lips 48-59, inner lips 60-67.

    With the mouth closed the inner upper and lower lip are the same vertices.
    """
    left = lambda rows: [(-x, y, z) for x, y, z in rows]  # noqa: E731
    eye_left = [left(_EYE)[i] for i in (3, 2, 1, 0, 5, 4)]
    corner, side, peak, middle, low_side, low, lowest = _OUTER_LIPS
    inner, inner_side, inner_middle = _INNER_LIPS
    rows = [*left(_JAW[:0:-1]), *_JAW, *left(_BROW[::-1]), *_BROW, *_BRIDGE]
    rows += [*left(_NOSTRILS[:0:-1]), *_NOSTRILS, *eye_left, *_EYE]
    rows += [*left([corner, side, peak]), middle, peak, side, corner, low_side, low, lowest, *left([low, low_side])]
    rows += [*left([inner, inner_side]), inner_middle, inner_side, inner, inner_side, inner_middle, *left([inner_side])]
    return nearest_vertices(rows)


def five_points(points: ArrayLike) -> np.ndarray:
    """Eye left, eye right, tip of the nose, mouth left, mouth right [...,5,D] from points of all vertices [...,V,D]."""
    landmarks = np.asarray(points)[..., landmark_vertices(), :]
    eyes = [landmarks[..., 36:42, :].mean(axis=-2), landmarks[..., 42:48, :].mean(axis=-2)]
    return np.stack([*eyes, landmarks[..., 30, :], landmarks[..., 48, :], landmarks[..., 54, :]], axis=-2)


def _name(place: np.ndarray) -> str:
    x, y, z = abs(place[0]), place[1], place[2]
    name = next(
        (name for name, centre, reach in _ELLIPSOIDS if (((np.array((x, y, z)) - centre) / reach) ** 2).sum() < 1), None
    )
    name = name or _remaining(x, y, z)
    return f"{name} {'left' if place[0] < 0 else 'right'}" if name in _SIDED else name


def _remaining(x: float, y: float, z: float) -> str:
    if y < -118 or (y < -95 and z < 30) or (y < -40 and z < -25):
        return "neck"
    if y > 72 or (z < -5 and y > -40):
        return "scalp"
    if y > 8:
        return "forehead" if x < 46 and z > 40 else "temple"
    return "jaw" if y < -72 else "cheek"
