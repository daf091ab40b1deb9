"""Places a head in a crop: with DECA's camera where there is a reconstruction, else with one fitted to five points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...face.align import TEMPLATE, TEMPLATE_SIZE, FaceCrop, opencv
from .faceframe import checked_vertices, five_places, similarity

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


STEPS = 20  # of the fit; it settles within five
PRIOR = 0.35
"""Radians out of the picture's plane that cost as much as points off by a thirtieth of the eyes' distance: five
nearly flat points say little about small turns. Heads with a neutral pose, and heads as photographed, look as their
vertices do."""

FAR = 0.5
"""Distances of the eyes by which the middle one of the five points may be off, before it is another face."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A head in a picture by a camera without perspective (weak perspective).

    linear: [3,3], rotation times pixels per metre: displacements of the vertices -> x to the right, y up, towards the
    viewer, in pixels. points: np.float64 [V,2], the vertices in pixels of the picture, y down. depth: np.float64
    [V], pixels, larger is nearer.
    """

    linear: np.ndarray
    points: np.ndarray
    depth: np.ndarray

    def moved(self, displacement: np.ndarray) -> Placement:  # [V,3]
        """The same head with its vertices displaced, in the unit of the vertices."""
        shift = displacement @ self.linear.T
        return Placement(self.linear, self.points + shift[:, :2] * (1, -1), self.depth + shift[:, 2])


def placement_of(vertices: ArrayLike, seen: np.ndarray, matrix: np.ndarray) -> Placement:  # [V,3], [V,3], [2,3]
    """The placement of a head by DECA's camera; the head may be as photographed or have a neutral face.

    seen: where it lies in its photo (see `FaceShape`). matrix: from the photo's pixels to the crop's.
    Raises ValueError for another number of vertices.
    """
    vertices = checked_vertices(vertices)
    if len(seen) != len(vertices):
        raise ValueError(
            f"Expected the {len(seen)} vertices of the reconstructed head, got {len(vertices)}. Edit the shape "
            "that the node Reconstruct Face made of this photo."
        )
    points = seen[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    depth = seen[:, 2] * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    rotation, scale = similarity(vertices, np.column_stack([points[:, 0], -points[:, 1], depth]))
    return Placement(rotation * scale, points, depth)


def lies_on(placed: Placement, vertices: ArrayLike, face: FaceCrop) -> bool:  # [V,3]
    """Whether a placed head is where the face's points are; True for a face without points."""
    if face.points is None:
        return True
    points = np.asarray(face.points, np.float64) @ face.matrix[:, :2].T + face.matrix[:, 2]
    places = checked_vertices(vertices)
    nearest = [int(np.argmin(np.square(places - place).sum(axis=1))) for place in five_places(vertices)]
    away = np.linalg.norm(placed.points[nearest] - points, axis=1)
    return bool(np.median(away) < FAR * np.linalg.norm(points[0] - points[1]))


def placement_by_points(vertices: ArrayLike, face: FaceCrop) -> Placement:  # [V,3]
    """Where a head lies in a face's crop, fitted to the face's five points; without points the crop is taken to be
    framed as the release frames faces. Raises as `fit_placement`."""
    if face.points is None:
        return fit_placement(vertices, TEMPLATE * (len(face.crop) / TEMPLATE_SIZE))
    return fit_placement(vertices, np.asarray(face.points, np.float64) @ face.matrix[:, :2].T + face.matrix[:, 2])


def fit_placement(vertices: ArrayLike, points: ArrayLike) -> Placement:  # [V,3], [5,2]
    """The head with its five places as near as possible to the points (pixels, y down, in `face.align`'s order).

    Gauss-Newton on rotation, scale and place, from the pose that the vertices have. Raises ValueError for points that
    are no five finite places, or all the same, and for a mesh without known places.
    """
    vertices, places = checked_vertices(vertices), five_places(vertices)
    points = np.asarray(points, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all() or not np.ptp(points, axis=0).any():
        raise ValueError(f"Expected five different points [5,2] (x, y), got {points.tolist()}.")
    target = points * (1, -1)
    eyes = np.linalg.norm(places[0] - places[1])
    centred, wanted = (places - places.mean(axis=0)) / eyes, target - target.mean(axis=0)
    rotation = first = _rolled(centred, wanted)
    scale = np.linalg.norm(wanted) / np.linalg.norm((centred @ rotation.T)[:, :2])
    for _ in range(STEPS):
        rotation, scale = _better(rotation, scale, first, centred, wanted)
    linear = rotation * (scale / eyes)
    seen = (vertices - places.mean(axis=0)) @ linear.T + [*target.mean(axis=0), 0]
    return Placement(linear, seen[:, :2] * (1, -1), seen[:, 2])


def _rolled(centred: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The turn in the picture's plane that takes the flattened places nearest to the wanted ones."""
    angle = np.angle(np.vdot(centred[:, :2] @ (1, 1j), wanted @ (1, 1j)))
    return opencv().Rodrigues(np.array([0, 0, angle]))[0]


def _better(rotation, scale, first, centred, wanted):
    """One step: small turns about x, y, z and a factor for the scale, with the prior on the turns out of the plane."""
    seen = centred @ rotation.T  # [5,3]
    x, y, z = scale * seen.T
    zero = np.zeros(5)
    # how the picture's x and y change with turns about x, y, z and with the logarithm of the scale
    jacobian = np.concatenate([np.stack([zero, z, -y, x], axis=1), np.stack([-z, zero, x, y], axis=1)])
    residual = np.concatenate([wanted[:, 0] - x, wanted[:, 1] - y])
    tilt = first @ rotation.T  # what is left of the turn, as seen from the prior
    back = np.array([tilt[2, 1] - tilt[1, 2], tilt[0, 2] - tilt[2, 0]]) / 2
    strength = scale / 30 / PRIOR
    jacobian = np.vstack([jacobian, strength * np.eye(2, 4)])
    step = np.linalg.lstsq(jacobian, np.concatenate([residual, strength * back]), rcond=None)[0]
    return opencv().Rodrigues(step[:3])[0] @ rotation, scale * np.exp(np.clip(step[3], -0.5, 0.5))
