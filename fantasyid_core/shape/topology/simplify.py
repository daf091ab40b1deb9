"""Simplifying a triangle mesh to some of its own vertices, by quadric error metrics (Garland & Heckbert 1997).

An edge is collapsed into one of its ends, so that what is left is a selection of the vertices: pooling to the
coarser mesh then only picks features. The error of leaving vertex u for v is v^T (Q_u + Q_v) v, Q being the sum of
the squared distances to the planes of the faces around, by area; open borders add planes that stand on them. A
small share of the squared distance to the vertex itself spreads the vertices where the surface is flat.

Every machine makes the same mesh. A symmetric head has many pairs of edges with equal errors, and the last bits of a
number depend on the processor: a matrix product adds in the order that suits it. So coordinates are rounded first,
sums are written out in one order, errors are compared in few digits, and ties go to the smaller index.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from ..mesh import check_faces, check_finite
from .spiral import HalfEdgeMesh

_BORDER = 10.0  # times the weight of a face's plane
_SPREADING = 1e-3  # of the distance to the vertex itself, beside the distances to planes
_TURN = 0.2  # cosine up to which the normal of a triangle may turn in one collapse
_SLIVER = 0.02  # evenness below which a triangle must not become thinner
_PLACE_BITS = 24  # of a coordinate, beside the mesh's largest: a tenth of a micrometre on a head
_COST_BITS = 32  # of an error: what differs less is a tie


def simplify(vertices, faces, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices int64 [count] of the kept vertices, ascending, and the faces int64 [F', 3] among them (0..count-1).

    vertices [V, 3] in any unit, faces [F, 3] oriented and manifold; open borders and several parts are allowed.
    Vertices without a face leave first. Equal meshes give equal results. Raises ValueError for a mesh that is not
    manifold or has degenerate faces, for counts outside 1..V, and where no further edge can be collapsed.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"Expected vertices [V, 3], got {list(vertices.shape)}. Check the mesh file.")
    check_finite(vertices, "The mesh")
    faces = check_faces(faces, len(vertices), "The mesh")
    if not 1 <= count <= len(vertices):
        raise ValueError(f"Expected to keep 1 to {len(vertices)} vertices, got {count}.")
    HalfEdgeMesh(faces, len(vertices))  # raises for what is no oriented manifold
    return _Collapsing(rounded_places(vertices), faces).down_to(count)


def rounded_places(vertices: np.ndarray) -> np.ndarray:  # [V, 3]
    """The vertices on a grid of 2^-24 of their largest coordinate, so that sums of last bits are forgotten."""
    largest = float(np.abs(vertices).max(initial=0.0))
    step = 2.0 ** (np.frexp(largest)[1] - _PLACE_BITS)
    return np.round(vertices / step) * step


def rounded_number(value: float) -> float:
    """The number in 32 bits: what differs only by the order of additions becomes equal."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, _COST_BITS)), exponent - _COST_BITS)


