"""Several heads in one, and exaggeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from facesamples import OWN, SAMPLES, own_head, sample, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from fantasyid_core.shape.edit.blend import blend_shapes, blend_weights, circle_weights
from fantasyid_core.shape.edit.edit import edit_shape
from fantasyid_core.shape.edit.faceframe import face_frame
from fantasyid_core.shape.head import synthetic_head

HEAD = synthetic_head(3)[0]


def people():
    return [HEAD, edit_shape(HEAD, {"face_width": 1}), edit_shape(HEAD, {"jaw_width": -1, "nose_length": 1})]


def test_a_head_alone_is_bit_for_bit():
    heads = people()
    for index in range(3):
        weights = np.eye(3)[index] * 7
        assert torch.equal(blend_shapes(heads, weights), heads[index])
    assert torch.equal(blend_shapes([HEAD]), HEAD)


def test_the_blend_is_the_weighted_mean():
    heads = people()
    blend = blend_shapes(heads, [2, 1, 1])
    # the edits turn a head's frame by hardly anything
    torch.testing.assert_close(blend, 0.5 * heads[0] + 0.25 * heads[1] + 0.25 * heads[2], atol=4e-4, rtol=0)
    assert blend.dtype == torch.float32
    torch.testing.assert_close(blend_shapes(heads, [20, 10, 10]), blend)
    torch.testing.assert_close(blend_shapes(heads), blend_shapes(heads, [1, 1, 1]))


def test_poses_are_undone_before_blending():
    poses_are_undone([own_head(name).vertices.astype(float) for name in (*OWN, "person 20")])


def test_poses_of_official_heads_are_undone_before_blending(licensed):
    poses_are_undone([sample(licensed, name).astype(float) for name in SAMPLES])


def poses_are_undone(heads):
    plain = blend_shapes(heads, [0.5, 0.3, 0.2])
    posed = [heads[0], heads[1] @ turn(10, 30, -20).T + (0.2, 0.1, 0), heads[2] @ turn(-5, 0, 40).T]
    np.testing.assert_allclose(blend_shapes(posed, [0.5, 0.3, 0.2]), plain, atol=2e-6)
    frames = [face_frame(head) for head in (plain, heads[0])]
    np.testing.assert_allclose(frames[0].rotation, frames[1].rotation, atol=0.01)  # posed like the main one
    assert abs(frames[0].origin - frames[1].origin).max() < 0.001


def test_exaggeration_drives_away_from_the_average():
    wide = edit_shape(HEAD, {"face_width": 0.4})
    for amount in (-1, -0.5, 0.5, 1.0):
        driven = blend_shapes([wide], exaggeration=amount, average=HEAD)
        torch.testing.assert_close(driven, edit_shape(HEAD, {"face_width": 0.4 * (1 + amount)}), atol=2e-4, rtol=0)
    heads = people()
    middle = blend_shapes(heads)
    torch.testing.assert_close(blend_shapes(heads, [0.5, 0.25, 0.25], -1), middle, atol=1e-4, rtol=0)
    torch.testing.assert_close(blend_shapes(heads, [1, 0, 0], 1.0), 2 * heads[0] - middle, atol=3e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "1 to 6 heads to blend, got 0"),
        (([HEAD] * 7,), "1 to 6 heads to blend, got 7"),
        (([HEAD, HEAD], [1]), "one weight for each of 2 heads, got 1"),
        (([HEAD, HEAD], [1, -0.5]), "weights from 0 on, got 1, -0.5"),
        (([HEAD, HEAD], [1, float("nan")]), "weights from 0 on"),
        (([HEAD, HEAD], [0, 0]), "All weights are 0"),
        (([HEAD, synthetic_head(4)[0]],), "one mesh, got 642, 2562 vertices.*Reconstruct Face"),
        (([HEAD], None, 0.5), "a second head or the average"),
        (([HEAD, HEAD], None, 2.5), "exaggeration of -1 to 2, got 2.5"),
        (([HEAD, HEAD], None, float("nan")), "exaggeration of -1 to 2"),
        (([HEAD], None, 0.5, synthetic_head(4)[0]), "one mesh"),
        (([HEAD * float("nan"), HEAD],), "NaN or infinite"),
    ],
)
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        blend_shapes(*arguments)


def test_tiny_and_huge_weights_keep_their_proportion():
    np.testing.assert_allclose(blend_weights([1e-320, 3e-320], 2), [0.25, 0.75], rtol=1e-3)
    np.testing.assert_allclose(blend_weights([1e308, 1e308], 2), [0.5, 0.5])


@pytest.mark.parametrize("count", range(1, 7))
def test_places_on_the_circle_give_the_people_their_weights(count):
    angles = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    for person, (x, y) in enumerate(places):
        np.testing.assert_allclose(circle_weights(x, y, count), np.eye(count)[person], atol=1e-12)
    np.testing.assert_allclose(circle_weights(0, 0, count), np.full(count, 1 / count))
    if count > 2:
        between = places[:2].mean(axis=0)
        np.testing.assert_allclose(circle_weights(*between, count), [0.5, 0.5] + [0] * (count - 2), atol=1e-12)
        np.testing.assert_allclose(circle_weights(*(9 * between), count), circle_weights(*between, count), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(3, 6))
def test_weights_on_the_circle_are_shares_and_give_the_place_back(x, y, count):
    weights = circle_weights(x, y, count)
    assert (weights >= -1e-12).all() and abs(weights.sum() - 1) < 1e-9
    angles = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    place = weights @ np.column_stack([np.cos(angles), np.sin(angles)])
    if np.hypot(x, y) < np.cos(np.pi / count):  # inside the polygon
        np.testing.assert_allclose(place, [x, y], atol=1e-9)
    else:
        assert abs(place[0] * y - place[1] * x) < 1e-9 * max(1, np.hypot(x, y))  # on the line to the middle


def test_the_circle_refuses_nonsense():
    for count in (0, 7):
        with pytest.raises(ValueError, match="1 to 6 people"):
            circle_weights(0, 0, count)
    with pytest.raises(ValueError, match="finite"):
        circle_weights(float("nan"), 0, 3)
