"""Checks whether vertices are in FLAME's order: the network knows a vertex only by its place in the list.

The vertices are fitted to FLAME's template by the best similarity (Umeyama 1991), with rotation and reflection. Faces
of other people, expressions and turned necks leave a small misfit; other orders leave a large one. With the right
order, the edges of the mesh also keep about their lengths. These values were measured on the sample heads:

                                                                           misfit         torn edges
    as they are                                                            0.07 to 0.08   0
    necks turned by 90 degrees, jaws opened by 30, half as deep,
    three times the difference from the mean face                          up to 0.28     up to 0.0001
    shuffled, reversed, sorted, re-indexed, decimated                      0.97 to 1.00   0.5 to 0.93
    shifted by one; every second vertex doubled                            0.58; 0.42     0.35; 0.19
    50 of 5023 vertices exchanged                                          0.15           0.02
"""

from __future__ import annotations

import hashlib
from itertools import permutations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .mesh import check_faces, check_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .faceshape import FaceShape

MAX_MISFIT = 0.5
"""Root mean square distance to the template after the fit, in shares of the template's own radius."""

MAX_TORN = 0.005
"""Share of edges that may be longer than `STRETCH` times FLAME's and a tenth of the head's radius."""

STRETCH = 3.0
MAX_TURN = 45.0  # degrees; beyond, another axis than FLAME's is nearest
SIZES = (0.6, 1.6)  # times FLAME's mean head; adults' and children's differ by less
MIN_SHARED = 0.5  # share of triangles in common, below which a list of triangles is of another mesh

_AXES = "xyz"


class Fit(NamedTuple):
    """A similarity that lays one list of points onto another.

    misfit: root mean square distance left, in shares of the target's radius (0 perfect, 1 unrelated).
    turn: orthogonal matrix [3,3], target ~ turn @ point, both about their means; its determinant is -1 where a
    mirror image fits better. size: the points' radius over the target's.
    """

    misfit: float
    turn: np.ndarray
    size: float


def check_order(
    vertices: ArrayLike,  # [V,3]
    template: ArrayLike,  # [V,3]
    faces: ArrayLike | None = None,  # [F,3]
    name: str = "The shape",
) -> str:
    """Checks that vertices are in the order of FLAME's template; returns notes about the rest, "" for none.

    template: FLAME's mean head, e.g. `Topology.template`. faces: FLAME's; with them a few exchanged vertices
    are found as well, without them about a quarter of the list must be wrong. Any place, any unit.
    The notes name a head that is turned by more than 45 degrees or much larger or smaller than a head:
    nothing is changed here, because a photographed head may be turned.

    Raises ValueError for another number of vertices, NaN or infinite coordinates, vertices in one place, and,
    saying what it looks like, for another order and for mirror images.
    """
    points, target = (np.asarray(each, np.float64) for each in (vertices, template))
    if points.ndim != 2 or points.shape != target.shape or points.shape[1] != 3:
        raise ValueError(
            f"{name}: expected as many vertices as FLAME's template has, {list(target.shape)}, got "
            f"{list(points.shape)}. Use a FLAME head."
        )
    check_finite(points, name)
    return _check_order(points, target, faces, name)


def order_of(template: ArrayLike) -> str:  # [V,3]
    """A short name for the order of a template's vertices: equal for equal templates, in float32."""
    return hashlib.sha256(np.ascontiguousarray(template, np.float32).tobytes()).hexdigest()[:16]


def check_shape_order(shape: FaceShape, template: ArrayLike) -> None:
    """`check_order` of a shape whose order has not been proven yet; one that has been is trusted."""
    if shape.proof.order == order_of(template):
        return
    points, target = shape.vertices.detach().cpu().numpy().astype(np.float64), np.asarray(template, np.float64)
    _check_order(points, target, None, shape.name or "The 3D face")


def _check_order(points: np.ndarray, target: np.ndarray, faces: ArrayLike | None, name: str) -> str:
    fit = best_fit(points, target)
    if not fit.size > 0:
        raise ValueError(f"{name}: all vertices lie in one place. Export the head again.")
    if fit.misfit > MAX_MISFIT:
        raise ValueError(_disorder(name, points, target, fit))
    torn = 0.0 if faces is None else torn_edges(points, target, check_faces(faces, len(target), "FLAME's mesh"))
    if torn > MAX_TORN:
        raise ValueError(_disorder(name, points, target, fit, torn))
    if np.linalg.det(fit.turn) < 0:
        raise ValueError(_mirrored(name, fit.turn))
    return " ".join(filter(None, (_turned(name, fit.turn), _sized(name, fit.size))))


def best_fit(points: np.ndarray, target: np.ndarray) -> Fit:
    """The least-squares similarity from points [V,3] to target [V,3], mirror images included.

    Umeyama 1991, equations 40 to 42, without the sign that excludes reflections.
    """
    points, target = points - points.mean(axis=0), target - target.mean(axis=0)
    left, singular, right = np.linalg.svd(target.T @ points)
    radii = np.sqrt((points**2).sum()), np.sqrt((target**2).sum())
    if not min(radii) > 0:
        return Fit(1.0, np.eye(3), 0.0)
    correlation = min(singular.sum() / (radii[0] * radii[1]), 1.0)
    return Fit(float(np.sqrt(1 - correlation**2)), left @ right, float(radii[0] / radii[1]))


def torn_edges(points: np.ndarray, target: np.ndarray, faces: np.ndarray) -> float:
    """The share of the mesh's edges that are far longer between `points` than between `target`, 0..1.

    Where the order is right, neighbours stay neighbours, whatever the pose.
    """
    lengths, expected = (
        np.linalg.norm(each[faces] - each[np.roll(faces, -1, axis=1)], axis=-1) / np.sqrt(each.var(axis=0).sum())
        for each in (points, target)
    )
    return float((lengths > STRETCH * expected + 0.1).mean()) if lengths.size else 0.0


