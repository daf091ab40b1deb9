"""How much of an edit a video shows: on drawn people of whom it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")

from fantasyid_core.people.instruments.reshaping import draw_lively, truth_of
from fantasyid_core.shape.edit.edit import edit_face
from fantasyid_core.shape.edit.editstate import edit_from_values
from fantasyid_core.shape.faceshape import FaceShape
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reshape import reshape_video
from fantasyid_core.shape.reshape.cliphead import clip_head
from fantasyid_core.shape.reshape.request import ReshapeRequest, own_head
from fantasyid_core.shape.reshape.settings import PersonEdit
from fantasyid_core.shape.reshape.shown import WHOLE, shown_in
from fantasyid_core.shape.reshape.track import Follower

EDIT = {"mouth_width": 0.8}


@pytest.fixture(scope="module")
def video():
    return draw_lively(1_000_000_005, frames=6, size=192)


@pytest.fixture(scope="module")
def before(video) -> FaceShape:
    """The 3D face of a photo of the person: of the first frame."""
    (seen,) = Follower([PersonEdit(None)])(video.frames[0]).people
    fitted = clip_head([seen.points], own_head()).vertices
    return FaceShape(torch.from_numpy(fitted.astype(np.float32)), head_mesh().faces.astype(np.int64))


def test_an_edited_video_shows_its_edit_and_another_one_does_not(video, before):
    request = ReshapeRequest(EDIT, before)
    (plain,) = shown_in(video.frames, request)
    (true,) = shown_in(truth_of(video, "mouth_width", 0.8).true.frames, request)
    (ours,) = shown_in(reshape_video(video.frames, EDIT), request)
    assert plain.name == "mouth_width" and plain.asked == 0.8
    assert abs(plain.seen) < 0.15 < 0.25 < plain.whole, "the yardstick is what the same measure sees of the whole edit"
    for edited in (true, ours):
        assert 0.6 < (edited.seen - plain.seen) / plain.whole < 1.5
        assert edited.spread < 0.3
    assert "asked +0.80" in true.sentence()


def test_two_shapes_say_what_sliders_say(video, before):
    after = edit_face(before, edit_from_values(EDIT))
    assert shown_in(video.frames, ReshapeRequest(before=before, after=after))[0].name == "mouth_width"
    unnamed = replace(after, edit="")
    (plain,) = shown_in(video.frames, ReshapeRequest(before=before, after=unnamed))
    (ours,) = shown_in(reshape_video(video.frames, EDIT), ReshapeRequest(before=before, after=unnamed))
    assert plain.name == WHOLE and ours.seen - plain.seen > 0.15


def test_a_video_without_a_face_shows_nothing_and_half_a_request_is_refused(before):
    assert shown_in(np.full((2, 64, 64, 3), 99, np.uint8), ReshapeRequest(EDIT, before)) == []
    for request in (ReshapeRequest(EDIT), ReshapeRequest(before=before)):
        with pytest.raises(ValueError, match="Expected a 3D face before the edit, and the edit"):
            shown_in(np.zeros((1, 64, 64, 3), np.uint8), request)
