"""The places of a face, and face coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from facesamples import OWN, SAMPLES, faces_of, landmarks_of, own_head, sample, turn
from standinflame import stand_in_person

from fantasyid_core.shape.edit.faceframe import face_frame, face_places, five_places
from fantasyid_core.shape.edit.places import mesh_places
from fantasyid_core.shape.head import synthetic_head
from fantasyid_core.shape.ownhead.mesh import head_mesh

FLAME_HEADS = ("template", *SAMPLES)


def components(faces, count):
    """The number of the connected part of every vertex."""
    part = np.arange(count)
    while True:
        lowest = part[faces].min(axis=1)
        new = part.copy()
        np.minimum.at(new, faces.ravel(), np.repeat(lowest, 3))
        if (new == part).all():
            return part
        part = new


def boundary(faces):
    """Edges [E,2] that only one triangle has."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    found, counts = np.unique(edges, axis=0, return_counts=True)
    return found[counts == 1]


def test_the_eyeballs_are_the_separate_parts_of_the_mesh(licensed):
    part = components(faces_of(licensed), 5023)
    assert len(np.unique(part)) == 3
    for start, stop in mesh_places(5023).eyeballs.values():
        assert len(np.unique(part[start:stop])) == 1 and (part == part[start]).sum() == stop - start
    places = face_places(sample(licensed, "template"))
    assert places["eye_right"][0] > 0.03 and places["eye_left"][0] < -0.03


def test_the_lips_lie_on_the_two_sides_of_the_mouths_opening(licensed):
    faces, lips = faces_of(licensed), mesh_places(5023).lips
    template = sample(licensed, "template")
    assert not set(lips["upper"]) & set(lips["lower"])
    rim = np.unique(boundary(faces))
    rim = rim[template[rim, 1] > 1.4]  # the other rim is the neck's
    assert len(rim) == 32
    for name, sign in (("upper", 1), ("lower", -1)):
        mine = np.intersect1d(rim, lips[name])
        others = np.intersect1d(rim, lips["lower" if name == "upper" else "upper"])
        assert len(mine) >= 7 and (sign * (template[mine, 1][:, None] - template[others, 1]) > 0).all()
    # no triangle joins the lips in the middle, so they meet at the corners only
    upper, lower = (np.isin(faces, lips[name]).any(axis=1) for name in ("upper", "lower"))
    assert not (upper & lower).any()


def test_places_of_the_template_are_where_geometry_says(licensed):
    template, places = sample(licensed, "template"), face_places(sample(licensed, "template"))
    skin = template[:3931]
    middle = skin[abs(skin[:, 0]) < 1e-4]
    np.testing.assert_array_equal(places["nose_tip"], middle[middle[:, 2].argmax()])
    beside = skin[(skin[:, 1] > 1.46) & (skin[:, 1] < 1.53)]
    np.testing.assert_array_equal(places["ear_back_right"], beside[beside[:, 0].argmax()])
    face = middle[(middle[:, 1] < places["lip_lower"][1]) & (middle[:, 2] > 0.03)]
    assert abs(places["chin"][2] - face[face[:, 1] < places["chin_fold"][1]][:, 2].max()) < 1e-6
    assert places["crown"][1] == skin[:, 1].max()
    assert abs(places["occiput"][2] - skin[:, 2].min()) < 1e-3


def test_left_and_right_mirror_each_other():
    mirrors_itself(face_places(head_mesh().template))


def test_left_and_right_of_the_official_mean_head_mirror_each_other(licensed):
    mirrors_itself(face_places(sample(licensed, "template")))


def mirrors_itself(places):
    for name in places:
        mirrored = places[name.replace("_left", "_right") if "_left" in name else name.replace("_right", "_left")]
        np.testing.assert_allclose(places[name] * (-1, 1, 1), mirrored, atol=2e-5, err_msg=name)


def test_places_agree_with_the_official_landmarks(licensed):
    for name in FLAME_HEADS:
        places_agree_with_landmarks(licensed, sample(licensed, name))


