"""Framing: what each knob does to places in the crop, and how much of a crop lies outside the picture."""

from dataclasses import fields

import numpy as np
import pytest

from fantasyid_core.face import Framing
from fantasyid_core.face.framing import share_outside

SIZE = 512
EDGES = np.array([[-0.5, -0.5], [511.5, -0.5], [511.5, 511.5], [-0.5, 511.5]])  # of the official crop
MATRIX = np.array([[0.8, -0.3, 20.0], [0.3, 0.8, -9.0]])


def moved(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def from_official(framing):
    """Where places of the official crop come to lie in the framed one."""
    return lambda points: moved(framing.applied(np.eye(2, 3), SIZE), np.asarray(points, float))


def test_no_framing_leaves_the_matrix_as_it_is():
    assert Framing().applied(MATRIX, SIZE) is MATRIX
    assert Framing() == Framing(0, 0.0, 0, 0)


@pytest.mark.parametrize("padding", [-0.2, 0.25, 1.0])
def test_padding_adds_its_share_on_every_side(padding):
    got = from_official(Framing(padding))(EDGES)
    side = SIZE / (1 + 2 * padding)
    rim = (SIZE - side) / 2
    np.testing.assert_allclose(got[0], [rim - 0.5, rim - 0.5], atol=1e-9)
    np.testing.assert_allclose(got[2], [rim + side - 0.5] * 2, atol=1e-9)


@pytest.mark.parametrize("hair, neck", [(0.5, 0.0), (0.0, 0.25), (0.3, 0.7)])
def test_hair_and_neck_grow_the_square_and_keep_the_face_in_the_middle(hair, neck):
    top_left, _, bottom_right, _ = from_official(Framing(0, hair, neck))(EDGES)
    side = SIZE / (1 + hair + neck)
    assert top_left[1] + 0.5 == pytest.approx(hair * side)
    assert SIZE - (bottom_right[1] + 0.5) == pytest.approx(neck * side)
    assert top_left[0] + 0.5 == pytest.approx(SIZE - (bottom_right[0] + 0.5))
    assert bottom_right[0] - top_left[0] == pytest.approx(side)


def test_rotation_turns_clockwise_about_the_middle_of_the_crop():
    middle = (SIZE - 1) / 2
    turned = from_official(Framing(rotation=90))
    np.testing.assert_allclose(turned([[middle, middle]]), [[middle, middle]], atol=1e-9)
    # What was above the middle comes to its right.
    np.testing.assert_allclose(turned([[middle, middle - 100]]), [[middle + 100, middle]], atol=1e-9)
    # The middle of the crop, not of the face: the margin stays a margin.
    upright, tilted = from_official(Framing(0, 1, 0)), from_official(Framing(0, 1, 0, 180))
    np.testing.assert_allclose(tilted(EDGES), SIZE - 1 - upright(EDGES), atol=1e-9)


def test_framing_follows_the_alignment():
    framing = Framing(0.2, 0.1, 0.4, -25)
    points = np.array([[3.0, 70.0], [200.0, -5.0]])
    np.testing.assert_allclose(
        moved(framing.applied(MATRIX, SIZE), points), from_official(framing)(moved(MATRIX, points)), atol=1e-9
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.3, 1.1, 200, "0.5", None, True, 1j])
@pytest.mark.parametrize("name", [field.name for field in fields(Framing)])
def test_values_outside_the_ranges_are_refused(name, value):
    if name == "rotation" and value in (-0.3, 1.1):
        assert Framing(rotation=value).rotation == value
        return
    with pytest.raises(ValueError, match=f"Expected a {name} of .* to .*, got .*0 is as trained"):
        Framing(**{name: value})


def counted(matrix, size, width, height):
    """The same share, by asking fine points of the crop one by one."""
    fine = (np.arange(4 * size) + 0.5) / 4 - 0.5
    grid = np.stack(np.meshgrid(fine, fine), -1).reshape(-1, 2)
    x, y = ((grid - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).T
    return 1 - ((x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)).mean()


def test_share_outside_equals_counting():
    rng = np.random.default_rng(0)
    for _ in range(60):
        angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 3)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = rng.uniform(-20, 120, 2)
        matrix = np.column_stack([turn, 31.5 - turn @ middle])
        assert share_outside(matrix, 64, (100, 80)) == pytest.approx(counted(matrix, 64, 100, 80), abs=5e-3)


def test_share_outside_of_the_extremes():
    assert share_outside(np.eye(2, 3), 64, (64, 64)) == 0
    assert share_outside(np.eye(2, 3), 64, (32, 64)) == pytest.approx(0.5)
    assert share_outside(np.array([[1.0, 0, 500], [0, 1, 0]]), 64, (64, 64)) == 1
    assert share_outside(np.array([[1.0, 0, 1e9], [0, 1, 0]]), 64, (64, 64)) == 1
