"""The shape of a head: 24 linear shape parameters, each from -1 to 1.

Every parameter has one measured quantity, which is also linear in the vertices, and changes no other quantity: the
sculpted fields are mixed so that the matrix of all measures by all parameters is diagonal. Fields are functions of a
position on the average head, so that hair, glasses and clothes follow the shape of the head.
Numbers in this file are millimetres; what the functions take and return is metres.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..shape.ownhead.mesh import METRE, head_mesh, nearest_vertices
from ..shape.ownhead.surface import bump, pushes, smooth_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

# Fields that are sums of Gaussian pushes: centre, width, push. Rows with x > 0 are mirrored.
_PUSHED = {
    "jaw_sharpness": [(53, -84, 14, 13, 12, 26, 1.5, -4.5, 0), (37, -98, 52, 18, 14, 34, -4.6, 3, -2)],
    "chin_projection": [(0, -100, 80, 22, 15, 50, 0, 0, 6.5)],
    "nose_bridge": [(0, -3, 90, 10, 15, 40, 0, 0, 4.5)],
    "nose_projection": [(0, -34, 105, 15, 13, 40, 0, 1, 6)],
    "nose_tip": [(0, -34, 108, 10, 8, 40, 0, 4, 1)],
    "brow_height": [(30, 22, 88, 23, 9, 40, 0, 5, 0), (0, 20, 90, 12, 9, 40, 0, 2.5, 0)],
    "brow_ridge": [(27, 19, 88, 22, 9, 40, 0, 0, 4.5), (0, 18, 90, 14, 9, 40, 0, 0, 2.5)],
    "cheek_fullness": [(46, -45, 58, 20, 20, 34, 4.5, 0, 4.5)],
    "cheekbone": [(52, -14, 60, 15, 12, 26, 3, 1, 5)],
}  # fmt: skip
_EYE, _EAR, _LIPS_Y, _NECK_Z = (32.0, 0.5, 80.0), (78.0, -8.0, -18.0), -65.0, -20.0

# Each measure is a sum of coordinates of places on the average head (x > 0). Axis x counts both sides.
_MEASURES = {
    "face_width": [(69, -10, 20, "x", 2)],
    "jaw_width": [(49, -80, 14, "x", 2)],
    "jaw_sharpness": [(49, -80, 14, "x", 1), (17, -103, 75, "x", 1), (37, -98, 50, "x", -2)],
    "chin_length": [(0, -65, 88, "y", 1), (0, -117, 60, "y", -1)],
    "chin_width": [(17, -103, 75, "x", 2)],
    "chin_projection": [(0, -100, 86, "z", 1), (0, -65, 88, "z", -1)],
    "forehead_height": [(0, 72, 80, "y", 1), (0, 4, 93, "y", -1)],
    "nose_length": [(0, 4, 93, "y", 1), (0, -46, 90, "y", -1)],
    "nose_width": [(16, -37, 96, "x", 2)],
    "nose_bridge": [(0, -4, 96, "z", 1), (15, -1, 80, "z", -1)],
    "nose_projection": [(0, -34, 109, "z", 1), (0, -47, 90, "z", -1)],
    "nose_tip": [(0, -34, 109, "y", 1), (0, -46, 90, "y", -1)],
    "eye_spacing": [(15, -1, 80, "x", 1), (48, 1.5, 75, "x", 1)],
    "eye_size": [
        (48, 1.5, 75, "x", 1), (15, -1, 80, "x", -1), (31, 7.4, 82, "y", 1), (31, -5.8, 82, "y", -1),
    ],
    "eye_tilt": [(48, 1.5, 75, "y", 1), (15, -1, 80, "y", -1)],
    "brow_height": [(30, 23, 88, "y", 1), (48, 1.5, 75, "y", -0.5), (15, -1, 80, "y", -0.5)],
    "brow_ridge": [(27, 19, 90, "z", 1), (27, 45, 87, "z", -1)],
    "cheek_fullness": [(46, -45, 60, "z", 1)],
    "cheekbone": [(52, -14, 60, "z", 1)],
    "mouth_width": [(25, -65, 78, "x", 2)],
    "lip_fullness": [(0, -57, 90, "y", 1), (0, -75, 88, "y", -1)],
    "head_depth": [(0, 30, 89, "z", 1), (0, 15, -101, "z", -1)],
    "ear_size": [(84, 20, -26, "y", 1), (80, -38, -22, "y", -1)],
    "neck_width": [(49, -140, -20, "x", 2)],
}  # fmt: skip

SHAPE_NAMES = tuple(_MEASURES)
"""The shape parameters, in the order of every array of them. +1 is wider, longer, fuller, higher, sharper, nearer."""


def shape_basis(points: np.ndarray) -> np.ndarray:  # [N,3] -> [K,N,3]
    """How far points at these places of the average head move, in metres, for +1 of each parameter."""
    fields = _fields(np.asarray(points, np.float64) / METRE) * METRE
    return np.tensordot(_mixture(), fields, axes=1)


def shape_vertices(shape: Mapping[str, float] | ArrayLike) -> np.ndarray:
    """Vertices float32 [V,3], in metres, of a head with these parameters: names that are left out are 0.

    Raises ValueError for unknown names, another count, NaN, and values outside -1..1.
    """
    amounts = check_shape(shape)
    return (head_mesh().template + np.tensordot(amounts, _head_basis(), axes=1)).astype(np.float32)


def measure(vertices: np.ndarray) -> dict[str, float]:
    """The measured quantity of every shape parameter, in metres, of a head with a neutral face, looking ahead [V,3].

    Raises ValueError for another number of vertices.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.shape != head_mesh().template.shape:
        raise ValueError(
            f"Expected the vertices {list(head_mesh().template.shape)} of the project's own head, "
            f"got {list(vertices.shape)}."
        )
    quantities = np.tensordot(_measuring(), vertices, axes=[(1, 2), (0, 1)])
    return dict(zip(SHAPE_NAMES, quantities.tolist(), strict=True))


