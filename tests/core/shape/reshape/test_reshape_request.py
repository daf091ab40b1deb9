"""What a user asks for, as the core takes it: sliders where they say what two 3D faces say, else both faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fantasyid_core.options import MOST_ALIKE
from fantasyid_core.shape.edit.edit import edit_face
from fantasyid_core.shape.edit.editstate import edit_from_values
from fantasyid_core.shape.faceshape import FaceShape
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.reshape import request as requests
from fantasyid_core.shape.reshape.request import ReshapeRequest, edit_of, reshape_as_asked

EDIT = edit_from_values({"face_width": 0.5, "jaw_width": {"left": 0.3, "right": 0}})


@pytest.fixture
def before():
    mesh = head_mesh()
    return FaceShape(torch.from_numpy(mesh.template.astype(np.float32)), mesh.faces.astype(np.int64))


def test_two_faces_that_differ_by_the_editors_sliders_are_these_sliders(before):
    after = edit_face(before, EDIT)
    assert edit_of(ReshapeRequest(before=before, after=after)).values == EDIT.values


def test_two_faces_that_differ_otherwise_stay_two_faces(before):
    other = replace(before, vertices=before.vertices * 1.01)
    for after in (other, replace(edit_face(before, EDIT), vertices=other.vertices)):
        assert edit_of(ReshapeRequest(before=before, after=after)) == (before, after)


def test_an_edit_is_text_or_a_mapping(before):
    for edit in ("face_width=0.5", '{"values": {"face_width": 0.5}}', {"face_width": 0.5}):
        request = ReshapeRequest(edit)
        assert request.edited and edit_of(request).values == {"face_width": (0.5, 0.5)}
    assert not ReshapeRequest("{}").edited and not ReshapeRequest("face_width=0").edited


def test_what_does_not_go_together_is_refused_at_once(before):
    for parts, message in (
        ({"after": before}, "got the latter alone"),
        ({"before": before, "after": before, "edit": "age=1"}, "got both"),
        ({"edit": "age=1", "only_the_rest": True}, "as of the photo"),
        ({"edit": "age=1", "how": MOST_ALIKE}, "a picture of the person"),
    ):
        with pytest.raises(ValueError, match=message):
            ReshapeRequest(**parts)


def test_the_settings_reach_the_core(before, monkeypatch):
    seen = []
    monkeypatch.setattr(requests, "reshape_frames", lambda *given: seen.append(given))
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    edited = ReshapeRequest(
        "age=1", before, strength=0.5, how="left to right", number=1, smoothing=2.0, in_front=0.25, only_the_rest=True
    )
    reshape_as_asked(frames, edited, count=2)
    ((given, person, head, strength, settings, count, _),) = seen
    assert given is frames and strength == 0.5 and count == 2
    assert (person.how, person.number, person.like) == ("left to right", 1, None)
    assert (settings.smoothing, settings.in_front, settings.already) == (2.0, 0.25, before)
    assert len(head.template) == len(before.vertices), "a face of the own head is reshaped by the own head"
