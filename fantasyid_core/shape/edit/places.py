"""The anatomical places of a face: the vertex of each place on every known mesh, and its position on a mean head.

Left and right are the left and right of the picture, seen from the front: left is negative x. Face coordinates are
millimetres on a head of mean size: x to the right, y up, z to the viewer, the origin midway between the middles of
the eyeballs. FLAME's column and the coordinates are read off the mesh of `transform.pkl`; the project's own heads
have the same places in their own millimetres.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

# name: vertex on FLAME's mesh, in the middle; place in face coordinates
_MIDDLE = {
    "crown": (3567, (0, 102, -66)),
    "crown_front": (3565, (0, 89, -16)),
    "crown_back": (3539, (0, 90, -123)),
    "forehead_top": (3554, (0, 73, 5)),
    "forehead": (3505, (0, 56, 17)),
    "forehead_low": (3786, (0, 33, 24)),
    "glabella": (3704, (0, 17, 25)),
    "nasion": (3553, (0, 4, 27)),
    "nose_bridge": (3548, (0, -10, 39)),
    "nose_tip": (3564, (0, -28, 51)),
    "nose_base": (3556, (0, -42, 37)),
    "lip_upper": (3543, (0, -57, 38)),
    "lip_upper_seam": (3533, (0, -62, 33)),
    "lip_lower_seam": (3509, (0, -63, 33)),
    "lip_lower": (3503, (0, -70, 36)),
    "chin_fold": (3502, (0, -81, 31)),
    "chin": (3401, (0, -95, 32)),
    "chin_bottom": (3414, (0, -111, 20)),
    "under_chin": (3457, (0, -117, -2)),
    "throat": (3463, (0, -127, -20)),
    "neck_front": (3276, (0, -169, -38)),
    "neck_front_low": (3285, (0, -212, -29)),
    "back_high": (3574, (0, 76, -144)),
    "occiput": (3522, (0, 24, -170)),
    "back_low": (3566, (0, -44, -153)),
    "nape": (2036, (0, -93, -132)),
    "neck_back": (3223, (0, -133, -136)),
    "neck_back_low": (3248, (0, -193, -157)),
}

# name: vertex on the right, vertex on the left; place on the right
_PAIRED = {
    "brow_inner": (3851, 3684, (10, 17, 24)),
    "brow_peak": (16, 335, (39, 26, 15)),
    "brow_outer": (3892, 3763, (58, 14, -2)),
    "eye_inner": (3833, 3632, (19, -1, 10)),
    "eye_outer": (1175, 2437, (45, -1, 2)),
    "eye_upper": (3856, 3690, (30, 5, 12)),
    "eye_lower": (991, 2355, (32, -5, 11)),
    "nose_side": (3841, 3647, (7, -5, 28)),
    "nose_wing": (1607, 2743, (18, -33, 29)),
    "nose_crease": (1604, 2740, (19, -37, 25)),
    "nostril": (1675, 2792, (6, -41, 35)),
    "mouth_corner": (1579, 2715, (24, -64, 22)),
    "lip_upper_peak": (1657, 2774, (6, -57, 38)),
    "lip_upper_side": (1696, 2813, (16, -59, 33)),
    "lip_upper_inside": (1737, 2852, (16, -62, 30)),
    "lip_lower_middle": (1803, 2906, (11, -66, 34)),
    "lip_lower_side": (1795, 2898, (17, -68, 30)),
    "lip_lower_inside": (1793, 2896, (15, -64, 29)),
    "under_eye": (2094, 3121, (33, -22, 16)),
    "cheekbone": (590, 2018, (53, -24, 4)),
    "face_side": (2009, 3057, (68, -22, -21)),
    "cheek": (3665, 3435, (44, -49, 13)),
    "cheek_side": (3756, 3485, (66, -48, -30)),
    "mouth_fold": (1584, 2720, (28, -49, 23)),
    "jaw_upper": (3652, 3424, (64, -66, -50)),
    "jaw_corner": (3650, 3423, (58, -78, -43)),
    "jaw_middle": (3587, 3389, (43, -93, -11)),
    "chin_side": (3598, 3395, (17, -106, 20)),
    "temple": (2137, 3156, (62, 30, -16)),
    "forehead_side": (1471, 2608, (45, 50, 0)),
    "head_side": (1980, 3040, (78, 42, -77)),
    "head_top_side": (1888, 2966, (49, 86, -60)),
    "head_back_side": (2026, 3066, (65, 17, -136)),
    "head_front_side": (2157, 3169, (40, 76, -21)),
    "head_back_high": (1457, 2594, (44, 69, -135)),
    "ear_top": (48, 595, (86, 1, -74)),
    "ear_back": (243, 989, (94, -20, -87)),
    "ear_lobe": (91, 662, (78, -58, -66)),
    "ear_front": (270, 1049, (74, -26, -61)),
    "ear_behind": (646, 2145, (75, -27, -96)),
    "under_jaw": (649, 2149, (33, -117, -34)),
    "neck_side": (559, 1934, (52, -113, -72)),
    "neck_low_side": (3253, 3352, (60, -150, -78)),
    "neck_front_side": (1386, 2531, (29, -137, -40)),
    "neck_back_side": (14, 221, (36, -110, -117)),
    "shoulder": (3219, 3322, (102, -169, -95)),
}

SIDES = ("left", "right")
EYE = (31.5, 0.0, 0.0)
"""The middle of the eyeball on the right, in face coordinates."""

# Vertices of the lips, inside and outside, without the corners: lips that are pressed together overlap in space.
_UPPER_LIP = """1657 1659-1670 1694-1697 1719-1720 1734-1743 1748-1751 2774 2776-2787 2811-2814 2836-2837 2849-2858
    2863-2866 3514 3531 3533 3543 3546-3547 3549"""
_LOWER_LIP = """1774-1775 1778 1789 1792-1796 1801-1804 1826-1827 1830-1832 1835-1836 1846 1848-1852 1861-1862 1865-1866
    2881-2882 2885 2892 2895-2899 2904-2907 2928-2935 2937-2941 2944-2945 2948-2949 3497 3500 3503-3504 3506 3509
    3511-3513 3796 3800 3919 3923"""

_FLAME_COUNT, _FLAME_EYEBALLS = 5023, {"right": (3931, 4477), "left": (4477, 5023)}

# The same places on the mean head of `people`, in millimetres. Places that it lacks are left out.
_OWN_MEAN = {
    "crown": (0, 122, -12), "forehead_top": (0, 72, 80), "forehead": (0, 50, 88), "glabella": (0, 17, 92),
    "nasion": (0, 4, 93), "nose_bridge": (0, -10, 99), "nose_tip": (0, -34, 109), "nose_base": (0, -46, 91),
    "lip_upper": (0, -57, 90), "lip_lower": (0, -75, 88), "chin_fold": (0, -83, 84), "chin": (0, -100, 86),
    "chin_bottom": (0, -117, 62), "throat": (0, -125, 32), "neck_front_low": (0, -180, 29), "occiput": (0, 15, -101),
    "nape": (0, -100, -65), "neck_back_low": (0, -180, -75), "brow_inner": (12, 18, 90), "brow_peak": (30, 23, 88),
    "brow_outer": (56, 12, 64), "eye_inner": (15, -1, 80), "eye_outer": (48, 1.5, 75), "eye_upper": (31, 7, 82),
    "eye_lower": (31, -6, 82), "nose_wing": (16, -37, 96), "mouth_corner": (25, -65, 78), "cheekbone": (52, -14, 60),
    "face_side": (68, -16, 22), "cheek": (46, -45, 60), "cheek_side": (62, -45, 10), "jaw_corner": (49, -80, 14),
    "jaw_middle": (40, -96, 48), "chin_side": (17, -105, 75), "temple": (64, 30, 48), "forehead_side": (45, 50, 72),
    "head_side": (74, 40, -8), "ear_top": (84, 20, -26), "ear_lobe": (78, -38, -10), "ear_front": (72, -8, 4),
    "neck_side": (48, -110, -19), "neck_low_side": (50, -150, -20),
}  # fmt: skip

# The same places on `head.synthetic_head`.
_OWN_SIMPLE = {
    "crown": (0, 108, 0), "forehead_top": (0, 75, 55), "forehead": (0, 50, 70), "glabella": (0, 25, 82),
    "nasion": (0, 12, 86), "nose_bridge": (0, -2, 90), "nose_tip": (0, -20, 102), "nose_base": (0, -33, 88),
    "lip_upper": (0, -43, 87), "lip_lower": (0, -61, 86), "chin_fold": (0, -70, 80), "chin": (0, -88, 82),
    "chin_bottom": (0, -98, 66), "neck_front_low": (0, -142, 22), "occiput": (0, 10, -105), "nape": (0, -90, -75),
    "neck_back_low": (0, -142, -80), "brow_inner": (12, 25, 82), "brow_peak": (30, 29, 76), "brow_outer": (50, 20, 58),
    "eye_inner": (19, 11, 76), "eye_outer": (44, 12, 66), "eye_upper": (31, 18, 75), "eye_lower": (31, 6, 75),
    "nose_wing": (14, -24, 88), "mouth_corner": (20, -52, 76), "cheekbone": (46, -14, 60), "face_side": (64, -12, 25),
    "cheek": (42, -45, 50), "cheek_side": (58, -40, 15), "jaw_corner": (50, -65, 10), "jaw_middle": (38, -80, 40),
    "chin_side": (20, -90, 68), "temple": (60, 30, 40), "forehead_side": (42, 50, 58), "head_side": (74, 40, -8),
    "ear_top": (82, 18, -20), "ear_lobe": (76, -26, -20), "ear_front": (76, -2, 2), "neck_side": (52, -100, -28),
    "neck_low_side": (52, -130, -28),
}  # fmt: skip


class MeshPlaces(NamedTuple):
    """vertices: name -> index, as "nose_tip" or "ear_top_left". coordinates: name -> [3] in face coordinates.
    eyeballs: side -> first index and the one after the last; empty when the eyes are part of the skin.
    lips: "upper" and "lower" -> indices; empty where the mouth is part of the skin."""

    vertices: dict[str, int]
    coordinates: dict[str, np.ndarray]
    eyeballs: dict[str, tuple[int, int]]
    lips: dict[str, np.ndarray]


@cache
def mesh_places(vertex_count: int) -> MeshPlaces:
    """The places of the mesh with this number of vertices: FLAME's, or one of the project's own heads'.

    Raises ValueError for any other number.
    """
    if vertex_count == _FLAME_COUNT:
        vertices = {name: index for name, (index, _) in _MIDDLE.items()}
        for name, (right, left, _) in _PAIRED.items():
            vertices |= {f"{name}_left": left, f"{name}_right": right}
        lips = {"upper": _indices(_UPPER_LIP), "lower": _indices(_LOWER_LIP)}
        return MeshPlaces(vertices, _coordinates(vertices), _FLAME_EYEBALLS, lips)
    found = _own_head(vertex_count)
    if found is None:
        raise ValueError(
            f"Expected the {_FLAME_COUNT} vertices of a FLAME head, got {vertex_count}: the face editor knows where "
            "nose, eyes and chin are on that mesh only. Make the shape with the node Reconstruct Face, or load a "
            "FLAME head with the node Load Shape."
        )
    template, table = found
    vertices = {name: _nearest(template, place) for name, place in _both_sides(table).items()}
    return MeshPlaces(vertices, _coordinates(vertices), {}, {})


def _own_head(vertex_count: int) -> tuple[np.ndarray, dict] | None:
    """Vertices [V,3] in millimetres and places of the own head with this number of vertices."""
    from ..head import synthetic_head
    from ..ownhead.mesh import head_mesh

    if vertex_count == len(head_mesh().template):
        return head_mesh().template * 1000, _OWN_MEAN
    for subdivisions in range(3, 7):  # coarser ones have no face to speak of
        if vertex_count == 10 * 4**subdivisions + 2:
            return synthetic_head(subdivisions)[0].double().numpy() * 1000, _OWN_SIMPLE
    return None


def _indices(ranges: str) -> np.ndarray:
    ends = [[int(end) for end in part.split("-")] for part in ranges.split()]
    return np.concatenate([np.arange(end[0], end[-1] + 1) for end in ends])


def _nearest(template: np.ndarray, place: tuple) -> int:
    return int(((template - place) ** 2).sum(axis=1).argmin())


def _both_sides(table: dict[str, tuple]) -> dict[str, tuple]:
    places = {}
    for name, (x, y, z) in table.items():
        places |= {name: (x, y, z)} if name in _MIDDLE else {f"{name}_left": (-x, y, z), f"{name}_right": (x, y, z)}
    return places


def _coordinates(names: dict[str, int]) -> dict[str, np.ndarray]:
    known = _both_sides({name: row[-1] for name, row in (_MIDDLE | _PAIRED).items()})
    return {name: np.array(known[name], float) for name in names}
