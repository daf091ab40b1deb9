"""What the first picture shows beyond the photo."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.face.align import TEMPLATE, crop_face
from fantasyid_core.face.border import with_border
from fantasyid_core.face.photo import FaceRequest, find_face
from fantasyid_core.face.picture import FILL
from fantasyid_core.shape.edit.warp import warp_face
from fantasyid_core.shape.ownhead.mesh import head_mesh

PHOTO = np.zeros((300, 300, 3), np.uint8) + np.linspace(40, 200, 300).astype(np.uint8)[:, None, None]
POINTS = TEMPLATE / 512 * 300 + (0, -90)


def grey(picture):
    return (np.abs(picture.astype(int) - FILL) <= 1).all(-1)


def test_grey_is_as_it_was_and_extended_has_none_outside():
    face = crop_face(PHOTO, POINTS)
    assert with_border(face) is face and face.first_picture is face.crop and grey(face.crop).mean() > 0.2
    wide = with_border(face, "extended")
    assert wide.crop is face.crop, "the identity is read from what the model was trained on"
    filled = grey(face.crop) & (np.arange(512)[:, None] < 120)
    assert filled.any() and np.abs(wide.first_picture[filled].astype(int) - 40).max() < 8, "the edge goes on"
    np.testing.assert_array_equal(wide.first_picture[200:480, 40:470], face.crop[200:480, 40:470])
    assert "carried on" in wide.notes[-1] and not any("grey, which" in note for note in wide.notes)


def test_nothing_is_added_to_a_crop_inside_its_photo():
    face = crop_face(np.pad(PHOTO, ((400, 400), (400, 400), (0, 0)), mode="edge"), POINTS + 400)
    assert with_border(face, "extended") is face


def test_the_request_carries_the_border_and_the_warp_keeps_it():
    request = FaceRequest("none", POINTS, border="extended")
    face = find_face([PHOTO], request).face
    assert face.opening is not None and not grey(face.first_picture)[:60].any()
    mesh = head_mesh()
    after = mesh.template * (1.2, 1, 1)
    warped = warp_face(face, mesh.template, after, mesh.faces)
    assert warped.opening is not None and not grey(warped.first_picture)[:60].any()
    assert grey(warped.crop)[:60].mean() > 0.5


def test_another_border_is_refused():
    with pytest.raises(ValueError, match="Expected a border among grey, extended, got 'blue'"):
        with_border(crop_face(PHOTO, POINTS), "blue")
