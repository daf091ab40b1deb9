"""Procedural people as faces with 3D shapes, which the editor and the warp take like anybody else."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")

from fantasyid_core.people.person import HELD_OUT_FROM, sample_person  # noqa: E402
from fantasyid_core.people.portrait import make_portrait  # noqa: E402
from fantasyid_core.shape.draw.drawing import draw_overlay  # noqa: E402
from fantasyid_core.shape.edit.editor import run_editor, warp_to  # noqa: E402

SIZE = 256


@pytest.fixture(scope="module")
def portrait():
    return make_portrait(HELD_OUT_FROM + 1, size=SIZE)


def test_a_seed_is_a_person_and_a_number_a_picture_of_it(portrait):
    again, other = make_portrait(HELD_OUT_FROM + 1, size=SIZE), make_portrait(HELD_OUT_FROM + 1, 1, SIZE)
    np.testing.assert_array_equal(portrait.face.crop, again.face.crop)
    assert (portrait.face.crop != other.face.crop).mean() > 0.2
    np.testing.assert_array_equal(portrait.shape.vertices, other.shape.vertices)
    np.testing.assert_array_equal(portrait.shape.vertices, sample_person(HELD_OUT_FROM + 1).vertices())


def test_the_shape_lies_on_the_face_in_the_picture(portrait):
    blank = np.zeros_like(portrait.face.crop)
    seen = portrait.shape.seen
    drawn = draw_overlay(blank, seen[:, :2], seen[:, 2], portrait.shape.faces, opacity=1.0).any(axis=2)
    corners = np.concatenate([portrait.face.crop[:20, :20], portrait.face.crop[:20, -20:]]).reshape(-1, 3)
    background = np.abs(portrait.face.crop.astype(int) - np.median(corners, axis=0)).sum(axis=2) < 60
    assert drawn.mean() > 0.15 and (drawn & background).mean() < 0.02


def test_the_picture_follows_an_edit(portrait):
    run = run_editor(portrait.shape, '{"values": {"face_width": 0.8}}')
    warped = warp_to(portrait.face, run.before, run.after)
    assert not warped.notes and (warped.crop != portrait.face.crop).mean() > 0.05


@pytest.mark.parametrize(("seed", "number", "message"), [(-1, 0, "seed"), (0, -1, "number of a picture")])
def test_bad_numbers_are_explained(seed, number, message):
    with pytest.raises(ValueError, match=message):
        make_portrait(seed, number, SIZE)