class _Collapsing:
    """A mesh that loses vertices; faces are kept by number, and every vertex knows its faces."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.points = vertices
        self.faces = dict(enumerate(map(tuple, faces.tolist())))
        self.around: list[set[int]] = [set() for _ in vertices]
        for number, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(number)
        self.quadrics = _quadrics(vertices, faces)
        self.alive = np.ones(len(vertices), bool)
        self.version = [0] * len(vertices)
        self.heap: list[tuple[float, int, int, int, int]] = []

    def down_to(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        self._drop_loose(len(self.points) - count)
        for vertex in range(len(self.points)):
            for neighbour in self.neighbours(vertex):
                self._offer(vertex, neighbour)
        left = int(self.alive.sum())
        while left > count:
            self._collapse(*self._cheapest(left, count))
            left -= 1
        kept = np.flatnonzero(self.alive)
        place = np.full(len(self.points), -1)
        place[kept] = np.arange(len(kept))
        return kept, place[np.array(list(self.faces.values()), dtype=np.int64).reshape(-1, 3)]

    def neighbours(self, vertex: int) -> set[int]:
        return {each for number in self.around[vertex] for each in self.faces[number]} - {vertex}

    def _drop_loose(self, most: int) -> None:
        loose = [vertex for vertex, faces in enumerate(self.around) if not faces]
        self.alive[loose[: max(most, 0)]] = False

    def _offer(self, gone: int, kept: int) -> None:
        cost = rounded_number(_error(self.quadrics[gone] + self.quadrics[kept], self.points[kept]))
        heapq.heappush(self.heap, (cost, gone, kept, self.version[gone], self.version[kept]))

    def _cheapest(self, left: int, wanted: int) -> tuple[int, int]:
        while self.heap:
            _, gone, kept, *versions = heapq.heappop(self.heap)
            if versions == [self.version[gone], self.version[kept]] and self._may(gone, kept):
                return gone, kept
        raise ValueError(
            f"Expected to simplify the mesh to {wanted} vertices, got stuck at {left}: every further collapse would "
            "fold or tear it. Ask for more vertices, or join the mesh's separate parts."
        )

    def _may(self, gone: int, kept: int) -> bool:
        """Whether the mesh stays manifold and no triangle flips when `gone` is merged into `kept`."""
        shared = self.around[gone] & self.around[kept]
        opposite = {each for number in shared for each in self.faces[number]} - {gone, kept}
        if self.neighbours(gone) & self.neighbours(kept) != opposite:  # the link condition
            return False
        if self._is_border(gone) and len(shared) != 1:
            return False
        if any(len(self.around[vertex]) - 1 < (1 if self._is_border(vertex) else 3) for vertex in opposite):
            return False
        moved = self.around[gone] - shared
        return bool(moved) and all(self._stays_upright(number, gone, kept) for number in moved)

    def _is_border(self, vertex: int) -> bool:
        return len(self.neighbours(vertex)) != len(self.around[vertex])

    def _stays_upright(self, number: int, gone: int, kept: int) -> bool:
        face = self.faces[number]
        before = self.points[list(face)]
        after = self.points[[kept if vertex == gone else vertex for vertex in face]]
        normals = [_cross(corners) for corners in (before, after)]
        lengths = [_dot(normal, normal) ** 0.5 for normal in normals]
        if _evenness(lengths[1], after) < min(_SLIVER, _evenness(lengths[0], before)):
            return False
        return _dot(*normals) >= _TURN * lengths[0] * lengths[1]

    def _collapse(self, gone: int, kept: int) -> None:
        for number in sorted(self.around[gone]):
            face = self.faces.pop(number)
            for vertex in face:
                self.around[vertex].discard(number)
            if kept not in face:
                self.faces[number] = tuple(kept if vertex == gone else vertex for vertex in face)
                for vertex in self.faces[number]:
                    self.around[vertex].add(number)
        self.alive[gone] = False
        self.quadrics[kept] += self.quadrics[gone]
        self.version[gone] += 1
        self._offer_around(kept)

    def _offer_around(self, vertex: int) -> None:
        """New offers where the error has changed, and where a collapse may have become possible."""
        ring = self.neighbours(vertex)
        self.version[vertex] += 1
        for neighbour in sorted(ring):
            self._offer(vertex, neighbour)
            self._offer(neighbour, vertex)
        for one in sorted(ring):
            for other in sorted(self.neighbours(one) - {vertex}):
                self._offer(one, other)


def _error(quadric: np.ndarray, point: np.ndarray) -> float:
    """v^T Q v of [4,4] and [3], with 1 as the fourth number."""
    place = (*point.tolist(), 1.0)
    return sum(
        x * sum(q * y for q, y in zip(row, place, strict=True)) for x, row in zip(place, quadric.tolist(), strict=True)
    )


def _evenness(doubled_area: float, corners: np.ndarray) -> float:
    """1 for a triangle of equal edges, 0 for one without an area."""
    edges = (corners - np.roll(corners, 1, axis=0)).T
    return doubled_area * 12**0.5 / max(float(sum(_dot(edges, edges))), 1e-300)


def _dot(first: np.ndarray, second: np.ndarray):  # [3, ...], [3, ...] -> [...]
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _cross(corners: np.ndarray) -> np.ndarray:  # [3, 3] -> [3], twice the area long
    (ax, ay, az), (bx, by, bz) = corners[1] - corners[0], corners[2] - corners[0]
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:  # -> [V, 4, 4]
    first, second, third = vertices[faces].transpose(1, 0, 2)
    normals = np.cross(second - first, third - first)
    areas = _lengths(normals) / 2
    directions = normals / (2 * areas).clip(1e-300)[:, None]
    quadrics = np.zeros((len(vertices), 4, 4))
    _add_planes(quadrics, directions, first, areas, faces)
    inner = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, index, uses = np.unique(inner, axis=0, return_index=True, return_counts=True)
    edges, of_face = edges[uses == 1], index[uses == 1] // 3
    along = vertices[edges[:, 1]] - vertices[edges[:, 0]]
    upright = np.cross(along, directions[of_face])
    lengths = _lengths(along)
    upright /= _lengths(upright).clip(1e-300)[:, None]
    _add_planes(quadrics, upright, vertices[edges[:, 0]], _BORDER * lengths**2, edges)
    weights = np.bincount(faces.ravel(), np.repeat(areas, 3), len(vertices)) * _SPREADING
    for axis in range(3):
        plane = np.zeros((len(vertices), 4))
        plane[:, axis], plane[:, 3] = 1, -vertices[:, axis]
        quadrics += weights[:, None, None] * plane[:, :, None] * plane[:, None]
    return quadrics


def _lengths(vectors: np.ndarray) -> np.ndarray:  # [n, 3] -> [n]
    return np.sqrt(_dot(vectors.T, vectors.T))


def _add_planes(quadrics, normals, points, weights, members) -> None:
    """Adds `weights` times the squared distance to the plane through `points` [n, 3] to its vertices [n, k]."""
    planes = np.concatenate([normals, -_dot(normals.T, points.T)[:, None]], axis=1)
    squares = weights[:, None, None] * planes[:, :, None] * planes[:, None]
    for column in members.T:
        np.add.at(quadrics, column, squares)
