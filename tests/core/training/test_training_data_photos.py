"""The whole data preparation from pictures alone: found, cut out and fitted by what comes with the pack."""

from __future__ import annotations

import json

import numpy as np
import pytest
from facevideos import CLIP, write

from fantasyid_core.__main__ import main
from fantasyid_core.face import find_face
from fantasyid_core.face.align import opencv
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.shape import fit_face
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.training.config import DataSettings, IdentitySettings
from fantasyid_core.training.index_source import IndexSource, read_index

pytest.importorskip("pyarrow", reason="pyarrow is not installed: the index cannot be written")
OWN = len(head_mesh().template)
SETTINGS = {"frames": 9, "height": 96, "width": 144, "vertices": OWN, "detector": "mediapipe", "text": "none"}
SETTINGS |= {"min-face": 40, "min-sharpness": 2, "every": 4, "views": 2, "crop": 256, "detect-side": 320}


def moved(picture, frames):
    """A short film: the picture moves to the right by a pixel in every frame."""
    return [np.roll(picture[:320, 30:414], shift, axis=1) for shift in range(frames)]


def masked(picture):
    """The face below the eyes behind a blue mask."""
    points = find_face([picture], FaceRequest("mediapipe")).face.points.astype(int)
    (x, y), eyes = points[:2].mean(axis=0), points[1, 0] - points[0, 0]
    corners = [(int(x - 1.2 * eyes), int(y + 0.4 * eyes)), (int(x + 1.2 * eyes), int(y + 1.9 * eyes))]
    return opencv().rectangle(picture.copy(), *corners, (120, 170, 220), -1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photos are missing")
    folder, out = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("prepared")
    pictures = {"cat": data.chelsea(), "clear": data.astronaut(), "masked": masked(data.astronaut())}
    for name, picture in pictures.items():
        frames = 2 * CLIP if name == "clear" else CLIP
        write(folder / f"{name}.mp4", moved(np.pad(picture, ((0, 60), (0, 0), (0, 0))), frames))
    (folder / "clear.txt").write_text("an astronaut")
    options = [part for name, value in SETTINGS.items() for part in (f"--{name}", str(value))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMFYUI_PATH", str(folder / "none"))
        for name in ("FANTASYID_TOPOLOGY", "FANTASYID_MODELS"):
            patch.delenv(name, raising=False)
        assert main(["prepare", str(folder), str(out), *options]) == 0
    return out, data.astronaut()


def test_a_clear_face_gets_a_clip_with_its_own_3d_face(prepared):
    out, photo = prepared
    clear = next(row for row in read_index(out) if "clear" in row["name"])
    head = np.load(out / clear["vertices"])
    assert head.shape == (OWN, 3) and clear["caption"] == "an astronaut" and len(clear["references"]) >= 1
    alone = fit_face(photo).vertices.numpy()
    template = head_mesh().template
    assert np.abs(head - alone).mean() < 0.5 * np.abs(head - template).mean()


def test_a_clip_whose_fit_is_in_doubt_gets_no_3d_face_and_the_reason_is_told(prepared):
    out, _ = prepared
    report = json.loads((out / "report.json").read_text())
    assert report["tools"]["shape"] == "landmarks" and report["with_shapes"] == 2
    reasons = [*report["problems"], *(f"{each['video']}: {each['reason']}" for each in report["skipped"])]
    (masked_one,) = [reason for reason in reasons if reason.startswith("masked.mp4")]
    assert "no 3D face: The face seems to be covered, painted" in masked_one
    assert any(reason.startswith("cat.mp4") and "no face" in reason for reason in reasons)


def test_the_trainer_leaves_out_what_is_in_doubt(prepared):
    out, _ = prepared
    data, identity = DataSettings(folder=str(out), held_out=1), IdentitySettings(reference="view")
    source = IndexSource(data, identity, (9, 64, 96), OWN, False, face_size=48)
    assert len(source) == 1 and len(read_index(out)) == 3
    batch = source.batch([0], np.random.default_rng(0))
    assert "clear" in batch.names[0] and batch.vertices.shape == (1, OWN, 3)