def places_agree_with_landmarks(licensed, head):
    marks, places = landmarks_of(licensed, head), face_places(head)
    for place, mark in {
        "nose_tip": 30, "nasion": 27, "mouth_corner_left": 48, "mouth_corner_right": 54, "lip_upper": 51,
        "lip_lower": 57, "eye_outer_left": 36, "eye_inner_left": 39, "eye_inner_right": 42, "eye_outer_right": 45,
        "chin_bottom": 8, "brow_peak_left": 19,
    }.items():  # fmt: skip
        assert np.linalg.norm(places[place] - marks[mark]) < 0.0045, place
    eyes = np.stack([marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)])
    assert np.linalg.norm(five_places(head)[:2] - eyes, axis=1).max() < 0.002


def test_face_coordinates_do_not_depend_on_the_pose_and_little_on_the_person(person):
    head, mean = person.vertices, face_frame(person.template).coordinates
    frame = face_frame(head)
    head = head.astype(float)
    moved = face_frame(1.07 * head @ turn(25, -40, 15).T + (0.3, -1.2, 0.8))
    np.testing.assert_allclose(moved.coordinates, frame.coordinates, atol=1e-6)
    np.testing.assert_allclose(moved.unit, 1.07 * frame.unit, rtol=1e-9)
    np.testing.assert_allclose(moved.rotation, turn(25, -40, 15) @ frame.rotation, atol=1e-9)
    away = np.linalg.norm(frame.coordinates - mean, axis=1)
    widest = 10 if len(head) == 5023 else 14  # the project's own people differ more
    assert away.mean() < 2 and away.max() < widest  # millimetres


def test_heads_stand_upright_in_their_frame(head):
    frame = face_frame(head)
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-12)
    upright = frame.upright(head)
    nose = upright[frame.mesh.vertices["nose_tip"]]
    assert abs(nose[0]) < 2 and nose[2] > 40  # the nose is in front
    np.testing.assert_allclose(frame.turned(np.eye(3)) @ frame.rotation, np.eye(3) * frame.unit, atol=1e-12)
    tall = np.ptp(upright, axis=0)
    assert tall[1] == tall.max()


def test_an_eyeball_keeps_its_form_in_face_coordinates():
    head = stand_in_person(1).astype(float)
    frame = face_frame(head)
    for start, stop in frame.mesh.eyeballs.values():
        ball = (head[start:stop] - head[start:stop].mean(axis=0)) @ frame.rotation / frame.unit
        shown = frame.coordinates[start:stop]
        np.testing.assert_allclose(shown - shown.mean(axis=0), ball, atol=1e-5)


@pytest.mark.parametrize("head", [head_mesh().template, synthetic_head(3)[0], synthetic_head(5)[0]], ids=len)
def test_the_projects_own_heads_have_places_too(head):
    frame, places = face_frame(head), face_places(head)
    np.testing.assert_allclose(frame.rotation, np.eye(3), atol=0.15)
    assert 0.0009 < frame.unit < 0.0011
    for name, index in frame.mesh.vertices.items():
        assert np.linalg.norm(frame.coordinates[index] - frame.mesh.coordinates[name]) < 1.5, name
    assert places["nose_tip"][2] > places["chin"][2] and places["crown"][1] > places["forehead"][1] > places["chin"][1]
    assert places["eye_left"][0] < 0 < places["eye_right"][0]


def test_other_meshes_are_refused_with_the_node_to_use():
    with pytest.raises(ValueError, match="5023 vertices of a FLAME head, got 468.*Reconstruct Face.*Load Shape"):
        face_frame(np.zeros((468, 3)))
    with pytest.raises(ValueError, match="162"):
        face_places(synthetic_head(2)[0])


def test_broken_vertices_are_refused():
    head = own_head(OWN[0]).vertices.copy()
    with pytest.raises(ValueError, match=r"\[V,3\], got shape \[1, 2236, 3\]"):
        face_frame(head[None])
    head[7] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite ones in 1 of 2236 vertices, the first at index 7"):
        face_frame(head)
    with pytest.raises(ValueError, match="squashed"):
        face_frame(np.zeros((2236, 3)))
