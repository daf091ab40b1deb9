"""The folder of a model as people have it."""

from __future__ import annotations

import pytest

from fantasyid_core.machine.folder import find_face_encoder


@pytest.mark.parametrize("name", ["EVA02_CLIP_L_336_psz14_s6B.pt", "eva.safetensors", "EVA.SAFETENSORS"])
def test_the_face_encoder_is_found_beside_what_macos_leaves(tmp_path, name):
    place = tmp_path / "face_encoder"
    place.mkdir()
    for each in (name, f"._{name}", ".DS_Store"):
        (place / each).write_bytes(b"")
    assert find_face_encoder(tmp_path).name == name