def check_shape(shape: Mapping[str, float] | ArrayLike) -> np.ndarray:
    """Shape parameters as float64 [K] in the order of `SHAPE_NAMES`; errors as for `shape_vertices`."""
    if hasattr(shape, "keys"):
        unknown = sorted(set(shape) - set(SHAPE_NAMES))
        if unknown:
            raise ValueError(f"Unknown shape parameters: {', '.join(unknown)}. There are: {', '.join(SHAPE_NAMES)}.")
        shape = [shape.get(name, 0.0) for name in SHAPE_NAMES]
    amounts = np.asarray(shape, np.float64)
    if amounts.shape != (len(SHAPE_NAMES),):
        raise ValueError(f"Expected {len(SHAPE_NAMES)} shape parameters, got an array {list(amounts.shape)}.")
    outside = ~(abs(amounts) <= 1)  # NaN included
    if outside.any():
        at = int(outside.argmax())
        raise ValueError(f"Expected shape parameters in -1..1, got {SHAPE_NAMES[at]} = {amounts[at]:g}.")
    return amounts


@cache
def _head_basis() -> np.ndarray:  # [K,V,3]
    return shape_basis(head_mesh().template)


@cache
def _mixture() -> np.ndarray:
    """[K,K]: how much of every field makes a parameter that changes no other parameter's measure."""
    fields = _fields(head_mesh().template / METRE)
    response = np.tensordot(_measuring(), fields, axes=[(1, 2), (1, 2)])  # [measure, field]
    return (np.linalg.inv(response) * np.diagonal(response)).T


@cache
def _measuring() -> np.ndarray:
    """[K,V,3]: weights of the vertices' coordinates in every measure."""
    weights = np.zeros((len(SHAPE_NAMES), *head_mesh().template.shape))
    for row, places in enumerate(_MEASURES.values()):
        for *place, axis, weight in places:
            vertex = int(nearest_vertices([place])[0])
            other = head_mesh().mirror[vertex]
            column = "xyz".index(axis)
            weights[row, vertex, column] += weight / 2
            weights[row, other, column] += weight / 2 * (-1 if axis == "x" else 1)
    return weights


def _fields(points: np.ndarray) -> np.ndarray:  # [N,3] -> [K,N,3]
    return np.stack([
        pushes(points, np.array(_PUSHED[name], float)) if name in _PUSHED else _FIELDS[name](points)
        for name in SHAPE_NAMES
    ])  # fmt: skip


def _vectors(points: np.ndarray, x=0.0, y=0.0, z=0.0) -> np.ndarray:
    return np.stack([np.broadcast_to(part, len(points)) for part in (x, y, z)], axis=1)


