"""The photos, with what the networks would answer for them injected; see test_detect_networks.py."""

import importlib.util
import os

import numpy as np
import pytest
from detectorfiles import (
    DETECTOR_FILES as FILES,
)

from fantasyid_core.face import choose_face, detect_faces, load_picture
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.detectors import detect, search

GROUP = {  # insightface's t1.jpg, from left to right: middle of the face, width of its box, roll in degrees
    (114, 335): (84, -20),
    (318, 213): (84, -25),
    (508, 345): (100, 15),
    (795, 412): (92, 8),
    (945, 130): (96, -5),
    (1175, 332): (88, 0),
}


class Injected:
    """A network that sees the known faces, where they are 10 to 300 pixels large, and nothing else."""

    def __init__(self, faces, monkeypatch):
        self.faces, self.view = faces, None
        monkeypatch.setattr(search, "view_of", self.look)

    def look(self, *arguments):
        self.view = view_of(*arguments)
        return self.view

    def __call__(self, picture):
        assert picture is self.view.pixels
        boxes, points = [], []
        for (x, y), (width, roll) in self.faces.items():
            cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
            five = (TEMPLATE - TEMPLATE.mean(axis=0)) * (width / 280) @ np.array([[cos, sin], [-sin, cos]])
            box = np.array([[-0.5, -0.62], [0.5, 0.62]]) * width
            box, five = ((some + (x, y) + 0.5) / self.view.scale + self.view.origin for some in (box, five))
            if 10 <= box[1, 0] - box[0, 0] <= 300:
                boxes.append(box.ravel())
                points.append(five)
        count = len(boxes)
        return np.reshape(boxes, (count, 4)), np.reshape(points, (count, 5, 2)), np.linspace(0.9, 0.8, count)


view_of = search.view_of


@pytest.mark.parametrize("name", FILES)
def test_the_group_photo_has_six_faces_and_the_right_one_is_chosen(name, monkeypatch, tmp_path):
    """Injected answers: the real networks and their files are not here."""
    insightface = importlib.util.find_spec("insightface")
    if insightface is None:
        pytest.skip("insightface is not installed: its group photo is not on this machine")
    photo = load_picture(os.path.join(os.path.dirname(insightface.origin), "data", "images", "t1.jpg"))
    network = Injected(GROUP, monkeypatch)
    monkeypatch.setattr(detect, "_network", lambda *some: (network, detect._module(name).SIDES))
    faces = detect_faces(photo, name)
    assert len(faces) == 6 and all(face.exact_points and face.detector == name for face in faces)
    for nth, ((x, y), (_, roll)) in enumerate(GROUP.items()):
        face = choose_face(faces, "left to right", nth)
        assert np.abs(face.centre - (x, y)).max() < 3
        np.testing.assert_allclose((face.roll, face.yaw), (roll, 0), atol=2)
    assert abs(choose_face(faces, "largest").centre[0] - 508) < 3
    assert abs(choose_face(faces, "most central", 0, photo.shape[1::-1]).centre[0] - 795) < 3


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "size, face", [((904, 864), (415, 560, 520)), ((540, 512), (253, 330, 270)), ((760, 740), (365, 480, 400))]
)
def test_portraits_have_one_face(name, size, face, monkeypatch):
    """Injected answers, for faces that fill as much of the photo as in the official samples."""
    photo = np.full((*size, 3), 128, np.uint8)
    x, y, width = face
    network = Injected({(x, y): (width, 0)}, monkeypatch)
    monkeypatch.setattr(detect, "_network", lambda *some: (network, detect._module(name).SIDES))
    (found,) = detect_faces(photo, name)
    np.testing.assert_allclose(found.centre, (x, y), atol=3)
