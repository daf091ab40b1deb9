"""From photos to the face that is meant; the detectors themselves are tested in test_detect*.py."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.face import photo
from fantasyid_core.face.align import TEMPLATE, Framing
from fantasyid_core.face.detectors.detect import face_from_points
from fantasyid_core.face.photo import FaceRequest, describe_face, find_face, pictures, points_or_none

SIZE = 240, 320


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)


def points(x: float, y: float, side: float, turn: float = 0.0) -> np.ndarray:
    """Five points of a face of `side` pixels; `turn` moves the nose sideways, as when the head turns."""
    found = (TEMPLATE - 256) * (side / 512) + (x, y)
    found[2, 0] += turn * side
    return found


@pytest.fixture
def people(monkeypatch):
    """people(photo, *five points) plants what the detector finds in a photo."""
    planted = {}

    def plant(image, *faces):
        planted[image.tobytes()] = [face_from_points(image, each) for each in faces]

    def detect(image, detector="auto", points=None, folders=()):
        assert detector == "auto" and points is None
        return planted[image.tobytes()]

    monkeypatch.setattr(photo, "detect_faces", detect)
    return plant


def test_the_chosen_face_is_cut_out_and_marked(people):
    image = picture()
    left, right = points(80, 100, 90), points(220, 120, 140)
    people(image, right, left)
    largest = find_face([image])
    assert np.allclose(largest.face.points, right, atol=1e-4) and largest.face.crop.shape == (512, 512, 3)
    first = find_face([image], FaceRequest(how="left to right", number=0))
    assert np.allclose(first.face.points, left, atol=1e-4)
    assert first.face.picture is image
    for found in (largest, first):
        assert found.numbered[0].shape == image.shape
    assert not np.array_equal(largest.numbered[0], first.numbered[0])  # another face is marked


def test_framing_reaches_the_crop(people):
    image = picture()
    people(image, points(150, 120, 140))
    tight, wide = (find_face([image], FaceRequest(framing=Framing(padding=p))).face for p in (0.0, 0.5))
    scale = [np.linalg.norm(face.matrix[0, :2]) for face in (tight, wide)]
    assert scale[1] == pytest.approx(scale[0] / 2)


def test_two_equal_faces_are_a_note(people):
    image = picture()
    people(image, points(80, 100, 100), points(220, 120, 100))
    assert any("equally large" in note for note in find_face([image]).face.notes)
    chosen = find_face([image], FaceRequest(how="left to right", number=1))
    assert not any("equally large" in note for note in chosen.face.notes)


def test_several_photos_of_a_person_keep_the_most_different_poses(people):
    photos = [picture(seed) for seed in range(4)]
    for image, turn in zip(photos, (0.0, 0.01, 0.12, -0.12), strict=True):
        people(image, points(150, 120, 140, turn))
    found = find_face(photos, FaceRequest(references=3))
    views = (found.face, *found.face.others)
    assert len(views) == 3 and len(found.numbered) == 4
    yaws = sorted(round(view.yaw) for view in views)
    assert yaws[0] < -10 and yaws[-1] > 10 and abs(found.face.yaw) < 5
    assert any("Of 4 photos" in line or "4 photos" in line for line in describe_face(found.face))


def test_a_photo_without_a_face_is_left_out_and_named(people):
    photos = [picture(0), picture(1)]
    people(photos[0])
    people(photos[1], points(150, 120, 140))
    found = find_face(photos)
    assert found.face.picture is photos[1] and not found.face.others
    assert any("Photo 1 of 2 was left out" in note for note in found.face.notes)
    people(photos[1])
    with pytest.raises(ValueError, match="None of the 2 photos shows a face"):
        find_face(photos)


def test_the_person_most_like_another_picture_is_taken(people, monkeypatch):
    image, other = picture(0), picture(1)
    left, right = points(80, 100, 140), points(220, 120, 90)
    people(image, left, right)
    people(other, points(150, 120, 140))

    def embed(image_, face, request):
        vector = np.array([1.0, 0.0]) if face.points[0, 0] > 120 or image_ is other else np.array([0.0, 1.0])
        return vector.astype(np.float32)

    monkeypatch.setattr(photo, "_embed", embed)
    found = find_face([image], FaceRequest(how="most alike"), like=other)
    assert np.allclose(found.face.points, right, atol=1e-4)
    people(other)
    with pytest.raises(ValueError, match="picture to compare with shows no face"):
        find_face([image], FaceRequest(how="most alike"), like=other)


def test_points_by_hand_and_the_centre_need_no_detector():
    image = picture()
    by_hand = points(150, 120, 140).astype(np.float32)
    assert np.array_equal(find_face([image], FaceRequest("none", by_hand)).face.points, by_hand)
    centre = find_face([image], FaceRequest("none")).face
    assert centre.points is None and centre.crop.shape == (512, 512, 3)
    with pytest.raises(ValueError, match="Point 3 of 5, .*outside the picture"):
        find_face([image], FaceRequest("none", by_hand * [1, 1.9]))


def test_no_photo_is_refused():
    with pytest.raises(ValueError, match="at least one photo"):
        find_face([])
    with pytest.raises(ValueError, match="1 to 64 photos"):
        FaceRequest(references=0)


def test_empty_points_are_none_and_a_batch_is_several_pictures():
    assert points_or_none("  ") is None
    torch = pytest.importorskip("torch")
    batch = torch.rand(3, 80, 90, 3)
    assert [each.shape for each in pictures(batch)] == [(80, 90, 3)] * 3
    with pytest.raises(ValueError, match="picture 0, got 0 pictures"):
        pictures(batch[:0])


def test_the_pose_is_said(people):
    image = picture()
    people(image, points(150, 120, 140, 0.1))
    face = find_face([image]).face
    assert isinstance(face.yaw, float) and any(line.startswith("Head turned by") for line in describe_face(face))
