"""The places of a face found on its mesh, and face coordinates for every vertex.

FLAME's vertices are known by their number whatever the pose, so the places are exact on posed, neutral and
exaggerated heads alike. Face coordinates (see `places`) are what displacement fields are written in: the head is
turned upright and scaled, and a smooth map (a spline in space; Duchon 1977) then takes its places to those of the
mean head. So a field for the tip of the nose is at the tip of everybody's nose, also of a smiling face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from ..mesh import check_finite
from .fields import around_eye, ramp
from .places import EYE, SIDES, MeshPlaces, mesh_places

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

STIFFNESS = 1.0
"""How much the smooth map may miss the places, to stay smooth: millimetres of the kernel's diagonal."""

# These move with an expression, the jaw or the neck, so they do not show the rotation of the head.
_MOVING = ("lip", "mouth", "chin", "jaw", "cheek", "neck", "throat", "under", "nape", "shoulder", "brow", "nose_w")


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """The pose of a head, and the face coordinates of its vertices.

    rotation: [3,3], a vector of the head's axes (x to the right, y up, z ahead) times its transpose is one in the
    axes of the vertices. origin: [3], midway between the eyes. unit: length, in the vertices' unit (metres), of a
    millimetre of face coordinates. coordinates: [V,3] face coordinates. mesh: the places of this mesh.
    """

    rotation: np.ndarray
    origin: np.ndarray
    unit: float
    coordinates: np.ndarray
    mesh: MeshPlaces

    def upright(self, vertices: np.ndarray) -> np.ndarray:  # [N,3] -> [N,3]
        """Vertices turned to look ahead, the eyes at the origin, in millimetres of a head of mean size."""
        return (vertices - self.origin) @ self.rotation / self.unit

    def turned(self, directions: np.ndarray) -> np.ndarray:  # [..., 3] -> [..., 3]
        """Displacements in millimetres along the head's axes as displacements of the vertices."""
        return directions @ (self.rotation.T * self.unit)


def face_places(vertices: ArrayLike) -> dict[str, np.ndarray]:  # [V,3]
    """Name -> place [3] on the head, in the unit of the vertices: "nose_tip", "ear_top_left" and so on, with
    "eye_left" and "eye_right", the middles of the eyeballs. Left is the left of the picture.

    Raises ValueError for a mesh that is neither FLAME's nor one of the project's own heads, NaN and infinite numbers.
    """
    vertices = checked_vertices(vertices)
    mesh = mesh_places(len(vertices))
    places = {name: vertices[index] for name, index in mesh.vertices.items()}
    return places | {f"eye_{side}": _eye(vertices, mesh, side) for side in SIDES}


def face_frame(vertices: ArrayLike) -> FaceFrame:  # [V,3]
    """The frame of a head in any pose. Raises as `face_places`, and for a mesh squashed to a plane or less."""
    vertices = checked_vertices(vertices)
    mesh, places = mesh_places(len(vertices)), face_places(vertices)
    targets = mesh.coordinates | {"eye_right": np.array(EYE), "eye_left": np.array(EYE) * (-1, 1, 1)}
    names = list(places)
    found, wanted = (np.stack([table[name] for name in names]) for table in (places, targets))
    steady = np.array([not name.startswith(_MOVING) for name in names])
    rotation, unit = similarity(wanted[steady], found[steady])
    origin = (places["eye_left"] + places["eye_right"]) / 2
    frame = FaceFrame(rotation, origin, unit, np.empty(0), mesh)
    upright = frame.upright(vertices)
    coordinates = upright + _towards_mean(names, frame.upright(found), wanted, upright, mesh)
    for side, ball in mesh.eyeballs.items():
        # Near an eye, lids included, coordinates are those of its ball, so that lids keep lying on it.
        rigid = upright - frame.upright(places[f"eye_{side}"]) + targets[f"eye_{side}"]
        near = around_eye(*(coordinates * (1 if side == "right" else -1, 1, 1)).T)
        near[slice(*ball)] = 1
        coordinates += near[:, None] * (rigid - coordinates)
    return FaceFrame(rotation, origin, unit, coordinates, mesh)


