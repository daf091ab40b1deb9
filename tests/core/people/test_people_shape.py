"""Shape parameters of the project's own heads, what they measure, and expressions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fantasyid_core.people.expression import EXPRESSION_NAMES, JAW_DROP, LIP_BAND, expression_fields
from fantasyid_core.people.headshape import SHAPE_NAMES, measure, shape_basis, shape_vertices
from fantasyid_core.people.surface_regions import landmark_vertices, region
from fantasyid_core.shape.mesh import vertex_normals
from fantasyid_core.shape.ownhead.mesh import head_mesh

AVERAGE = measure(head_mesh().template)


def normals_of_faces(vertices: np.ndarray) -> np.ndarray:
    corners = vertices[head_mesh().faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def test_all_parameters_of_the_plan_are_there():
    planned = """face_width jaw_width jaw_sharpness chin_length chin_width forehead_height nose_length nose_width
        nose_bridge eye_spacing eye_size brow_height brow_ridge cheek_fullness cheekbone mouth_width lip_fullness
        head_depth ear_size neck_width""".split()
    assert set(planned) <= set(SHAPE_NAMES) and len(SHAPE_NAMES) == 24 == len(set(SHAPE_NAMES))


def test_without_changes_the_head_is_the_average_head():
    np.testing.assert_array_equal(shape_vertices({}), head_mesh().template.astype(np.float32))
    np.testing.assert_array_equal(shape_vertices(np.zeros(24)), shape_vertices({}))
    assert shape_vertices({}).dtype == np.float32


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_parameter_moves_its_own_measure_and_no_other(name):
    steps = [-1, -0.5, 0, 0.5, 1]
    measured = [measure(shape_vertices({name: step})) for step in steps]
    own = np.array([row[name] for row in measured])
    assert (np.diff(own) > 0.0005).all()  # +1 is more of it, by more than half a millimetre each step
    np.testing.assert_allclose(np.diff(own), np.diff(own).mean(), rtol=1e-2)  # linear
    for other in set(SHAPE_NAMES) - {name}:
        assert abs(measured[-1][other] - AVERAGE[other]) < 1e-6, other


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_parameter_is_symmetric_and_local_enough(name):
    moved = shape_vertices({name: 1}) - shape_vertices({})
    np.testing.assert_allclose(moved[head_mesh().mirror], moved * (-1, 1, 1), atol=1e-7)
    assert 0.002 < np.linalg.norm(moved, axis=1).max() < 0.025


def test_the_editors_wider_face_is_ten_percent_wider_and_no_longer():
    wide, average = measure(shape_vertices({"face_width": 1})), AVERAGE
    assert 1.08 <= wide["face_width"] / average["face_width"] <= 1.12
    places = [shape_vertices({"face_width": amount})[landmark_vertices()] for amount in (0, 1)]
    heights = [points[17:27, 1].mean() - points[8, 1] for points in places]  # chin to brow
    assert abs(heights[1] / heights[0] - 1) < 0.01


def test_measures_are_lengths_one_could_take_with_a_ruler():
    vertices = head_mesh().template[landmark_vertices()]
    assert AVERAGE["mouth_width"] == pytest.approx(vertices[54, 0] - vertices[48, 0], abs=1e-9)
    assert AVERAGE["eye_spacing"] == pytest.approx(vertices[42:46:3, 0].sum(), abs=1e-9)
    assert 0.12 < AVERAGE["face_width"] < 0.15 and 0.03 < AVERAGE["chin_length"] < 0.07


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=24, max_size=24))
def test_no_mixture_turns_a_triangle_over(amounts):
    vertices, average = shape_vertices(amounts).astype(float), head_mesh().template
    before, after = normals_of_faces(average), normals_of_faces(vertices)
    areas = np.linalg.norm(after, axis=1) / np.linalg.norm(before, axis=1)
    assert areas.min() > 0.05
    # a face may lean with its surroundings, but not against them
    around = vertex_normals(vertices, head_mesh().faces)[head_mesh().faces].mean(axis=1)
    assert np.einsum("fi,fi->f", after, around).min() > 0


def test_shapes_add_up():
    both = shape_vertices({"chin_length": 0.5, "nose_width": -0.5})
    apart = shape_vertices({"chin_length": 0.5}) + shape_vertices({"nose_width": -0.5}) - shape_vertices({})
    np.testing.assert_allclose(both, apart, atol=1e-7)


def test_fields_reach_places_off_the_head():
    above = shape_basis(np.array([[0, 0.14, 0.0]]))  # hair on the crown
    assert above[SHAPE_NAMES.index("forehead_height"), 0, 1] == pytest.approx(0.009, abs=0.001)
    far = shape_basis(np.array([[0.25, -0.3, 0.1]]))
    assert abs(far[SHAPE_NAMES.index("nose_length")]).max() < 1e-6


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"face_with": 1}, "Unknown shape parameters: face_with.*face_width"),
        ({"face_width": 1.5}, r"-1\.\.1, got face_width = 1.5"),
        ({"nose_tip": float("nan")}, "nose_tip = nan"),
        (np.zeros(23), r"24 shape parameters, got an array \[23\]"),
    ],
)
def test_bad_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        shape_vertices(shape)


def test_vertices_of_another_mesh_are_refused():
    with pytest.raises(ValueError, match=r"of the project's own head, got \[5023, 3\]"):
        measure(np.zeros((5023, 3)))


def expression(name: str) -> np.ndarray:
    return expression_fields(head_mesh().template * 1000)[EXPRESSION_NAMES.index(name)]


def test_an_open_mouth_drops_the_chin_and_leaves_the_eyes():
    field = expression("mouth_open")
    marks = field[landmark_vertices()]
    assert marks[8, 1] < -0.8 * JAW_DROP and abs(marks[[51, 62], 1]).max() < 0.6 * JAW_DROP
    assert abs(field[region("eye")]).max() < 0.05 and abs(field[region("scalp")]).max() < 0.05
    assert abs(marks[57, 1]) > abs(marks[51, 1]) + 0.8 * JAW_DROP  # lower from upper lip


def test_the_band_between_the_lips_stretches_evenly():
    """`mouth_gap` paints the inside of the mouth on this promise: the lips keep their height."""
    band = np.array([[0, -65 + y, 88.0] for y in np.linspace(-LIP_BAND, LIP_BAND, 11)])
    moved = expression_fields(band)[EXPRESSION_NAMES.index("mouth_open")][:, 1]
    pulled = 1.2 * np.exp(-(((band[:, 1] + 56) / 6) ** 2))
    np.testing.assert_allclose(np.diff(moved - pulled), JAW_DROP / 10, rtol=1e-6)


def test_a_smile_lifts_and_parts_the_corners():
    marks = expression("smile")[landmark_vertices()]
    assert marks[54, 0] > 4 and marks[48, 0] == pytest.approx(-marks[54, 0]) and marks[54, 1] > 4
    assert abs(marks[27:31]).max() < 1.0


def test_brows_rise_alone():
    field = expression("brows_up")
    assert field[region("brow"), 1].min() > 1.5 and abs(field[region("upper lip")]).max() < 1e-3
