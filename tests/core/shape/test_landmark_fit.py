"""A 3D face from a photo alone: on drawn heads whose truth is known, and on real photos."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.experiments.drawn_heads import HELD_OUT, OwnHeads, distance, face_region
from fantasyid_core.face import find_face, landmarked_faces
from fantasyid_core.face.align import FaceCrop, centre_crop
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.options import NEUTRAL, PHOTOGRAPHED
from fantasyid_core.shape import edit_shape, fit_face
from fantasyid_core.shape.edit.editstate import parse_edit
from fantasyid_core.shape.edit.faceframe import face_frame
from fantasyid_core.shape.edit.warp import warp_face
from fantasyid_core.shape.mesh import vertex_normals
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reconstruct.calibration import load_calibration
from fantasyid_core.shape.reconstruct.landmark_fit import fit_landmarks, fit_points, mean_head_of
from fantasyid_core.shape.reconstruct.trust import CLEAR


@pytest.fixture(scope="module")
def astronaut():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photo is missing")
    return find_face([data.astronaut()], FaceRequest("mediapipe")).face


@pytest.fixture(scope="module")
def drawn():
    """Heads of people that took no part in the calibration, with their points."""
    pytest.importorskip("numba")
    return list(OwnHeads().heads(range(HELD_OUT + 100, HELD_OUT + 112)))


@pytest.fixture(scope="module")
def own_head():
    return mean_head_of()


def as_crop(side=256):
    return FaceCrop(np.zeros((side, side, 3), np.uint8), np.eye(2, 3))


def fitted(head, own_head, likeness=0.5, pose=NEUTRAL):
    return fit_points(as_crop(), head.points * (1, -1, -1), own_head, likeness, pose)


def test_drawn_heads_are_met_better_than_by_the_average_head(drawn, own_head):
    region = face_region(own_head.template)
    errors = [
        [distance(vertices[region], head.vertices[region])
         for vertices in (own_head.template, fitted(head, own_head, 0.0).shape.vertices.double().numpy())]
        for head in drawn
    ]  # fmt: skip
    template, fit = np.array(errors).T
    assert fit.mean() < 1.8 and fit.mean() < 0.95 * template.mean() and (fit < template).mean() >= 0.8


def test_without_taking_off_the_habit_the_head_is_worse(drawn, own_head):
    from dataclasses import replace

    blind = replace(own_head, calibration=replace(own_head.calibration, habit=np.zeros((468, 3))))
    region = face_region(own_head.template)
    both = [
        [distance(fitted(head, one, 1.0).shape.vertices.double().numpy()[region], head.vertices[region])
         for one in (own_head, blind)]
        for head in drawn[:6]
    ]  # fmt: skip
    assert np.mean(both, axis=0)[0] < np.mean(both, axis=0)[1]


def test_the_head_lies_where_the_drawn_one_does(drawn, own_head):
    for head in drawn:
        fit = fitted(head, own_head)
        true = head.pose.seen((head.vertices - own_head.middle) * 1000) * (1, -1, 1)
        region = face_region(own_head.template)
        eyes = 57.3 * head.pose.scale
        assert np.linalg.norm(fit.shape.seen[region, :2] - true[region, :2], axis=1).mean() < 0.06 * eyes
        turned = fit.pose.rotation.T @ head.pose.rotation
        assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 12


def test_on_a_photo_the_head_lies_on_the_points(astronaut, own_head):
    fit = fit_landmarks(astronaut)
    assert len(fit.shape.vertices) == len(head_mesh().template) and fit.notes == ()
    in_crop = own_head.calibration.places(fit.shape.seen)[:, :2] @ astronaut.matrix[:, :2].T + astronaut.matrix[:, 2]
    eyes = np.linalg.norm(np.subtract(*(astronaut.points[:2] @ astronaut.matrix[:, :2].T)))
    assert np.linalg.norm(in_crop - fit.points, axis=1).mean() < 0.025 * eyes
    places, found = own_head.calibration.places(own_head.millimetres(fit.shape.vertices.numpy())), fit.points
    laid = fit.pose.seen(places + own_head.calibration.habit)[:, :2] * (1, -1)
    assert np.linalg.norm(laid - found, axis=1).mean() < 0.025 * eyes


def test_more_likeness_comes_nearer_to_the_photo(astronaut, own_head):
    misses = []
    for likeness in (0.0, 0.5, 1.0):
        fit = fit_landmarks(astronaut, likeness=likeness)
        places = own_head.calibration.places(own_head.millimetres(fit.shape.vertices.numpy()))
        laid = fit.pose.seen(places + own_head.calibration.habit)[:, :2] * (1, -1)
        misses.append(np.linalg.norm(laid - fit.points, axis=1).mean())
    assert misses[2] < 0.5 * misses[1] < 0.5 * misses[0]


@pytest.mark.parametrize("change", ["mirrored", "turned", "half the size"])
def test_the_same_person_gets_the_same_head_and_others_another(astronaut, own_head, change):
    photo, region = astronaut.picture, face_region(own_head.template)
    changed = {"mirrored": photo[:, ::-1], "turned": np.rot90(photo), "half the size": photo[::2, ::2]}[change]
    first = fit_face(photo).vertices.double().numpy()
    second = fit_face(np.ascontiguousarray(changed)).vertices.double().numpy()
    if change == "mirrored":
        second = second[head_mesh().mirror] * (-1, 1, 1)
    assert distance(first[region], second[region]) < 1.0


def test_the_skull_stays_and_no_triangle_turns_over(astronaut, own_head):
    mesh, bare = head_mesh(), fit_landmarks(astronaut, likeness=0.0).shape.vertices.double().numpy()
    made = fit_landmarks(astronaut, likeness=1.0).shape.vertices.double().numpy()
    places = own_head.calibration.places(mesh.template)
    far = np.sqrt(((mesh.template[:, None] - places) ** 2).sum(-1)).min(1) > 0.065
    assert far.sum() > 500 and np.abs(made - bare)[far].max() < 1e-6
    first, second, third = made[mesh.faces].transpose(1, 0, 2)
    normals = np.cross(second - first, third - first)
    assert (np.einsum("fi,fi->f", normals, vertex_normals(made, mesh.faces)[mesh.faces[:, 0]]) < 0).mean() < 0.002


def test_the_result_is_an_edit_that_sliders_go_on_from(astronaut):
    shape = fit_face(astronaut, likeness=0.0)
    edit = parse_edit(shape.edit)
    assert len(edit.values) > 25 and not edit.notes
    again = edit_shape(head_mesh().template.astype(np.float32), edit)
    assert np.abs(shape.vertices.numpy() - again).max() < 1e-5
    wider = edit_shape(shape.vertices, {"face_width": 1.0})
    warped = warp_face(astronaut, shape.vertices, wider, shape.faces, shape.seen)
    moved = np.abs(warped.crop.astype(int) - astronaut.crop).mean(axis=(1, 2))
    assert moved.mean() > 0.5 and not any("five points" in note for note in warped.notes)


def test_as_photographed_has_the_turn_of_the_photo(drawn, own_head):
    head = max(drawn, key=lambda one: abs(np.degrees(np.arcsin(one.pose.rotation[0, 2]))))
    neutral, turned = (fitted(head, own_head, pose=pose) for pose in (NEUTRAL, PHOTOGRAPHED))
    rotation = face_frame(turned.shape.vertices).rotation @ face_frame(neutral.shape.vertices).rotation.T
    np.testing.assert_allclose(rotation, turned.pose.rotation, atol=0.02)
    np.testing.assert_array_equal(neutral.shape.seen, turned.shape.seen)


@pytest.mark.parametrize(
    "degrees, note", [(10, None), (35, "sliders were set to"), (65, "half of its points are guesses")]
)
def test_from_the_side_the_sliders_fade_out(own_head, degrees, note):
    known = own_head.calibration
    yaw = np.deg2rad(degrees)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    wide = (known.mean * (1.08, 1, 1)) @ turn.T
    fit = fit_points(as_crop(), wide * (1, -1, -1) + (128, 128, 0), own_head, 0.5, NEUTRAL)
    values = [abs(pair[0]) for pair in parse_edit(fit.shape.edit).values.values()]
    assert fit.pose.yaw == pytest.approx(degrees, abs=1.5)
    assert (max(values, default=0) == 0) == (degrees > 45)
    assert fit.notes == () if note is None else note in fit.notes[0]


def test_covered_faces_and_doubtful_ones_are_said(own_head):
    known = own_head.calibration
    noise = np.random.default_rng(0).normal(0, 4, (468, 3)) * (1, 1, 0)
    good, bad = (
        fit_points(as_crop(), (known.mean + shift) * (1, -1, -1), own_head, 0.5, NEUTRAL) for shift in (0, noise)
    )
    assert good.notes == () and "seems to be covered, painted, blurred or no person's" in bad.notes[0]
    dim = CLEAR._replace(presence=0.6)
    unsure = fit_points(as_crop(), known.mean * (1, -1, -1), own_head, 0.5, NEUTRAL, dim)
    assert "surely seen to 60%" in unsure.notes[0]


def test_of_two_faces_the_crops_own_is_taken(astronaut):
    small = astronaut.picture[0:230, 120:350]
    two = np.concatenate([small, small[:, ::-1]], axis=1)
    faces = landmarked_faces(two)
    assert len(faces) == 2
    for nth in (0, 1):
        face = find_face([two], FaceRequest("mediapipe", how="left to right", number=nth)).face
        middle = fit_face(face).seen[:, 0].mean()
        assert (middle > 230) == bool(nth)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"photo": np.zeros((300, 300, 3), np.uint8)}, "no face found"),
        ({"photo": centre_crop(np.full((300, 300, 3), 90, np.uint8))}, "No face is seen in the crop"),
        ({"photo": np.zeros((300, 300, 3))}, r"np.uint8 \[H,W,3\] RGB, got float64"),
        ({"likeness": 1.5}, "likeness of 0 to 1, got 1.5"),
        ({"likeness": float("nan")}, "likeness of 0 to 1, got nan"),
        ({"pose": "asleep"}, "a pose among neutral, as photographed, got 'asleep'"),
    ],
)
def test_bad_input_is_explained(astronaut, arguments, message):
    with pytest.raises(ValueError, match=f"(?i){message}"):
        fit_face(**({"photo": astronaut} | arguments))


def test_flame_and_the_own_head_have_a_calibration_and_no_other_mesh():
    for count in (5023, len(head_mesh().template)):
        known = load_calibration(count)
        assert known.corners.max() < count and known.matrix.shape == (936, len(known.names))
        np.testing.assert_allclose(known.weights.sum(axis=1), 1)
    with pytest.raises(ValueError, match="got 2562: landmarks are placed on these two meshes only"):
        load_calibration(2562)


def test_with_flames_topology_the_head_is_flames(astronaut, licensed):
    from fantasyid_core.shape import load_topology

    topology = load_topology(licensed("transform.pkl"))
    head, fit = mean_head_of(topology), fit_landmarks(astronaut, topology)
    assert len(fit.shape.vertices) == 5023
    for start, stop in head.frame.mesh.eyeballs.values():
        balls = [vertices[start:stop] for vertices in (head.template, fit.shape.vertices.double().numpy())]
        before, after = (np.linalg.norm(ball - ball.mean(axis=0), axis=1) for ball in balls)
        ratio = after / before
        assert ratio.std() < 0.02 * ratio.mean()
    laid = fit.pose.seen(head.calibration.places(head.millimetres(fit.shape.vertices.numpy())) + head.calibration.habit)
    eyes = np.linalg.norm(np.subtract(*(astronaut.points[:2] @ astronaut.matrix[:, :2].T)))
    assert np.linalg.norm(laid[:, :2] * (1, -1) - fit.points, axis=1).mean() < 0.025 * eyes


def test_turned_faces_of_a_group_are_laid_on_their_points_and_said_to_be_turned(own_head):
    from pathlib import Path

    from fantasyid_core.face import load_picture

    insightface = pytest.importorskip("insightface", reason="insightface is not installed: its photo is missing")
    photo = load_picture(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg")
    for number in (0, 1, 4):
        face = find_face([photo], FaceRequest("mediapipe", how="left to right", number=number)).face
        fit = fit_landmarks(face, own_head)
        places = own_head.calibration.places(fit.shape.seen)[:, :2] @ face.matrix[:, :2].T + face.matrix[:, 2]
        eyes = np.linalg.norm(np.subtract(*(face.points[:2] @ face.matrix[:, :2].T)))
        assert np.linalg.norm(places - fit.points, axis=1).mean() < 0.04 * eyes
        assert any("The head is turned by about" in note for note in fit.notes) == (number > 0)


def test_values_at_the_points_are_carried_as_the_weights_say(own_head):
    values = np.random.default_rng(2).standard_normal((468, 3))
    for columns in (values, values[:, :2]):
        np.testing.assert_allclose(own_head.carried(columns), own_head.gain @ columns, atol=1e-12)
