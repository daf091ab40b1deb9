"""The controls of the face editor: what each of them changes, on posed heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from facesamples import OWN, SAMPLES, landmarks_of, official_names, own_head, sample, turn

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.edit import controls as controls_module
from fantasyid_core.shape.edit.controls import LEFT_STEPS, STEP, face_controls, measure_face, shape_controls
from fantasyid_core.shape.edit.controltable import CONTROLS, MIXTURES
from fantasyid_core.shape.edit.faceframe import face_frame
from fantasyid_core.shape.edit.fields import FIELDS
from fantasyid_core.shape.ownhead.mesh import head_mesh

ASKED = """
    head_width head_length head_depth forehead_height forehead_width forehead_slope brow_ridge brow_height eye_size
    eye_spacing eye_depth eye_tilt nose_length nose_width nose_bridge nose_tip_height nose_projection face_width
    cheekbone_width cheekbone_height cheek_fullness mouth_width mouth_height upper_lip_fullness
    lower_lip_fullness jaw_width jaw_sharpness chin_height chin_width chin_projection ear_size neck_width age
    weight
""".split()

MAIN = [name for name in CONTROLS if name not in MIXTURES]
WITHOUT_EARS_BACK = [name for name in CONTROLS if name != "ear_angle"]  # what the project's own mesh has


def test_all_that_an_artist_asks_for_is_there(head):
    controls = shape_controls(head)
    expected = list(CONTROLS) if len(head) == 5023 else WITHOUT_EARS_BACK
    assert set(ASKED) <= set(controls) and list(controls) == expected and len(CONTROLS) == 36
    for name, control in CONTROLS.items():
        assert control.label and control.group and control.help.endswith(".")
        assert (control.low, control.high) == (-1, 1)
        assert name == name.lower() and name.replace("_", "").isalpha()
    assert all(field.shape == head.shape and field.dtype == np.float32 for field in controls.values())


def test_tensors_give_tensors(head):
    made, of_tensor = shape_controls(head), shape_controls(torch.from_numpy(head))
    assert isinstance(of_tensor["face_width"], torch.Tensor)
    np.testing.assert_array_equal(of_tensor["jaw_width"].numpy(), made["jaw_width"])


def test_displacements_are_whole_micrometres_and_stay_those_of_this_head(head):
    made = face_controls(head)
    assert STEP == 1e-6 and made.steps.dtype == np.int16 and abs(made.steps).max() < 2**15 - 1
    for field, steps in zip(shape_controls(head).values(), made.steps, strict=True):
        np.testing.assert_allclose(field, steps * 1e-6, rtol=1e-6)
        assert np.linalg.norm(steps, axis=1).max() > 1000  # every control moves something by a millimetre
    with pytest.raises(ValueError):
        made.steps[0] = 0


def test_a_wider_face_is_ten_percent_wider_and_no_longer(licensed):
    for head in (sample(licensed, name) for name in SAMPLES):
        after = head + shape_controls(head)["face_width"]
        frame = face_frame(head)
        before, after = (frame.upright(landmarks_of(licensed, each)) for each in (head, after))
        for left, right in ((1, 15), (2, 14)):  # the contour beside the cheeks
            wider = (after[right, 0] - after[left, 0]) / (before[right, 0] - before[left, 0]) - 1
            assert 0.08 <= wider <= 0.12
        for brow in (19, 24):
            taller = (after[brow, 1] - after[8, 1]) / (before[brow, 1] - before[8, 1]) - 1
            assert abs(taller) < 0.01


def test_the_quantity_of_face_width_is_the_width_from_cheek_to_cheek(head):
    frame = face_frame(head)
    before, after = (measure_face(each, frame) for each in (head, head + shape_controls(head)["face_width"]))
    assert 0.08 <= after["face_width"] / before["face_width"] - 1 <= 0.12


def moves_its_own_quantity_and_hardly_any_other(head, name):
    frame, controls = face_frame(head), shape_controls(head)
    at = {value: measure_face(head + value * controls[name], frame) for value in (-1, -0.5, 0, 0.5, 1)}
    own = [at[value][name] for value in at]
    assert (np.diff(own) > 0.2).all()  # millimetres per half
    np.testing.assert_allclose(np.diff(own), np.diff(own)[0], rtol=0.01)  # linear
    for other in set(MAIN) & set(controls) - {name}:
        stray = at[1][other] - at[0][other]
        full = measure_face(head + controls[other], frame)[other] - at[0][other]
        assert abs(stray) < 0.2 * abs(full) and abs(stray) < 0.2 * (own[-1] - own[2]), other


@pytest.mark.parametrize("name", [name for name in MAIN if name in WITHOUT_EARS_BACK])
def test_a_control_moves_its_own_quantity_and_hardly_any_other(name):
    for person in OWN:
        moves_its_own_quantity_and_hardly_any_other(own_head(person).vertices, name)


@pytest.mark.parametrize("person", official_names())
def test_controls_of_official_heads_move_their_own_quantity_and_hardly_any_other(licensed, person):
    for name in MAIN:
        moves_its_own_quantity_and_hardly_any_other(sample(licensed, person), name)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_move_their_quantity_steadily(head, name):
    frame, field = face_frame(head), shape_controls(head)[name]
    own = [measure_face(head + value * field, frame)[name] for value in (-1, -0.5, 0, 0.5, 1)]
    assert (np.diff(own) > 0.5).all()


# Quantities seen by somebody else: the official landmarks, along the head's axes, and by how much they change.
SEEN = {
    "nose_width": (31, 35, 0, 0.12, 0.3),
    "mouth_width": (48, 54, 0, 0.1, 0.25),
    "jaw_width": (4, 12, 0, 0.07, 0.13),
    "eye_spacing": (39, 42, 0, 0.1, 0.25),
    "nose_length": (33, 27, 1, 0.05, 0.15),
    "chin_height": (8, 57, 1, 0.08, 0.25),
    "brow_height": (37, 19, 1, 0.1, 0.3),
    "chin_width": (7, 9, 0, 0.15, 0.35),
}


@pytest.mark.parametrize("person", official_names())
def test_the_official_landmarks_see_the_change(licensed, person):
    head = sample(licensed, person)
    frame, controls = face_frame(head), shape_controls(head)
    marks = {name: frame.upright(landmarks_of(licensed, head + controls[name])) for name in SEEN}
    before = frame.upright(landmarks_of(licensed, head))
    for name, (first, second, axis, least, most) in SEEN.items():
        change = {
            moved: (after[second, axis] - after[first, axis]) / (before[second, axis] - before[first, axis]) - 1
            for moved, after in marks.items()
        }
        assert least <= change[name] <= most, name
        for other in set(SEEN) - {name}:
            assert abs(change[other]) < 0.2 * change[name], (name, other)


def test_eyeballs_move_as_balls_and_the_lids_with_them(head):
    frame, made = face_frame(head), face_controls(head)
    for name, steps in zip(made.controls, made.steps, strict=True):
        for start, stop in frame.mesh.eyeballs.values():
            ball, moved = head[start:stop].astype(float), head[start:stop] + steps[start:stop] * STEP
            size = np.linalg.norm(moved - moved.mean(axis=0), axis=1) / np.linalg.norm(ball - ball.mean(axis=0), axis=1)
            np.testing.assert_allclose(size, size.mean(), atol=4e-3)  # a turn by a slider is linear
            assert name in ("eye_size", "age") or abs(size.mean() - 1) < 4e-3
    spaced = made.steps[list(made.controls).index("eye_spacing")] * STEP
    for side, (start, _) in frame.mesh.eyeballs.items():
        for corner in ("inner", "outer", "upper", "lower"):
            lid = frame.mesh.vertices[f"eye_{corner}_{side}"]
            np.testing.assert_allclose(spaced[lid], spaced[start], atol=2e-4)


def test_ears_go_with_the_side_of_the_face_without_being_bent(head):
    frame, field = face_frame(head), shape_controls(head)["face_width"] @ face_frame(head).rotation
    parts = ("top", "back", "lobe", "front") if len(head) == 5023 else ("top", "lobe", "front")
    ear = [frame.mesh.vertices[f"ear_{part}_right"] for part in parts]
    assert np.ptp(field[ear], axis=0).max() < 0.0012 and field[ear, 0].min() > 0.006


def test_the_neck_ends_where_it_did(head):
    frame, controls = face_frame(head), shape_controls(head)
    # The project's own mesh is closed below, with a longer neck and vertices inside of it.
    end, still = (-150, 0.0006) if len(head) == 5023 else (-190, 0.001)
    rim = frame.coordinates[:, 1] < end
    assert rim.any()
    for name, field in controls.items():
        if name not in ("neck_width", "weight"):
            assert np.linalg.norm(field[rim], axis=1).max() < still, name


def test_controls_turn_with_the_head(head):
    head = head.astype(float)
    rotation = turn(20, 35, -10)
    posed = shape_controls(head @ rotation.T + (0.1, 0.2, 0.3))
    for name, field in shape_controls(head).items():
        np.testing.assert_allclose(posed[name], field @ rotation.T, atol=1e-5, err_msg=name)


def stays_symmetric(head):
    mirrored = head * (-1, 1, 1)
    order = ((head**2).sum(axis=1) - 2 * mirrored @ head.T).argmin(axis=1)  # the nearest
    assert (order[order] == np.arange(len(head))).all()
    for name, field in shape_controls(head).items():
        np.testing.assert_allclose(field[order] * (-1, 1, 1), field, atol=6e-5, err_msg=name)


def test_a_symmetric_head_stays_symmetric():
    stays_symmetric(head_mesh().template)


def test_the_official_mean_head_stays_symmetric(licensed):
    stays_symmetric(sample(licensed, "template").astype(float))


def test_the_sides_add_up_and_part_in_the_middle_of_the_face(head):
    frame, made = face_frame(head), face_controls(head)
    left = made.left / LEFT_STEPS
    assert (left[frame.coordinates[:, 0] < -15] == 1).all() and (left[frame.coordinates[:, 0] > 15] == 0).all()
    both = made.displacement({"jaw_width": (0.7, 0.7)})
    apart = made.displacement({"jaw_width": (0.7, 0.0)}) + made.displacement({"jaw_width": (0.0, 0.7)})
    np.testing.assert_allclose(apart, both, atol=1e-12)


@pytest.mark.parametrize("own", [head_mesh().template, synthetic_head(3)[0], synthetic_head(5)[0]], ids=len)
def test_the_projects_own_heads_have_the_controls_too(own):
    controls = shape_controls(own)
    assert set(CONTROLS) - set(controls) == {"ear_angle"}  # their ears have no back
    frame = face_frame(own)
    own = np.asarray(own)
    for name in set(controls) - set(MIXTURES):
        change = measure_face(own + np.asarray(controls[name]), frame)[name] - measure_face(own, frame)[name]
        assert change > 0.5
        assert abs(np.asarray(controls[name])).max() < 0.02


def test_fields_change_so_slowly_that_space_does_not_fold():
    """A movement whose slope is below one everywhere is one to one: what it moves neither folds nor meets itself."""
    draw, step = np.random.default_rng(0), 0.01
    places = draw.uniform((0.1, -200, -170), (100, 100, 60), (20_000, 3))
    for name, function in FIELDS.items():

        def field(points, function=function):
            return np.stack([np.broadcast_to(part, len(points)) for part in function(*points.T)], axis=1)

        slopes = np.stack([(field(places + step * axis) - field(places)) / step for axis in np.eye(3)], axis=2)
        assert np.linalg.norm(slopes, 2, axis=(1, 2)).max() < 0.8, name


def test_controls_are_made_once_per_head(monkeypatch):
    head, made = own_head(OWN[0]).vertices + np.float32(1e-4), []
    original = controls_module.face_frame
    monkeypatch.setattr(controls_module, "face_frame", lambda *some: made.append(1) or original(*some))
    for _ in range(3):
        shape_controls(head)
        shape_controls(head.copy())
    assert len(made) == 1


def test_bad_heads_are_refused():
    head = own_head(OWN[0]).vertices
    with pytest.raises(ValueError, match="5023 vertices of a FLAME head, got 2235.*Reconstruct Face.*Load Shape"):
        shape_controls(head[:-1])
    with pytest.raises(ValueError, match="metres, its eyes about 0.063 apart, got 6.*Load Shape"):
        shape_controls(head * 1000)
    with pytest.raises(ValueError, match="NaN or infinite"):
        shape_controls(np.where(head > 0.1, np.inf, head))
    with pytest.raises(ValueError, match="FLAME model for plausible edits"):
        shape_controls(head, plausible=True)
