"""A procedural head, so that tests and the demo need no licensed face model.

It is nobody and it is not FLAME: an icosphere whose vertices crowd on the face, stretched to the size of
a head and pushed into shape by smooth bumps. All lengths are metres, y up, z towards the camera.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .topology.spiral import spiral_indices
from .topology.topology import SPIRAL_LENGTH, Topology, Transform

_CROWDING = 0.55  # vertices in the middle of the face lie this much closer than on a sphere
_RADII = (0.074, 0.108, 0.094)  # half width, height and depth of the cranium
_NECK_AXIS, _NECK_RADIUS, _NECK_END = -0.028, 0.052, -0.142  # z, radius, y
_EAR = (-0.002, -0.014, 0.024, 0.013)  # centre and width (y, z)

# centre (x, y), width (x, y), push (x, y, z); rows with x > 0 are mirrored. Order: top to bottom.
_BUMPS = np.array(
    [
        [0.000, 0.075, 0.045, 0.030, 0.000, 0.000, -0.004],  # forehead leans back
        [0.030, 0.028, 0.020, 0.007, 0.000, 0.000, 0.005],  # brow ridge
        [0.031, 0.012, 0.013, 0.009, 0.000, 0.000, -0.011],  # eye sockets
        [0.031, 0.012, 0.008, 0.006, 0.000, 0.000, 0.006],  # eyeballs
        [0.045, -0.015, 0.014, 0.012, 0.003, 0.000, 0.004],  # cheekbones
        [0.000, 0.004, 0.007, 0.016, 0.000, 0.000, 0.008],  # bridge of the nose
        [0.000, -0.019, 0.009, 0.011, 0.000, -0.002, 0.019],  # tip of the nose
        [0.012, -0.024, 0.006, 0.006, 0.002, 0.000, 0.007],  # wings of the nose
        [0.000, -0.046, 0.017, 0.004, 0.000, 0.000, 0.006],  # upper lip
        [0.000, -0.058, 0.015, 0.004, 0.000, 0.000, 0.006],  # lower lip
        [0.000, -0.070, 0.020, 0.006, 0.000, 0.000, -0.003],  # fold above the chin
        [0.000, -0.086, 0.020, 0.014, 0.000, -0.004, 0.014],  # chin
        [0.045, -0.060, 0.018, 0.025, -0.006, 0.000, -0.006],  # hollow cheeks
    ]
)


def synthetic_head(subdivisions: int = 3) -> tuple[Tensor, Tensor]:
    """A head 0.25 m tall: vertices float32 [V, 3] (metres, y up, z towards the camera), faces int64 [F, 3].

    V = 10 * 4**subdivisions + 2: 642 for 3. The vertices of a coarser head are the first ones of a finer
    head, at the same places, and the mesh is its own mirror image in x.
    Raises ValueError unless 0 <= subdivisions <= 6.
    """
    directions, faces, _ = _icosphere(subdivisions)
    return torch.from_numpy(_head_surface(directions).astype(np.float32)), torch.from_numpy(faces[-1])


def synthetic_topology(levels: int = 3, subdivisions: int = 3) -> Topology:
    """The topology of `synthetic_head` with `levels` levels, e.g. 642 -> 162 -> 42 vertices.

    Down selects the coarser level's vertices; up keeps them and puts the others in the middle of their edge.
    Raises ValueError unless 2 <= levels <= subdivisions + 1.
    """
    if not 2 <= levels <= subdivisions + 1:
        raise ValueError(
            f"Expected 2..{subdivisions + 1} levels for {subdivisions} subdivisions, got {levels}. "
            "Ask for fewer levels or more subdivisions."
        )
    directions, faces, parents = _icosphere(subdivisions)
    vertices = _head_surface(directions)
    counts = [10 * 4 ** (subdivisions - level) + 2 for level in range(levels)]
    finest_first = list(zip(counts, faces[::-1], strict=False))
    return Topology(
        spirals=tuple(
            torch.from_numpy(spiral_indices(triangles, vertices[:count], SPIRAL_LENGTH))
            for count, triangles in finest_first[:-1]
        ),
        down=tuple(_selection(coarse, fine) for fine, coarse in zip(counts, counts[1:], strict=False)),
        up=tuple(_midpoints(coarse, edges) for coarse, edges in zip(counts[1:], parents[::-1], strict=False)),
        faces=torch.from_numpy(faces[-1]),
        template=torch.from_numpy(vertices.astype(np.float32)),
    )


def _icosphere(subdivisions: int) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Directions [V, 3], the faces of every level (coarsest first) and, per subdivision, the edges [E, 2]
    whose middles became its new vertices."""
    if not 0 <= subdivisions <= 6:
        raise ValueError(f"Expected 0..6 subdivisions, got {subdivisions}. Use 3 for 642 vertices.")
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)])
    directions = np.concatenate([np.roll(corners, turn, axis=1) for turn in range(3)])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    faces, parents = [_hull_faces(directions)], []
    for _ in range(subdivisions):
        triangles = faces[-1]
        sides = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1)  # [F, 3, 2]
        edges, middle = np.unique(np.sort(sides, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
        middle = middle.reshape(-1, 3).astype(np.int64) + len(directions)
        new = directions[edges].sum(axis=1)
        directions = np.concatenate([directions, new / np.linalg.norm(new, axis=1, keepdims=True)])
        tips = np.stack([triangles, middle, np.roll(middle, 1, axis=1)], axis=-1).reshape(-1, 3)
        faces.append(np.concatenate([tips, middle]))
        parents.append(edges)
    return directions, faces, parents


def _hull_faces(corners: np.ndarray) -> np.ndarray:
    """The icosahedron's faces, counter-clockwise from outside: every three corners that are all adjacent."""
    near = corners @ corners.T > 0.4
    triples = [(a, b, c) for a in range(12) for b in range(a) for c in range(b)]
    faces = np.array([(a, b, c) for a, b, c in triples if near[a, b] and near[b, c] and near[a, c]], np.int64)
    inward = np.linalg.det(corners[faces]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces


def _head_surface(directions: np.ndarray) -> np.ndarray:
    """Points of the head [V, 3] in metres for points of the unit sphere."""
    points = _crowd(directions) * _RADII
    x, y, z = points.T
    front = _step(z, 0.0, 0.06)
    below = _step(-y, 0.0, 0.11)
    x = x * (1 - 0.22 * below * front) * (1 + 0.12 * _step(y, 0.0, 0.1))
    z = z - 0.012 * _step(z, 0.03, 0.1) + 0.014 * below * front  # a flatter face, a jaw that stands forward
    z = np.where(z < 0, z * (1 + 0.12 * _step(y, -0.06, 0.06)), z)  # the back of the head
    points = np.stack([x, y, z], axis=1)
    return points + _neck(points) + _ears(points) + _bumps(points) * _step(points[:, 2:], 0.0, 0.05)


def _crowd(directions: np.ndarray) -> np.ndarray:
    """Moebius map of the sphere: angles stay, distances shrink around +z and grow around -z."""
    plane, z = directions[:, :2], directions[:, 2:]
    near, far = 1 + z, _CROWDING**2 * (1 - z)
    return np.concatenate([2 * _CROWDING * plane, near - far], axis=1) / (near + far)


def _ears(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    squared = ((y - _EAR[0]) / _EAR[2]) ** 2 + ((z - _EAR[1]) / _EAR[3]) ** 2
    there = np.exp(-squared) * _step(abs(x), 0.03, 0.06)
    return there[:, None] * np.stack([0.010 * np.sign(x), 0 * y, -0.008 + 0 * z], axis=1)


def _neck(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    distance = np.hypot(x, z - _NECK_AXIS)
    inside = 1 - _step(distance, 0.75 * _NECK_RADIUS, 1.1 * _NECK_RADIUS)
    return np.stack([0 * x, (_NECK_END - y) * inside * _step(-y, 0.0, 0.06), 0 * z], axis=1)


def _bumps(points: np.ndarray) -> np.ndarray:
    mirrored = _BUMPS[_BUMPS[:, 0] > 0] * (-1, 1, 1, 1, -1, 1, 1)
    pushes = np.zeros_like(points)
    for bump in np.concatenate([_BUMPS, mirrored]):
        centre, width, push = bump[:2], bump[2:4], bump[4:]
        pushes += np.exp(-(((points[:, :2] - centre) / width) ** 2).sum(axis=1, keepdims=True)) * push
    return pushes


def _step(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smoothly from 0 at `start` to 1 at `end`."""
    t = ((values - start) / (end - start)).clip(0, 1)
    return t**3 * (t * (6 * t - 15) + 10)


def _selection(coarse: int, fine: int) -> Transform:
    kept = torch.arange(coarse)
    return Transform(torch.stack([kept, kept]), torch.ones(coarse), (coarse, fine))


def _midpoints(coarse: int, edges: np.ndarray) -> Transform:
    kept = torch.arange(coarse)
    new = torch.arange(coarse, coarse + len(edges)).repeat_interleave(2)
    columns = torch.cat([kept, torch.from_numpy(edges).flatten()])
    values = torch.cat([torch.ones(coarse), torch.full((len(new),), 0.5)])
    return Transform(torch.stack([torch.cat([kept, new]), columns]), values, (coarse + len(edges), coarse))