def five_places(vertices: ArrayLike) -> np.ndarray:  # [V,3] -> [5,3]
    """The five points of `face.align.TEMPLATE` on a head: eyes, tip of the nose, corners of the mouth.

    An eye's point is on the eyeball's front, where detectors put it. Raises as `face_places`.
    """
    places = face_places(vertices)
    corners = ("inner", "outer", "upper", "lower")
    eyes = [np.mean([places[f"eye_{corner}_{side}"] for corner in corners], axis=0) for side in SIDES]
    return np.stack([*eyes, places["nose_tip"], places["mouth_corner_left"], places["mouth_corner_right"]])


def checked_vertices(vertices: ArrayLike) -> np.ndarray:
    """Vertices of one head as np.float64 [V,3]. Raises ValueError for another shape, NaN and infinite numbers."""
    if hasattr(vertices, "detach"):
        vertices = vertices.detach().cpu()
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"Expected the vertices of one head [V,3], got shape {list(vertices.shape)}.")
    check_finite(vertices, "The head")
    return vertices


def _eye(vertices: np.ndarray, mesh: MeshPlaces, side: str) -> np.ndarray:
    if mesh.eyeballs:
        return vertices[slice(*mesh.eyeballs[side])].mean(axis=0)
    # Without an eyeball its middle lies behind the lids, by its radius in the unit of the eyes' distance.
    lids = [vertices[mesh.vertices[f"eye_{corner}_{side}"]] for corner in ("inner", "outer", "upper", "lower")]
    across = vertices[mesh.vertices["eye_outer_right"]] - vertices[mesh.vertices["eye_outer_left"]]
    down = vertices[mesh.vertices["chin"]] - vertices[mesh.vertices["nasion"]]
    ahead = np.cross(down, across)
    return np.mean(lids, axis=0) + ahead / np.linalg.norm(ahead).clip(1e-12) * np.linalg.norm(across) * (-9.5 / 90)


def similarity(wanted: np.ndarray, found: np.ndarray, weights=None) -> tuple[np.ndarray, float]:
    """Rotation [3,3] and scale from places [N,3] to found ones, least squares with weights [N] (Umeyama 1991).

    Raises ValueError for places that lie on a line.
    """
    weights = np.ones(len(wanted)) if weights is None else weights
    wanted, found = (each - np.average(each, axis=0, weights=weights) for each in (wanted, found))
    left, strengths, right = np.linalg.svd((weights[:, None] * found).T @ wanted)
    if not strengths[1] > 1e-9 * max(strengths[0], 1e-30):
        raise ValueError(
            "Expected places of a head, got places that are squashed to a line or a point. Make the shape again, or "
            "detect the face again."
        )
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    return (left * signs) @ right, float((strengths * signs).sum() / (weights @ wanted**2).sum())


def _towards_mean(
    names: list[str], found: np.ndarray, wanted: np.ndarray, points: np.ndarray, mesh: MeshPlaces
) -> np.ndarray:  # [N,3], [N,3], [P,3] -> [P,3]
    """What to add to points of an upright head so that they lie as on the mean head.

    Two maps, one without the places of each lip, because there is no map for both where they overlap.
    """
    without = [np.array([not name.startswith(lip) for name in names]) for lip in ("lip_lower", "lip_upper")]
    apart = cdist(points, found)
    above, below = (_smooth_map(found[kept], wanted[kept], points, apart[:, kept]) for kept in without)
    upper = ramp(points[:, 1] + (above + below)[:, 1] / 2, -71, -57)
    for lip, indices in mesh.lips.items():
        # What of the lower lip is tucked behind the upper one follows that.
        tucked = ramp(points[indices, 1] + above[indices, 1], -63, -59)
        upper[indices] = 1 if lip == "upper" else tucked
    return below + upper[:, None] * (above - below)


def _smooth_map(found: np.ndarray, wanted: np.ndarray, points: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """What to add to points [P,3] so that `found` [N,3] comes to lie at about `wanted`: a linear part and a spline."""
    linear, spline = np.column_stack([np.ones(len(found)), found]), cdist(found, found)
    system = np.block([[spline - STIFFNESS * np.eye(len(found)), linear], [linear.T, np.zeros((4, 4))]])
    solution = np.linalg.solve(system, np.vstack([wanted - found, np.zeros((4, 3))]))
    weights, plane = solution[:-4], solution[-4:]
    return apart @ weights + plane[0] + points @ plane[1:]
