"""The head and its controls as bytes for the browser."""

from __future__ import annotations

import json

import numpy as np
import pytest
from packedhead import unpack_controls

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.edit.controlpack import pack_controls
from fantasyid_core.shape.edit.controls import face_controls
from fantasyid_core.shape.edit.edit import edit_shape


def by_hand(content: bytes, values: dict) -> np.ndarray:
    """An edit as the browser computes it: from the bytes and the format's description alone."""
    assert content[:4] == b"FIDC" and content[4:8] == (1).to_bytes(4, "little")
    length = int.from_bytes(content[8:12], "little")
    header, body = json.loads(content[12 : 12 + length]), content[12 + length :]

    def array(place):
        count = int(np.prod(place["shape"]))
        return np.frombuffer(body, np.dtype(place["type"]), count, place["offset"]).reshape(place["shape"])

    vertices = array(header["vertices"]).astype(float)
    moved, left = np.zeros_like(vertices), array(header["left"])[:, None] / header["left_steps"]
    for control in header["controls"]:
        on_left, on_right = values.get(control["name"], (0, 0))
        rows = slice(None) if control["indices"] is None else array(control["indices"])
        share = on_right + (on_left - on_right) * left[rows]
        moved[rows] += share * array(control["steps"])
    return (vertices + header["step"] * moved).astype(np.float32)


def test_the_browser_computes_what_python_does(head, faces):
    content = pack_controls(head, faces)
    assert len(content) < 2_000_000
    values = {"face_width": (0.6, 0.6), "age": (1, 1), "ear_size": (-1, 0.4), "upper_lip_fullness": (0, 1)}
    np.testing.assert_allclose(by_hand(content, values), edit_shape(head, values), atol=1e-7)
    np.testing.assert_array_equal(by_hand(content, {}), head)


@pytest.mark.parametrize("with_faces", [True, False])
def test_what_is_packed_is_unpacked(head, faces, with_faces):
    faces = faces if with_faces else None
    vertices, found, controls = unpack_controls(pack_controls(head, faces))
    made = face_controls(head)
    np.testing.assert_array_equal(vertices, head)
    np.testing.assert_array_equal(controls.steps, made.steps)
    np.testing.assert_array_equal(controls.left, made.left)
    assert (found is None) == (faces is None) and (faces is None or np.array_equal(found, faces))
    assert list(controls.controls) == list(made.controls)
    for name, control in controls.controls.items():
        assert control[:3] == made.controls[name][:3] and control[5:] == made.controls[name][5:]


def test_offsets_are_aligned(head, faces):
    content = pack_controls(head, faces)
    length = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + length])
    places = [header["vertices"], header["faces"], header["left"]]
    places += [control[key] for control in header["controls"] for key in ("steps", "indices") if control[key]]
    assert length % 4 == 0 and all(place["offset"] % 4 == 0 for place in places)


def test_faces_of_another_mesh_are_refused():
    with pytest.raises(ValueError, match="name vertices 0 to 641"):
        pack_controls(synthetic_head(3)[0], [[0, 1, 642]])