def check_triangles(found: np.ndarray, expected: np.ndarray, name: str = "The shape", ordered: bool = False) -> str:
    """Compares a file's faces [F,3] with FLAME's; returns a note about a difference, "" for none.

    ordered: the vertices are known to be in FLAME's order, so that foreign faces only spoil pictures.
    Raises ValueError when most of the faces are foreign and `ordered` is False.
    """
    if not len(found):
        return ""
    base = max(found.max(), expected.max()) + 1
    keys, known = _keys(found, base), _keys(expected, base)
    shared, backwards = (np.isin(each, known).mean() for each in (keys, _keys(found[:, ::-1], base)))
    if shared == 1 and len(np.unique(keys)) == len(known):
        return ""
    if backwards > 0.5:
        return f"{name}: its triangles are inside out (the corners run clockwise). The vertices are not affected."
    if shared < MIN_SHARED and not ordered:
        raise ValueError(
            f"{name}: {shared:.0%} of its {len(found)} triangles join the vertices that FLAME's join, so its "
            f"vertices are not in FLAME's order. {_REMEDY}"
        )
    return (
        f"{name}: {shared:.0%} of its {len(found)} triangles are FLAME's (which has {len(expected)}). "
        "The identity only depends on the vertices; pictures and saved files show the triangles as they are."
    )


_REMEDY = (
    "Programs do this when they merge, clean, sort, decimate or remesh. Use the file from before, or export "
    "with the vertex order kept."
)


def _disorder(name: str, points: np.ndarray, target: np.ndarray, fit: Fit, torn: float = 0.0) -> str:
    count = len(points)
    same = count - len(np.unique(points, axis=0))
    sorted_along = [axis for axis, column in zip(_AXES, points.T, strict=True) if _monotonic(column)]
    if same > count // 50:
        looks = f"decimated and padded: {same} of them lie exactly where others lie"
    elif sorted_along:
        looks = f"sorted along {sorted_along[0]}"
    elif best_fit(points[::-1], target).misfit < MAX_MISFIT:
        looks = "reversed: from the last to the first"
    elif fit.misfit < MAX_MISFIT:
        looks = f"partly shuffled: {torn:.0%} of the edges between neighbours are torn"
    else:
        looks = f"shuffled: laid onto FLAME's head, they lie {fit.misfit:.0%} of its radius off on average"
    return f"{name}: its {count} vertices are not in FLAME's order. They look {looks}. {_REMEDY}"


def _monotonic(column: np.ndarray) -> bool:
    steps = np.diff(column)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _mirrored(name: str, turn: np.ndarray) -> str:
    axes = _nearest_axes(turn)
    flipped = [f"{axis} flipped" for axis, row in zip(_AXES, axes, strict=True) if row.min() < 0]
    swapped = [axis for axis, row in zip(_AXES, abs(axes), strict=True) if axis != _AXES[row.argmax()]]
    how = ", ".join(([" and ".join(swapped) + " swapped"] if swapped else []) + flipped)
    return (
        f"{name}: the head is mirrored ({how}), so the list names the left side where FLAME names the right. "
        f"Read as {_reading(axes)}, its coordinates would fit. Export it again with y up and the face looking along "
        "+z, and without a mirror or a negative scale."
    )


def _turned(name: str, turn: np.ndarray) -> str:
    degrees = _degrees(turn)
    if degrees <= MAX_TURN:
        return ""
    axes = _nearest_axes(turn)
    turned = f"{name}: the head is turned by {degrees:.0f} degrees from FLAME's"
    if axes[1, 1] != 1 and _degrees(axes.T @ turn) < MAX_TURN - 10:
        return (
            f"{turned} (axes swapped: {_signed(axes[1])} up instead of y up). The network reads depth along z, so the "
            "result will not resemble this face. Export it again with y up and the face looking along +z (in "
            "Blender: Forward -Z, Up Y)."
        )
    # What lies nearest to the axis of a rotation changes the least.
    way = ("up or down", "sideways", "towards a shoulder")[np.diag(turn).argmax()]
    return (
        f"{turned} ({way}). The network reads depth along z: turn the head until its face looks along +z, unless the "
        "photo shows it turned so."
    )


def _degrees(turn: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def _sized(name: str, size: float) -> str:
    if SIZES[0] <= size <= SIZES[1]:
        return ""
    return (
        f"{name}: the head is {size:.2g} times as large as FLAME's. The network reads absolute depth: scale it to "
        "the size of a head, in metres, unless this is meant."
    )


def _nearest_axes(turn: np.ndarray) -> np.ndarray:
    """The signed permutation of the axes [3,3], with the determinant of `turn`, that comes closest to it."""
    candidates = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    alike = [axes for axes in candidates if np.linalg.det(axes) * np.linalg.det(turn) > 0]
    return max(alike, key=lambda axes: (axes * turn).sum())


def _signed(row: np.ndarray) -> str:
    return ("-" if row.min() < 0 else "") + _AXES[abs(row).argmax()]


def _reading(axes: np.ndarray) -> str:
    return f"({', '.join(map(_signed, axes))})"


def _keys(faces: np.ndarray, base: int) -> np.ndarray:
    """One number per triangle [F], the same whichever of its corners comes first."""
    turns = (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3
    first, second, third = np.take_along_axis(faces, turns, axis=1).astype(np.int64).T
    return (first * base + second) * base + third
