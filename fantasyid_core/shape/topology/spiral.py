"""Spiral neighbourhoods of a triangle mesh, the receptive fields of SpiralNet++ (arXiv 1911.05856).

Released weights are tied to the exact order of every spiral, and that order follows from the half-edge
at which OpenMesh starts to walk around a vertex. So the half-edges are built here as OpenMesh builds
them: face by face, in the order of the file.
"""

from __future__ import annotations

import numpy as np


class HalfEdgeMesh:
    """Half-edges of a triangle mesh, linked as OpenMesh's `TriMesh` links them.

    Half-edge h points to `head[h]`, its twin is `h ^ 1`, `next[h]` follows it around its face or,
    when it has no face, around the boundary. `outgoing[v]` is where walks around v start: a boundary
    half-edge if v lies on the boundary (-1: v belongs to no face).

    Raises ValueError for faces that are degenerate or do not form an oriented manifold.
    """

    def __init__(self, faces: np.ndarray, vertex_count: int):
        self.head: list[int] = []
        self.next: list[int] = []
        self.prev: list[int] = []
        self.has_face: list[bool] = []
        self.outgoing = [-1] * vertex_count
        self._between: dict[tuple[int, int], int] = {}
        for number, face in enumerate(faces.tolist()):
            self._add_face(number, face)

    def ring(self, vertex: int) -> list[int]:
        """The neighbours of `vertex`, clockwise from its outgoing half-edge."""
        return [self.head[edge] for edge in self._spokes(vertex)]

    def _spokes(self, vertex: int) -> list[int]:
        first = edge = self.outgoing[vertex]
        spokes = []
        while edge >= 0:
            spokes.append(edge)
            edge = self.next[edge ^ 1]
            if edge == first:
                break
        return spokes

    def _link(self, edge: int, following: int) -> None:
        self.next[edge] = following
        self.prev[following] = edge

    def _is_boundary(self, vertex: int) -> bool:
        edge = self.outgoing[vertex]
        return edge < 0 or not self.has_face[edge]

    def _add_face(self, number: int, face: list[int]) -> None:
        corners = [(face[i], face[(i + 1) % 3]) for i in range(3)]
        inner = [self._between.get(corner, -1) for corner in corners]
        is_new = [edge < 0 for edge in inner]
        self._check(number, face, inner)
        for i in range(3):
            if not is_new[i] and not is_new[(i + 1) % 3]:
                self._bring_together(number, inner[i], inner[(i + 1) % 3])
        inner = [self._add_edge(*corners[i]) if is_new[i] else inner[i] for i in range(3)]
        for edge in inner:
            self.has_face[edge] = True
        enclosed = [
            self._join_corner(corners[i][1], inner[i], inner[(i + 1) % 3], is_new[i], is_new[(i + 1) % 3])
            for i in range(3)
        ]
        for i in range(3):
            self._link(inner[i], inner[(i + 1) % 3])
        for i in range(3):
            if enclosed[i]:
                self._prefer_boundary(corners[i][1])

    def _check(self, number: int, face: list[int], inner: list[int]) -> None:
        if len(set(face)) != 3:
            raise ValueError(
                f"Face {number} has the vertices {face}: expected three different ones. "
                "Remove degenerate faces from the mesh."
            )
        taken = any(edge >= 0 and self.has_face[edge] for edge in inner)
        if taken or not all(self._is_boundary(vertex) for vertex in face):
            raise _not_manifold(number, face)

    def _add_edge(self, start: int, end: int) -> int:
        edge = len(self.head)
        self.head += [end, start]
        self.next += [-1, -1]
        self.prev += [-1, -1]
        self.has_face += [False, False]
        self._between[start, end] = edge
        self._between[end, start] = edge + 1
        return edge

    def _bring_together(self, number: int, entering: int, leaving: int) -> None:
        """Makes `leaving` follow `entering` on the boundary, moving what lies between to another gap.

        Needed where several fans of faces meet in one vertex only, until a later face joins them.
        """
        if self.next[entering] == leaving:
            return
        before_gap = leaving ^ 1
        while True:
            before_gap = self.next[before_gap] ^ 1
            if not self.has_face[before_gap] and before_gap != entering:
                break
            if before_gap == (leaving ^ 1):
                raise _not_manifold(number, [self.head[entering], self.head[leaving]])
        patch_start, patch_end = self.next[entering], self.prev[leaving]
        after_gap = self.next[before_gap]
        self._link(before_gap, patch_start)
        self._link(patch_end, after_gap)
        self._link(entering, leaving)

    def _join_corner(self, vertex: int, entering: int, leaving: int, is_new: bool, follows_new: bool) -> bool:
        """Links the boundary around one corner of a new face; True if both its edges existed before
        and `leaving`, a boundary half-edge until now, was where walks around the vertex start."""
        outer_next, outer_prev = entering ^ 1, leaving ^ 1
        if is_new and follows_new:
            if self.outgoing[vertex] < 0:
                self._link(outer_prev, outer_next)
                self.outgoing[vertex] = outer_next
            else:
                boundary_next = self.outgoing[vertex]
                self._link(self.prev[boundary_next], outer_next)
                self._link(outer_prev, boundary_next)
        elif is_new:
            self._link(self.prev[leaving], outer_next)
            self.outgoing[vertex] = outer_next
        elif follows_new:
            self.outgoing[vertex] = self.next[entering]
            self._link(outer_prev, self.next[entering])
        else:
            return self.outgoing[vertex] == leaving
        return False

    def _prefer_boundary(self, vertex: int) -> None:
        for edge in self._spokes(vertex):
            if not self.has_face[edge]:
                self.outgoing[vertex] = edge
                return


