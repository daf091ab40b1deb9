"""The order of a head's vertices: real faces, poses and edits pass, every other order is told apart from them."""

import numpy as np
import pytest
import trimesh
from facesamples import OWN, official_head, official_names, own_head

from fantasyid_core.shape.order import MAX_MISFIT, MAX_TORN, best_fit, check_order, check_triangles, torn_edges
from fantasyid_core.shape.ownhead.mesh import head_mesh

V = len(head_mesh().template)


@pytest.fixture(scope="module", params=OWN)
def head(request):
    """A person's head of the project's own mesh."""
    return own_head(request.param).vertices.astype(np.float64)


@pytest.fixture(scope="module")
def template():
    return head_mesh().template


@pytest.fixture(scope="module")
def faces():
    return head_mesh().faces


def turn(axis, degrees):  # [..., 3, 3]
    """Rodrigues' formula about one of x, y, z, for an array of angles."""
    angles = np.radians(np.asarray(degrees, np.float64))[..., None, None]
    x, y, z = np.eye(3)["xyz".index(axis)]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * cross @ cross


def smooth(values, start, end):
    share = ((values - start) / (end - start)).clip(0, 1)
    return share**2 * (3 - 2 * share)


def turned_neck(head, axis, degrees):
    """The head turned on a neck that stays, as FLAME's neck joint does."""
    joint = head.mean(axis=0) + (0, -0.1, -0.03)
    share = smooth(head[:, 1] - head[:, 1].mean(), -0.13, -0.06)
    return joint + np.einsum("vij,vj->vi", turn(axis, degrees * share), head - joint)


def open_jaw(head, degrees):
    joint = head.mean(axis=0) + (0, 0, -0.02)
    from_middle = head - head.mean(axis=0)
    share = smooth(-from_middle[:, 1], 0.03, 0.06) * smooth(from_middle[:, 2], -0.02, 0.03)
    return joint + np.einsum("vij,vj->vi", turn("x", degrees * share), head - joint)


def exaggerated(head, template, times):
    """A face's difference from the mean face, several times over."""
    fit = best_fit(head, template)
    upright = (head - head.mean(axis=0)) @ fit.turn.T / fit.size
    mean = template - template.mean(axis=0)
    return mean + times * (upright - mean)


def first_seen(faces):
    """The order in which a mesh that is rebuilt from its triangles names its vertices."""
    _, first = np.unique(faces, return_index=True)
    return faces.ravel()[np.sort(first)]


def test_real_faces_pass_without_a_note(head, template, faces):
    real_face_passes(head, template, faces)


def real_face_passes(head, template, faces):
    assert check_order(head, template, faces) == "" == check_order(head, template)
    fit = best_fit(head, template)
    assert fit.misfit < 0.08 and np.linalg.det(fit.turn) > 0 and 0.9 < fit.size < 1.1
    assert torn_edges(head, template, faces) == 0


POSES = {
    "jaw": lambda head, _: open_jaw(head, 30),
    "tilted": lambda head, _: turned_neck(head, "z", 20),
    "turned": lambda head, _: turned_neck(head, "y", -30),
    "exaggerated": lambda head, mean: exaggerated(head, mean, 3),
    "wide": lambda head, _: head * (1.3, 1, 1),
    "flat": lambda head, _: head * (1, 1, 0.5),
    "noise": lambda head, _: head + np.random.default_rng(0).normal(0, 0.001, head.shape),
    "moved": lambda head, _: head + (3, -2, 5),
}


def passes(head, template, faces):
    assert check_order(head, template, faces) == ""
    assert best_fit(head, template).misfit < 0.6 * MAX_MISFIT
    assert torn_edges(head, template, faces) < 0.2 * MAX_TORN


@pytest.mark.parametrize("pose", POSES)
def test_poses_expressions_and_strong_edits_pass(head, template, faces, pose):
    passes(POSES[pose](head, template), template, faces)


@pytest.mark.parametrize("axis, degrees", [("y", 75), ("y", -90), ("x", 60), ("z", 90)])
def test_turned_necks_pass_with_a_note(head, template, faces, axis, degrees):
    changed = turned_neck(open_jaw(head, 30), axis, degrees)
    assert "the head is turned by" in check_order(changed, template, faces)
    assert best_fit(changed, template).misfit < 0.6 * MAX_MISFIT
    assert torn_edges(changed, template, faces) < 0.2 * MAX_TORN


