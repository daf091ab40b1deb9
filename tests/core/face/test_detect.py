"""Detection on real photos, on faces pasted at known places, and on pictures without a face."""

from pathlib import Path

import numpy as np
import pytest
from facesamples import official_names
from PIL import Image

from fantasyid_core.face import FaceRequest, align_face, detect_faces, find_face, head_pose, load_picture
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.detectors.detect import NOSE_DEPTH, available_detectors
from fantasyid_core.options import DETECTORS

data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photos are missing")

EYES = [[203.5, 101.2], [246.5, 103.6]]  # of the astronaut, by hand
HEAD = (130, 25, 310, 205)  # around the astronaut's face, which is about 99 pixels wide


def scene(places):
    """A table with coffee, and the astronaut's face pasted at (centre x, centre y, size of the face)."""
    picture = Image.fromarray(data.coffee()).resize((640, 427))
    astronaut = Image.fromarray(data.astronaut()).crop(HEAD)
    for x, y, size in places:
        side = round(size * 180 / 99)
        picture.paste(astronaut.resize((side, side), Image.Resampling.BICUBIC), (x - side // 2, y - side // 2))
    return np.array(picture)


def assert_found(face, place):
    x, y, size = place
    assert np.hypot(*(face.centre - (x, y))) < 0.25 * size
    assert 0.6 < face.area / size**2 < 1.6


@pytest.mark.parametrize("size", [24, 28, 35, 60, 110, 190])
def test_a_face_of_any_size_is_found_where_it_was_pasted(size):
    place = (300, 210, size)
    (face,) = detect_faces(scene([place]))
    assert_found(face, place)
    assert face.score >= 0.6 and face.exact_points and face.detector == "mediapipe"
    eyes = np.array(EYES, float) - (HEAD[0] + 90, HEAD[1] + 90)  # from the middle of what was pasted
    expected = eyes * (size / 99) + place[:2]
    assert np.abs(face.points[:2] - expected).max() < 0.08 * size


def test_several_faces_are_found_once_each():
    places = [(100, 120, 90), (330, 150, 45), (500, 250, 60), (560, 60, 26)]
    faces = sorted(detect_faces(scene(places)), key=lambda face: face.centre[0])
    assert len(faces) == len(places)
    for face, place in zip(faces, sorted(places), strict=True):
        assert_found(face, place)


def test_a_face_that_fills_the_picture_and_one_cut_by_its_edge_are_found():
    astronaut = data.astronaut()
    (face,) = detect_faces(astronaut[68:165, 172:272])
    assert face.area > 0.5 * 97 * 100
    (cut,) = detect_faces(astronaut[72:300, 180:420])
    assert 0 <= cut.box.min() and cut.box[0] < 5 and cut.centre[1] < 60


def test_box_and_points_are_in_pixels_of_the_picture_that_was_given():
    small = detect_faces(data.astronaut())[0]
    large = np.array(Image.fromarray(data.astronaut()).resize((2048, 2048)))
    face = detect_faces(large)[0]
    np.testing.assert_allclose(face.box / 4, small.box, atol=8)
    np.testing.assert_allclose(face.points / 4, small.points, atol=8)
    np.testing.assert_allclose(small.points[:2], EYES, atol=8)


@pytest.mark.parametrize("degrees", [8, -8, 20, -20, 35, -35])
def test_points_follow_a_tilted_head(degrees):
    astronaut = Image.fromarray(data.astronaut()).crop((20, 0, 420, 300))
    turned = astronaut.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(133, 133, 133))
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    eyes = (np.array(EYES) - (20, 0) - (200, 150)) @ turn.T + (200, 150)
    face = detect_faces(np.array(turned))[0]
    np.testing.assert_allclose(face.points[:2], eyes, atol=14)


@pytest.mark.parametrize("name", official_names())
def test_sample_portraits_have_one_large_face(licensed, name):
    picture = load_picture(licensed(f"{name}.jpg"))
    (face,) = detect_faces(picture)
    height, width = picture.shape[:2]
    assert 0.2 < face.area / (height * width) < 0.7
    assert np.abs(face.centre - (width / 2, 0.58 * height)).max() < 0.12 * height
    assert align_face(picture, face.points)[0].shape == (512, 512, 3)
    assert face.detector in DETECTORS


@pytest.mark.parametrize(
    "picture",
    [
        np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8),
        np.full((200, 640, 3), 133, np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        data.coffee(),
        data.chelsea(),  # a cat
    ],
    ids=["noise", "grey", "small", "coffee", "cat"],
)
def test_no_face_gives_none(picture):
    assert detect_faces(picture) == []


PEOPLE = {  # of insightface's group photo: middle of the face, by eye
    "left": (115, 325), "behind": (310, 210), "in grey": (515, 335), "in red": (785, 410), "right": (1170, 335),
    "standing": (955, 130),
}  # fmt: skip


def group_photo():
    insightface = pytest.importorskip("insightface", reason="insightface is not installed: its group photo is missing")
    return load_picture(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg")


@pytest.mark.parametrize("mirrored", [False, True])
def test_six_people_of_a_group_are_found_and_nobody_else(mirrored):
    picture = group_photo()
    places = np.array(list(PEOPLE.values()), float)
    if mirrored:
        picture, places[:, 0] = np.ascontiguousarray(picture[:, ::-1]), picture.shape[1] - 1 - places[:, 0]
    faces = detect_faces(picture, "mediapipe")
    distances = np.linalg.norm(np.stack([face.centre for face in faces])[:, None] - places, axis=2)
    assert (distances.min(axis=1) < 40).all() and len(set(distances.argmin(axis=1))) == len(faces) == 6


@pytest.mark.parametrize("degrees", [-20, 20, 90])
def test_turned_portraits_have_one_face_too(licensed, degrees):
    for name in ("anne", "imp", "taylor"):
        turned_portrait_has_one_face(Image.fromarray(load_picture(licensed(f"{name}.jpg"))), degrees)


def turned_portrait_has_one_face(picture, degrees):
    turned = picture.rotate(degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=(133, 133, 133))
    (upright,), (face,) = (detect_faces(np.array(some), "mediapipe") for some in (picture, turned))
    assert abs(face.roll - upright.roll + degrees) < 1.5  # PIL turns counterclockwise


def test_auto_without_any_file_is_mediapipe(tmp_path, monkeypatch):
    monkeypatch.setattr("fantasyid_core.face.detectors.detect.find_model_file", lambda *_: None)
    assert available_detectors([tmp_path]) == ("mediapipe",)
    picture = data.astronaut()
    (face,), (same,) = detect_faces(picture, folders=[tmp_path]), detect_faces(picture, "mediapipe")
    assert face.detector == "mediapipe" and np.array_equal(face.points, same.points)
    assert np.abs(face.points[:2] - EYES).max() < 2
    assert (face.yaw, face.pitch, face.roll) == head_pose(face.points)


def test_a_detector_that_is_no_more_becomes_the_one_in_its_place_with_a_note(tmp_path):
    picture = data.astronaut()
    with pytest.warns(UserWarning, match="The detector cascade is no more: mediapipe is used"):
        (face,) = detect_faces(picture, "cascade")
    assert face.detector == "mediapipe"
    found = find_face([picture], FaceRequest("cascade")).face
    assert [note for note in found.notes if "cascade is no more" in note] and found.exact_points


def test_a_huge_panorama_is_searched_too():
    wide = np.full((800, 12000, 3), 133, np.uint8)
    wide[100:612, 3000:3512] = data.astronaut()
    for max_side in (None, 4096, 3000):
        (face,) = detect_faces(wide, "mediapipe", max_side=max_side)
        assert np.abs(face.points[:2] - EYES - (3000, 100)).max() < 3 * 12000 / (max_side or 12000)


def test_points_by_hand_are_exact_and_have_a_pose():
    picture = np.zeros((512, 512, 3), np.uint8)
    (face,) = detect_faces(picture, "none", points=TEMPLATE)
    assert face.exact_points and face.score == 1
    np.testing.assert_allclose([face.yaw, face.pitch, face.roll], 0, atol=1)  # its nose is off centre by 0.7
    (centre,) = detect_faces(picture[:300, :400], "none")
    assert not centre.exact_points and centre.yaw is None
    np.testing.assert_allclose(centre.box, (50, 0, 349, 299), atol=1)
    np.testing.assert_allclose(align_face(picture, centre.points)[1][:, :2], np.eye(2) * 512 / 300, atol=1e-4)


def projected(yaw=0.0, pitch=0.0, roll=0.0):
    """The template with a nose that stands out, turned about one axis after the other, seen in parallel."""
    distance = TEMPLATE[1, 0] - TEMPLATE[0, 0]
    depth = np.array([0, 0, NOSE_DEPTH * distance, 0, 0])
    flat = TEMPLATE - TEMPLATE[:2].mean(axis=0)
    flat[2, 0] = 0
    x, y = flat.T
    a, b, c = np.deg2rad([yaw, pitch, roll])
    x, depth = x * np.cos(a) + depth * np.sin(a), depth * np.cos(a) - x * np.sin(a)
    y = y * np.cos(b) + depth * np.sin(b)
    return np.stack([x * np.cos(c) - y * np.sin(c), x * np.sin(c) + y * np.cos(c)], axis=1) + 300


@pytest.mark.parametrize("angle", [-40, -15, 10, 35])
def test_head_pose_undoes_a_projected_turn(angle):
    np.testing.assert_allclose(head_pose(projected(yaw=angle))[0], angle, atol=0.5)
    np.testing.assert_allclose(head_pose(projected(pitch=angle))[1], angle, atol=0.5)
    np.testing.assert_allclose(head_pose(projected(roll=angle))[2], angle, atol=0.5)
    np.testing.assert_allclose(head_pose(projected(yaw=angle, roll=25))[::2], (angle, 25), atol=1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(image=np.zeros((99, 99, 3))), r"np.uint8 \[H,W,3\] RGB, got float64"),
        (dict(image=np.zeros((20, 99, 3), np.uint8)), "99 x 20 pixels: expected at least 64"),
        (dict(detector="magic"), "out of auto, insightface, yunet, retinaface, mediapipe, none, got 'magic'"),
        (dict(points=TEMPLATE), "Choose the detector none"),
        (dict(detector="none", points=TEMPLATE + 5000), "lie outside the picture of 99 x 99"),
        (dict(detector="none", points=TEMPLATE[:3]), r"five points \[5,2\]"),
        (dict(max_side=10), "max_side of 64 to 4096 pixels, got 10"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    arguments = dict(image=np.zeros((99, 99, 3), np.uint8)) | arguments
    with pytest.raises(ValueError, match=message):
        detect_faces(**arguments)


def test_points_with_mouth_and_eyes_on_one_line_have_no_pose():
    with pytest.raises(ValueError, match="mouth .*on one line. Expected the mouth below"):
        head_pose([[0, 0], [10, 0], [5, 8], [2, 0], [8, 0]])