def spiral_indices(faces, vertices, length: int) -> np.ndarray:
    """Spiral of every vertex: itself, its ring clockwise, the next ring, and so on, cut to `length`.

    `faces` [F, 3] integers in 0..V-1 (oriented, manifold; boundaries and vertices without a face are
    allowed), `vertices` [V, 3] positions in any unit. Returns int64 [V, length], equal as integers to
    the official release, which reads the rings from OpenMesh. Where a spiral cannot grow (the outermost
    ring has no new neighbours) it holds the `length` nearest vertices instead, the vertex itself
    included, by Euclidean distance and then by index.

    Raises ValueError for wrong shapes, indices out of range, a non-manifold mesh, or V < length.
    """
    faces, vertices = _checked(faces, vertices, length)
    mesh = HalfEdgeMesh(faces, len(vertices))
    rings = [mesh.ring(vertex) for vertex in range(len(vertices))]
    spirals = np.empty((len(vertices), length), dtype=np.int64)
    for vertex in range(len(vertices)):
        spiral = _spiral(rings, vertex, length)
        spirals[vertex] = spiral if spiral else _nearest(vertices, vertex, length)
    return spirals


def _spiral(rings: list[list[int]], vertex: int, length: int) -> list[int]:
    """Empty if the spiral cannot grow. One more ring than needed must exist: so does the release."""
    spiral, ring = [vertex], rings[vertex]
    following = _next_ring(rings, ring, spiral)
    spiral = spiral + ring
    while following and len(spiral) + len(following) < length:
        ring, following = following, _next_ring(rings, following, spiral)
        spiral = spiral + ring
    return (spiral + following)[:length] if following else []


def _next_ring(rings: list[list[int]], ring: list[int], inside: list[int]) -> list[int]:
    """New neighbours of a ring's vertices, each one's walk starting after its first neighbour on the ring."""
    on_ring = set(ring)
    seen = on_ring.union(inside)
    found = []
    for vertex in ring:
        around = rings[vertex]
        start = next((i for i, neighbour in enumerate(around) if neighbour in on_ring), 0)
        for neighbour in around[start:] + around[:start]:
            if neighbour not in seen:
                seen.add(neighbour)
                found.append(neighbour)
    return found


def _nearest(vertices: np.ndarray, vertex: int, count: int) -> np.ndarray:
    squared = ((vertices - vertices[vertex]) ** 2).sum(axis=1)
    squared[vertex] = -1.0  # itself first, even where another vertex lies at the same place
    return np.argsort(squared, kind="stable")[:count]


def _checked(faces, vertices, length: int) -> tuple[np.ndarray, np.ndarray]:
    faces, vertices = np.asarray(faces), np.asarray(vertices, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise ValueError(f"Expected finite vertices [V, 3], got {list(vertices.shape)}. Check the mesh file.")
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(
            f"Expected triangles as integers [F, 3], got {faces.dtype} {list(faces.shape)}. Triangulate the mesh first."
        )
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(
            f"Faces refer to vertices {faces.min()}..{faces.max()}, but the mesh has {len(vertices)} "
            f"(0..{len(vertices) - 1}). Check that faces and vertices belong together."
        )
    if not 1 <= length <= len(vertices):
        raise ValueError(
            f"Expected a spiral length in 1..{len(vertices)} (the number of vertices), got {length}. "
            "Use a shorter spiral or a finer mesh."
        )
    return faces.astype(np.int64), vertices


def _not_manifold(number: int, vertices: list[int]) -> ValueError:
    return ValueError(
        f"The mesh is not an oriented manifold: face {number} does not fit at the vertices {vertices} "
        "(more than two faces at an edge, flipped faces, or a closed surface touched in one point). "
        "Repair the mesh, then try again."
    )
