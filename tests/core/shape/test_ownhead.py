"""The topology of the project's own heads: closed, symmetric, named."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.people.surface_regions import REGIONS, five_points, landmark_vertices, region, region_of_vertices
from fantasyid_core.shape.ownhead.mesh import head_mesh, nearest_vertices
from fantasyid_core.shape.ownhead.surface import skull, smooth_curve, surface
from fantasyid_core.shape.topology.spiral import HalfEdgeMesh, spiral_indices


def edges(faces: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1), strict=True)}


def test_the_mesh_is_one_closed_oriented_sphere():
    mesh = head_mesh()
    directed = edges(mesh.faces)
    assert 1200 <= len(mesh.template) <= 2500
    assert len(directed) == 3 * len(mesh.faces)  # no edge twice in the same direction
    assert directed == {(b, a) for a, b in directed}  # and each in both: no boundary
    assert len(mesh.template) - len(directed) // 2 + len(mesh.faces) == 2
    reached, front = set(), {0}
    beside = {}
    for a, b in directed:
        beside.setdefault(a, []).append(b)
    while front:
        reached |= front
        front = {b for a in front for b in beside[a]} - reached
    assert len(reached) == len(mesh.template)


def test_faces_look_outwards_and_none_is_a_sliver():
    corners = head_mesh().template[head_mesh().faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.003 < volume < 0.006  # cubic metres of a head with its neck
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert (sides.max(axis=1) ** 2 / area).max() < 8  # 2.3 for an equilateral triangle


def test_the_vertex_networks_can_walk_it():
    mesh = head_mesh()
    spirals = spiral_indices(mesh.faces, mesh.template, 9)
    assert spirals.shape == (len(mesh.template), 9)
    half_edges = HalfEdgeMesh(mesh.faces, len(mesh.template))
    degrees = [len(half_edges.ring(vertex)) for vertex in range(len(mesh.template))]
    assert 4 <= min(degrees) and max(degrees) <= 9 and np.mean(np.isin(degrees, (5, 6, 7))) > 0.97


def test_the_mesh_is_its_own_mirror_image_to_the_last_bit():
    mesh = head_mesh()
    np.testing.assert_array_equal(mesh.mirror[mesh.mirror], np.arange(len(mesh.mirror)))
    np.testing.assert_array_equal(mesh.template[mesh.mirror], mesh.template * (-1, 1, 1))
    assert edges(mesh.mirror[mesh.faces][:, ::-1]) == edges(mesh.faces)
    middle = mesh.mirror == np.arange(len(mesh.mirror))
    assert middle.sum() > 40 and (mesh.template[middle, 0] == 0).all()


def test_the_arrays_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        head_mesh().template[0] = 0


def test_vertices_crowd_where_the_face_is_fine():
    places = head_mesh().template * 1000
    count = lambda centre, reach: (np.linalg.norm(places - centre, axis=1) < reach).sum()  # noqa: E731
    assert count((0, -65, 88), 20) > 3 * count((0, 80, 70), 20)
    assert count((32, 0, 80), 20) > 2 * count((0, 80, 70), 20)


def test_every_vertex_has_one_region_and_every_region_vertices():
    counts = np.bincount(region_of_vertices(), minlength=len(REGIONS))
    assert counts.sum() == len(head_mesh().template) and counts.min() >= 10
    names = np.array(REGIONS)[region_of_vertices()]
    swapped = np.array([_other_side(name) for name in names])
    np.testing.assert_array_equal(names[head_mesh().mirror], swapped)


def _other_side(name: str) -> str:
    for side, other in (("left", "right"), ("right", "left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("nose", (0, -34, 109)), ("chin", (0, -100, 86)), ("brow right", (31, 22, 86)), ("ear left", (-84, -5, -25)),
        ("scalp", (0, 110, 20)), ("neck", (0, -150, 25)), ("forehead", (0, 50, 88)), ("cheek right", (45, -40, 62)),
        ("eyeball left", (-31.5, 0, 82)), ("upper lip", (0, -60, 90)), ("lower lip", (0, -70, 90)),
        ("jaw right", (48, -85, 20)),
    ],
)  # fmt: skip
def test_regions_lie_where_their_names_say(name, place):
    assert REGIONS[region_of_vertices()[nearest_vertices([place])[0]]] == name


def test_a_region_can_be_asked_for_by_side_or_whole():
    both = region("eye")
    np.testing.assert_array_equal(both, np.sort(np.concatenate([region("eye left"), region("eye right")])))
    assert (head_mesh().template[region("ear left"), 0] < 0).all()
    with pytest.raises(ValueError, match="Unknown region 'beak'.*nose"):
        region("beak")


def test_landmarks_are_the_usual_68():
    marks = head_mesh().template[landmark_vertices()] * 1000
    order = [16 - i for i in range(17)] + [26 - i for i in range(10)] + [27, 28, 29, 30] + [35 - i for i in range(5)]
    order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    order += [54 - i for i in range(7)] + [59 - i for i in range(5)] + [64 - i for i in range(5)] + [67, 66, 65]
    assert len(marks) == 68
    np.testing.assert_allclose(marks[order], marks * (-1, 1, 1), atol=1e-9)  # mirrored, as the order says
    assert (np.diff(marks[:17, 0]) > 0).all() and marks[8, 1] == marks[:17, 1].min()
    assert marks[30, 2] == marks[:, 2].max()  # the tip of the nose
    assert marks[36:42, 0].max() < 0 < marks[42:48, 0].min()  # left eye, right eye
    assert marks[17:27, 1].min() > marks[36:48, 1].max()
    assert marks[48, 0] == marks[48:, 0].min() and marks[54, 0] == marks[48:, 0].max()


def test_five_points_are_ordered_as_in_pictures():
    points = five_points(head_mesh().template)
    eye_left, eye_right, nose, mouth_left, mouth_right = points
    assert eye_left[0] < nose[0] < eye_right[0] and mouth_left[0] < nose[0] < mouth_right[0]
    assert eye_left[1] > nose[1] > mouth_left[1]
    assert five_points(np.zeros((2, 3, len(head_mesh().template), 2))).shape == (2, 3, 5, 2)


def test_the_surface_is_closed_at_its_poles_and_smooth_between():
    poles = surface(np.array([[0, 1.0, 0], [1e-9, 1, 0], [0, -1, 0], [0, -1, 1e-9]]))
    np.testing.assert_allclose(poles[0], poles[1], atol=1e-3)
    np.testing.assert_allclose(poles[2], poles[3], atol=1e-3)
    turn = np.full(2001, 0.3)
    steps = np.linalg.norm(np.diff(skull(turn, np.linspace(0, 1, 2001)), axis=0), axis=1)
    assert steps.max() < 1.5  # millimetres: no jump


def test_smooth_curves_meet_their_knots_without_overshoot():
    knots, values = np.array([0.0, 1, 3, 4]), np.array([[0.0], [1], [1], [5]])
    np.testing.assert_allclose(smooth_curve(knots, knots, values), values)
    between = smooth_curve(np.linspace(0, 4, 101), knots, values)[:, 0]
    assert (np.diff(between) >= -1e-12).all()
    line = smooth_curve(np.linspace(0, 4, 9), knots, 2 * knots[:, None])[:, 0]
    np.testing.assert_allclose(line, 2 * np.linspace(0, 4, 9))