REORDERED = {
    "shuffled": (lambda head, _: np.random.default_rng(1).permutation(head), "shuffled: .* (9.|100)% of its radius"),
    "reversed": (lambda head, _: head[::-1], "reversed"),
    "x": (lambda head, _: head[np.argsort(head[:, 0])], "sorted along x"),
    "y": (lambda head, _: head[np.argsort(-head[:, 1])], "sorted along y"),
    "z": (lambda head, _: head[np.lexsort(head.T)], "sorted along z"),
    "first seen": (lambda head, faces: head[first_seen(faces)], "shuffled"),
    "end first": (lambda head, _: np.roll(head, len(head) // 5, axis=0), "shuffled"),
    "rolled": (lambda head, _: np.roll(head, 1, axis=0), "shuffled"),
    "halved": (lambda head, _: np.repeat(head[::2], 2, axis=0)[: len(head)], "decimated and padded: [0-9]+"),
    "decimated": (
        lambda head, _: np.resize(np.random.default_rng(2).permutation(head)[: len(head) // 2], head.shape),
        "decimated and padded",
    ),
}


def is_refused(head, template, faces, looks):
    message = f"Head: its {len(head)} vertices are not in FLAME's order. They look {looks}.*merge, clean.*order kept"
    with pytest.raises(ValueError, match=message):
        check_order(head, template, faces, "Head")


@pytest.mark.parametrize("order", REORDERED)
def test_other_orders_are_refused(head, template, faces, order):
    reorder, looks = REORDERED[order]
    is_refused(reorder(head, faces), template, faces, looks)


@pytest.mark.parametrize("name", official_names())
def test_official_heads_pass_in_every_pose_and_are_refused_in_every_other_order(licensed, name):
    head, faces, template = (np.asarray(part) for part in official_head(licensed, name)[1:])
    real_face_passes(head, template, faces)
    for change in POSES.values():
        passes(change(head.astype(float), template), template, faces)
    for reorder, looks in REORDERED.values():
        is_refused(reorder(head, faces), template, faces, looks)


def test_a_mesh_that_a_program_welded_is_refused(head, template, faces):
    """trimesh's own cleaning of triangles that share no vertices, as an .stl file holds them."""
    loose = trimesh.Trimesh(head[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3), process=False)
    loose.merge_vertices()
    assert len(loose.vertices) == V
    with pytest.raises(ValueError, match="not in FLAME's order"):
        check_order(loose.vertices, template, faces)
    kept = trimesh.Trimesh(head, faces, process=True)  # a cleaning that leaves the order alone
    assert check_order(kept.vertices, template, faces) == ""


@pytest.mark.parametrize("count", [50, 200, 1000])
def test_a_few_exchanged_vertices_are_found_with_the_faces(head, template, faces, count):
    generator = np.random.default_rng(count)
    some = generator.permutation(V)[:count]
    damaged = head.copy()
    damaged[some] = head[generator.permutation(some)]
    with pytest.raises(ValueError, match="partly shuffled: .*% of the edges|look shuffled"):
        check_order(damaged, template, faces)
    if count == 50:
        assert check_order(damaged, template) == ""  # that is what the faces are for


def test_shuffled_heads_are_found_without_the_faces(head, template, faces):
    shuffled = np.random.default_rng(3).permutation(V)
    for order in (shuffled, np.arange(V)[::-1], np.argsort(head[:, 1]), first_seen(faces)):
        assert best_fit(head[order], template).misfit > 1.7 * MAX_MISFIT
        with pytest.raises(ValueError, match="not in FLAME's order"):
            check_order(head[order], template)


@pytest.mark.parametrize(
    "mirror, reading",
    [
        (lambda x, y, z: (-x, y, z), r"x flipped\).* \(-x, y, z\)"),
        (lambda x, y, z: (x, y, -z), r"z flipped\).* \(x, y, -z\)"),
        (lambda x, y, z: (x, z, y), r"y and z swapped\).* \(x, z, y\)"),
        (lambda x, y, z: (z, -y, -x), r"x and z swapped, x flipped, y flipped\).* \(-z, -y, x\)"),
    ],
)
def test_mirrored_heads_are_refused(head, template, faces, mirror, reading):
    mirrored = np.stack(mirror(*head.T), axis=1)
    with pytest.raises(ValueError, match=f"Head: the head is mirrored .{reading}, its coordinates would fit"):
        check_order(mirrored, template, faces, "Head")


@pytest.mark.parametrize("degrees", [60, 90, 120])
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_turned_heads_are_a_note_with_the_angle(template, faces, axis, degrees):
    note = check_order(template @ turn(axis, degrees).T, template, faces, "Head")
    assert f"Head: the head is turned by {degrees} degrees" in note
    up = {"x": "z", "z": "-x"}.get(axis)
    assert f"axes swapped: {up} up instead of y up" in note if up else "(sideways)" in note
    assert "along +z" in note


def test_a_blender_export_with_z_up_is_a_note(head, template, faces):
    x, y, z = head.T
    note = check_order(np.stack([x, -z, y], axis=1), template, faces)
    assert "axes swapped: z up instead of y up" in note and "Blender: Forward -Z, Up Y" in note


def test_turns_in_between_are_told_by_their_axis(template):
    for axis, way in (("x", "up or down"), ("y", "sideways"), ("z", "towards a shoulder")):
        assert f"turned by 50 degrees from FLAME's ({way})" in check_order(template @ turn(axis, 50).T, template)
    assert "turned by 180 degrees from FLAME's (sideways)" in check_order(template @ turn("y", 180).T, template)
    assert check_order(template @ turn("x", 40).T, template) == ""


@pytest.mark.parametrize("scale", [1000, 100, 2, 0.5])
def test_other_units_pass_with_a_note(head, template, faces, scale):
    note = check_order(head * scale, template, faces)
    assert "times as large as FLAME's" in note and "turned" not in note


def test_the_fit_recovers_a_known_similarity(template):
    generator = np.random.default_rng(4)
    rotation = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    for expected in (rotation, rotation * (-1, 1, 1)):
        fit = best_fit((template * 2.5) @ expected + (1, 2, 3), template)
        np.testing.assert_allclose(fit.turn, expected, atol=1e-12)
        assert fit.misfit < 1e-6 and fit.size == pytest.approx(2.5)
    noise = generator.standard_normal(template.shape)
    assert best_fit(noise, template).misfit > 0.98


def test_bad_input_is_refused(head, template, faces):
    broken = head.copy()
    broken[7, 2] = np.nan
    for vertices, message in [
        (broken, f"Head: expected finite coordinates, got NaN .* in 1 of {V} vertices, the first at index 7"),
        (head[:100], rf"as many vertices as FLAME's template has, \[{V}, 3\], got \[100, 3\]. Use a FLAME head"),
        (head[None], rf"got \[1, {V}, 3\]"),
        (np.ones_like(head), "Head: all vertices lie in one place"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_order(vertices, template, faces, "Head")
    with pytest.raises(ValueError, match=f"FLAME's mesh: expected faces that name vertices 0 to {V - 1}"):
        check_order(head, template, [[0, 1, V]])


def test_triangles_are_compared_whatever_their_order_and_first_corner(faces):
    assert check_triangles(faces, faces) == ""
    same = np.roll(np.random.default_rng(5).permutation(faces), 1, axis=1)
    assert check_triangles(same, faces) == ""
    assert check_triangles(faces[:0], faces) == ""
    assert "inside out" in check_triangles(faces[:, ::-1], faces)
    assert "100% of its 4000 triangles are FLAME's (which has 4468)" in check_triangles(faces[:4000], faces)


def test_foreign_triangles_are_an_error_or_a_note(faces):
    renamed = np.random.default_rng(6).permutation(V)[faces]
    with pytest.raises(ValueError, match=f"Head: 0% of its {len(faces)} triangles join .* not in FLAME's order"):
        check_triangles(renamed, faces, "Head")
    assert f"0% of its {len(faces)} triangles are FLAME's" in check_triangles(renamed, faces, "Head", ordered=True)