def _outwards(points: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return _vectors(points, x=np.sign(points[:, 0]) * amount)


def _face_width(points):
    x, y, _ = points.T
    band = smooth_step(y, -95, -30) * (1 - 0.6 * smooth_step(y, 30, 90))
    return _outwards(points, 7.4 * smooth_step(abs(x), 30, 66) * band)


def _jaw_width(points):
    x, y, z = points.T
    return _outwards(points, 8 * smooth_step(abs(x), 22, 52) * _bell(y + 80, 27) * smooth_step(z, -35, 15))


def _chin_length(points):
    _, y, z = points.T
    return _vectors(points, y=-9 * smooth_step(-y, 70, 104) * smooth_step(z, 5, 55))


def _chin_width(points):
    x, y, z = points.T
    across = smooth_step(abs(x), 1, 17) * (1 - smooth_step(abs(x), 24, 46))
    return _outwards(points, 6.5 * across * _bell(y + 103, 15) * smooth_step(z, 35, 65))


def _forehead_height(points):
    return _vectors(points, y=9 * smooth_step(points[:, 1], 26, 80))


def _nose_length(points):
    x, y, z = points.T
    along = smooth_step(-y, -2, 36) * (1 - smooth_step(-y, 44, 60))
    return _vectors(points, y=-6 * along * _bell(x, 21) * smooth_step(z, 55, 80))


def _nose_width(points):
    x, y, z = points.T
    across = smooth_step(abs(x), 0, 12) * (1 - smooth_step(abs(x), 19, 36))
    along = _bell(y + 35, 12) + 0.4 * _bell(y + 12, 15)
    return _outwards(points, 4.4 * across * along * smooth_step(z, 55, 80))


def _eye_spacing(points):
    x, y, z = points.T
    across = smooth_step(abs(x), 2, 15) * (1 - smooth_step(abs(x), 48, 68))
    return _outwards(points, 4.2 * across * _bell(y - 4, 24) * smooth_step(z, 20, 60))


def _eye_size(points):
    return _about_eyes(points, lambda x, y: (0.21 * x, 0.21 * y), (23, 14, 40))


def _eye_tilt(points):
    return _about_eyes(points, lambda x, y: (0 * x, 0.24 * x), (24, 15, 40))


def _mouth_width(points):
    x, y, z = points.T
    across = smooth_step(abs(x), 0, 26) * (1 - smooth_step(abs(x), 30, 52))
    return _outwards(points, 5.5 * across * _bell(y - _LIPS_Y, 14) * smooth_step(z, 40, 70))


def _lip_fullness(points):
    x, y, z = points.T
    there = np.exp(-((x / 25) ** 4)) * smooth_step(z, 55, 80)
    up = y - _LIPS_Y
    out = 2.0 * (_bell(up - 5, 5) + _bell(up + 6, 5.5))
    return _vectors(points, y=0.42 * up * _bell(up, 10.5) * there, z=out * there)


def _head_depth(points):
    _, y, z = points.T
    return _vectors(points, z=0.11 * (z + 5).clip(None, 0) * smooth_step(y, -90, -25))


def _ear_size(points):
    side = np.sign(points[:, 0])
    folded = points * np.stack([side, np.ones_like(side), np.ones_like(side)], axis=1)
    there = bump(folded, _EAR, (26, 42, 30)) * smooth_step(folded[:, 0], 55, 75)
    x, y, z = ((folded - _EAR) * there[:, None] * (0.1, 0.24, 0.24)).T
    return _vectors(points, side * x, y, z)


def _neck_width(points):
    x, y, z = points.T
    there = smooth_step(-y, 92, 130) * (1 - smooth_step(np.hypot(x, z - _NECK_Z), 58, 78))
    return _vectors(points, x=0.17 * x * there, z=0.12 * (z - _NECK_Z) * there)


def _about_eyes(points, moved, width):
    """A field around both eyes; `moved` gives its x, y from the place beside the eye's middle, x outwards."""
    total = np.zeros_like(points)
    for side in (-1, 1):
        there = bump(points, np.multiply(_EYE, (side, 1, 1)), width) * smooth_step(points[:, 0] * side, 3, 14)
        x, y = moved(points[:, 0] * side - _EYE[0], points[:, 1] - _EYE[1])
        total += _vectors(points, side * x * there, y * there)
    return total


def _bell(values: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((values / width) ** 2))


_FIELDS = {
    "face_width": _face_width,
    "jaw_width": _jaw_width,
    "chin_length": _chin_length,
    "chin_width": _chin_width,
    "forehead_height": _forehead_height,
    "nose_length": _nose_length,
    "nose_width": _nose_width,
    "eye_spacing": _eye_spacing,
    "eye_size": _eye_size,
    "eye_tilt": _eye_tilt,
    "mouth_width": _mouth_width,
    "lip_fullness": _lip_fullness,
    "head_depth": _head_depth,
    "ear_size": _ear_size,
    "neck_width": _neck_width,
}
