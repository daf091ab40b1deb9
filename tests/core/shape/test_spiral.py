"""Spirals: the release's integers, OpenMesh's rings on awkward meshes, and what is refused."""

import numpy as np
import pytest

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.topology.spiral import HalfEdgeMesh, spiral_indices

# Random meshes and the rings that OpenMesh 1.2.1 (`mesh.vv`) gave for them: a closed surface and a patch
# whose shuffled faces meet in single vertices while the mesh is built, so that gaps have to be moved.
CLOSED = [
    [9, 4, 7], [2, 1, 8], [6, 1, 2], [6, 2, 4], [3, 8, 0], [0, 5, 3], [0, 6, 9], [9, 5, 0],
    [7, 8, 5], [2, 7, 4], [7, 2, 8], [9, 7, 5], [0, 8, 1], [6, 0, 1], [3, 5, 8], [4, 9, 6],
]  # fmt: skip
CLOSED_RINGS = [
    [1, 8, 3, 5, 9, 6], [6, 2, 8, 0], [8, 1, 6, 4, 7], [5, 0, 8], [9, 7, 2, 6],
    [8, 7, 9, 0, 3], [4, 2, 1, 0, 9], [5, 8, 2, 4, 9], [3, 0, 1, 2, 7, 5], [6, 0, 5, 7, 4],
]  # fmt: skip
PATCH = [
    [7, 9, 4], [8, 9, 6], [5, 8, 6], [1, 10, 7], [7, 4, 0], [2, 1, 3], [5, 7, 10],
    [2, 3, 5], [10, 2, 5], [10, 1, 2], [7, 5, 6], [7, 0, 1], [9, 7, 6],
]  # fmt: skip
PATCH_RINGS = [
    [4, 7, 1], [0, 7, 10, 2, 3], [10, 5, 3, 1], [1, 2, 5], [9, 7, 0], [3, 2, 10, 7, 6, 8],
    [9, 8, 5, 7], [6, 5, 10, 1, 0, 4, 9], [5, 6, 9], [8, 6, 7, 4], [1, 7, 5, 2],
]  # fmt: skip
FAN = [[0, 1, 2], [0, 2, 3], [0, 3, 4]]  # counter-clockwise around vertex 0, open between 4 and 1


@pytest.mark.parametrize("faces, rings", [(CLOSED, CLOSED_RINGS), (PATCH, PATCH_RINGS)])
def test_rings_are_those_of_openmesh(faces, rings):
    mesh = HalfEdgeMesh(np.array(faces), len(rings))
    assert [mesh.ring(vertex) for vertex in range(len(rings))] == rings


def test_a_fan_is_walked_clockwise_from_its_boundary():
    mesh = HalfEdgeMesh(np.array(FAN), 6)
    assert mesh.ring(0) == [4, 3, 2, 1]
    assert mesh.ring(5) == []


def test_rings_of_a_closed_mesh_are_whole_and_clockwise():
    vertices, faces = (tensor.numpy() for tensor in synthetic_head(2))
    mesh = HalfEdgeMesh(faces, len(vertices))
    turned = np.concatenate([np.roll(faces, turn, axis=1) for turn in range(3)]).tolist()
    corners = {(a, b): c for a, b, c in turned}
    for vertex in range(len(vertices)):
        ring = mesh.ring(vertex)
        assert sorted(ring) == sorted(b for a, b in corners if a == vertex)
        # The face at the left of the edge vertex -> b has c as its third corner, so c is followed by b.
        assert all(corners[vertex, b] == c for c, b in zip(ring, ring[1:] + ring[:1], strict=True))


@pytest.mark.parametrize("level", [0, 1])
def test_spirals_are_those_of_the_official_code(golden, reference_topology, level):
    spirals = reference_topology.spirals[level].numpy()
    assert spirals.dtype == np.int64
    np.testing.assert_array_equal(spirals, golden[f"spirals.{level}"])


def test_a_spiral_winds_ring_by_ring():
    vertices, faces = synthetic_head(2)
    spirals = spiral_indices(faces, vertices, 19)
    rings = [HalfEdgeMesh(faces.numpy(), len(vertices)).ring(vertex) for vertex in range(len(vertices))]
    for vertex, spiral in enumerate(spirals):
        first = len(rings[vertex])
        assert spiral[0] == vertex and spiral[1 : 1 + first].tolist() == rings[vertex]
        second = set(sum((rings[near] for near in rings[vertex]), [])) - {vertex, *rings[vertex]}
        shown = spiral[1 + first : 1 + first + len(second)].tolist()
        assert len(set(spiral)) == 19 and set(shown) <= second
        # Walks start after a vertex that is on the spiral already, so steps along it are edges of the mesh.
        assert all(b in rings[a] for a, b in zip(shown, shown[1:], strict=False))


def test_where_no_ring_is_left_the_nearest_vertices_are_taken():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [9, 9, 9], [0.5, 0, 0], [0, -0.5, 0]], dtype=float)
    spirals = spiral_indices(np.array([[0, 1, 2]]), vertices, 4)
    assert spirals[0].tolist() == [0, 4, 5, 1]  # 4 and 5 are equally far: the lower index first
    assert spirals[3].tolist()[0] == 3
    assert sorted(spirals[3].tolist()) == [1, 2, 3, 4]


def test_the_nearest_vertex_is_the_vertex_itself_even_among_doubles():
    spirals = spiral_indices(np.array([[0, 1, 2]]), np.zeros((3, 3)), 2)
    assert spirals.tolist() == [[0, 1], [1, 0], [2, 0]]


@pytest.mark.parametrize(
    "faces",
    [
        [[0, 1, 2], [1, 0, 3], [0, 1, 4]],  # three faces at one edge
        [[0, 1, 2], [0, 1, 3]],  # the second face is flipped
        CLOSED + [[0, 10, 11]],  # a face that touches a closed surface in one point
    ],
)
def test_a_mesh_that_is_no_manifold_is_refused(faces):
    with pytest.raises(ValueError, match=rf"not an oriented manifold: face {len(faces) - 1} .*Repair"):
        spiral_indices(np.array(faces), np.zeros((12, 3)), 3)


@pytest.mark.parametrize(
    "faces, vertices, length, message",
    [
        ([[0, 1, 1]], np.zeros((3, 3)), 3, r"Face 0 has the vertices \[0, 1, 1\].*three different"),
        ([[0, 1, 3]], np.zeros((3, 3)), 3, r"vertices 0\.\.3, but the mesh has 3"),
        ([[0, 1, -1]], np.zeros((3, 3)), 3, r"vertices -1\.\.1"),
        ([[0, 1, 2, 3]], np.zeros((4, 3)), 3, r"triangles as integers.*\[1, 4\]"),
        ([[0.0, 1.0, 2.0]], np.zeros((3, 3)), 3, "integers.*float64"),
        (FAN, np.zeros((5, 2)), 3, r"vertices \[V, 3\], got \[5, 2\]"),
        (FAN, np.full((5, 3), np.nan), 3, "finite"),
        (FAN, np.zeros((5, 3)), 6, r"length in 1\.\.5.*got 6"),
        (FAN, np.zeros((5, 3)), 0, "got 0"),
    ],
)
def test_bad_meshes_are_refused(faces, vertices, length, message):
    with pytest.raises(ValueError, match=message):
        spiral_indices(np.array(faces), vertices, length)
