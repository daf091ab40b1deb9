"""Photo in, 478 points of every face out: as in MediaPipe's own runtime, at all turns and sizes, and nobody else's."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from landmark_pictures import PUBLIC, faceless, group_photo, load, placed, turn, versions

from fantasyid_core.face.landmarks import find_landmarks, landmarked_faces
from fantasyid_core.face.landmarks.points import FIVE
from fantasyid_core.face.pose import head_pose

GOLDEN = Path(__file__).parents[3] / "data" / "mediapipe_faces.npz"
AS_CLOSE = 0.5  # pixels, root of the mean square over 468 points
FACES = {"astronaut": ((222, 115), 95), "hopper": ((255, 230), 200)}  # middle and height
CANVAS = 960, 1280


def picture_of(name: str) -> np.ndarray:
    try:
        return load(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


def assert_as_in_mediapipe(picture: np.ndarray, expected: np.ndarray) -> None:
    (face,) = landmarked_faces(picture)
    apart = np.linalg.norm(face.points[:468, :2] - expected[:468, :2], axis=1)
    assert np.sqrt((apart**2).mean()) < AS_CLOSE
    five = expected[list(FIVE), :2]
    eyes = np.linalg.norm(five[1] - five[0])
    assert np.linalg.norm(face.five - five, axis=1).max() < 0.03 * eyes
    assert abs(face.roll - head_pose(five)[2]) < 1.5


@pytest.mark.parametrize("name", PUBLIC)
def test_points_are_mediapipes_on_photos_turned_and_scaled(name):
    golden, picture = np.load(GOLDEN), picture_of(name)
    for version, changed in versions(picture):
        assert_as_in_mediapipe(changed, golden[f"{name} {version}"])


@pytest.mark.parametrize("name", ["anne.jpg", "imp.jpg", "taylor.jpg"])
def test_sample_photos_turned_and_scaled_keep_their_roll_and_eyes(licensed, name):
    picture = load(licensed(name))
    (upright,) = landmarked_faces(picture)
    eyes = np.linalg.norm(upright.five[1] - upright.five[0])
    for degrees, scale in ((-25, 1.0), (15, 1.0), (100, 1.0), (180, 1.0), (0, 0.5), (0, 0.1)):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (face,) = landmarked_faces(turn(small, degrees))
        assert abs((face.roll + degrees - upright.roll + 180) % 360 - 180) < 1.5
        assert abs(np.linalg.norm(face.five[1] - face.five[0]) / (eyes * scale) - 1) < 0.03


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", FACES)
def test_a_picture_turned_by_quarters_has_the_same_points(name, quarters):
    picture = load(name)
    expected = np.load(GOLDEN)[f"{name} as it is"][:468, :2]
    for _ in range(quarters):  # anticlockwise: x, y become y, width - 1 - x
        expected = np.stack([expected[:, 1], picture.shape[1] - 1 - expected[:, 0]], axis=1)
        picture = np.ascontiguousarray(np.rot90(picture))
    (face,) = landmarked_faces(picture)
    eyes = np.linalg.norm(expected[263] - expected[33])
    assert np.linalg.norm(face.points[:468, :2] - expected, axis=1).mean() < 0.03 * eyes
    across = expected[263] - expected[33]
    apart = face.points[263, :2] - face.points[33, :2]
    assert abs(np.rad2deg(np.angle(complex(*apart) / complex(*across)))) < 1.5


@pytest.mark.parametrize("size", [40, 150, 400])
@pytest.mark.parametrize("name", FACES)
def test_a_face_is_found_at_every_turn_with_its_roll(name, size):
    picture, (middle, height) = load(name), FACES[name]
    upright = np.load(GOLDEN)[f"{name} as it is"][list(FIVE), :2]
    eyes, roll = np.linalg.norm(upright[1] - upright[0]) * size / height, head_pose(upright)[2]
    for degrees in range(0, 360, 45):
        (face,) = landmarked_faces(placed(picture, middle, height, size, degrees, CANVAS))
        assert abs((face.roll + degrees - roll + 180) % 360 - 180) < 1.5 + 60 / size
        assert abs(np.linalg.norm(face.five[1] - face.five[0]) / eyes - 1) < 0.03 + 1.2 / size


@pytest.mark.parametrize("degrees", [0, 20, 90, 180, 270])
@pytest.mark.parametrize("name", FACES)
def test_faces_of_24_pixels_are_found_in_a_picture_of_1280(name, degrees):
    middle, height = FACES[name]
    (face,) = landmarked_faces(placed(load(name), middle, height, 24, degrees, CANVAS))
    at = np.array([CANVAS[1] * 0.55, CANVAS[0] * 0.45])
    assert np.abs(face.points[:468, :2].mean(0) - at).max() < 6
    assert 16 < np.ptp(face.points[:468, 1]) < 36


@pytest.mark.parametrize("turned", [False, True])
def test_the_group_photo_shows_six_people_and_nobody_else(turned):
    try:
        photo = group_photo()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    middles = np.array([[519, 349], [324, 213], [959, 143], [113, 335], [1181, 344], [795, 422]], float)
    if turned:
        photo, middles = np.ascontiguousarray(photo[::-1, ::-1]), np.array(photo.shape[1::-1]) - 1 - middles
    faces = landmarked_faces(photo)
    assert len(faces) == 6
    apart = np.linalg.norm(
        [[middle - (face.box[:2] + face.box[2:]) / 2 for face in faces] for middle in middles], axis=2
    )
    assert (apart.min(1) < 15).all() and len(set(apart.argmin(1))) == 6
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_a_turned_face_is_found_beside_an_upright_one():
    picture = np.full((900, 1280, 3), (90, 110, 130), np.uint8)
    picture[100:612, 100:612] = load("astronaut")
    head = placed(load("hopper"), *FACES["hopper"], 60, 180, (240, 240))
    picture[600:840, 900:1140] = head
    rolls = sorted(abs(face.roll) for face in landmarked_faces(picture))
    assert len(rolls) == 2 and rolls[0] < 10 and rolls[1] > 170


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.soak)])
def test_pictures_without_a_face_have_none(count):
    """Every fifth of 200 in every run; all of them on request."""
    found = [name for name, picture in islice(faceless(200), 0, 200, 200 // count) if landmarked_faces(picture)]
    assert not found


def test_a_cat_is_nobody():
    from skimage.data import cat

    assert landmarked_faces(cat()) == []


def test_a_face_that_fills_the_picture_is_found():
    (face,) = landmarked_faces(np.ascontiguousarray(load("hopper")[130:340, 160:360]))
    assert face.box[2] - face.box[0] > 170


def test_grey_pictures_are_taken():
    grey = load("astronaut").mean(-1).astype(np.uint8)
    (coloured,) = find_landmarks(np.repeat(grey[..., None], 3, axis=2))
    for picture in (grey, grey[..., None]):
        (points,) = find_landmarks(picture)
        np.testing.assert_array_equal(points, coloured)


def test_what_is_told_of_a_face_hangs_together():
    picture = load("astronaut")
    (face,), (points,) = landmarked_faces(picture), find_landmarks(picture)
    assert points.dtype == np.float32 and points.shape == (468, 2)
    np.testing.assert_array_equal(points, face.points[:468, :2])
    assert face.points.shape == (478, 3) and face.points.dtype == np.float32
    np.testing.assert_array_equal(face.five, face.points[list(FIVE), :2])
    assert (face.yaw, face.pitch, face.roll) == head_pose(face.five)
    assert 0.6 < face.score <= face.presence <= 1
    inside = (points >= face.box[:2]) & (points <= face.box[2:])
    assert inside.all()
    assert face.points[1, 2] < face.points[[234, 454], 2].min()  # the nose is nearer than the cheeks


@pytest.mark.parametrize("side", [1, 5, 40])
def test_tiny_pictures_show_nobody(side):
    assert landmarked_faces(np.full((side, side, 3), 128, np.uint8)) == []


def test_a_very_wide_picture_is_searched():
    wide = np.full((700, 20_000, 3), 100, np.uint8)
    wide[100:612, 15_000:15_512] = load("astronaut")
    (face,) = landmarked_faces(wide)
    expected = np.load(GOLDEN)["astronaut as it is"][:468, :2] + (15_000, 100)
    assert np.linalg.norm(face.points[:468, :2] - expected, axis=1).mean() < 1.5


def test_pictures_beyond_opencvs_limit_are_searched():
    wide = np.full((520, 33_000, 3), 100, np.uint8)
    wide[:512, 32_480:32_992] = load("astronaut")
    (face,) = landmarked_faces(wide)
    assert face.box[0] > 32_600


@pytest.mark.parametrize(
    "picture",
    [
        np.full((80, 80, 3), np.nan, np.float32),
        np.zeros((80, 80, 4), np.uint8),
        np.zeros((0, 80, 3), np.uint8),
        "photo",
        None,
    ],
    ids=["nan", "alpha", "empty", "text", "nothing"],
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match="Expected a picture as np.uint8"):
        landmarked_faces(picture)


def test_importing_the_package_imports_nothing_heavy():
    import subprocess
    import sys

    code = "import sys, fantasyid_core.face.landmarks; print(*sys.modules)"
    root = Path(__file__).parents[4]
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    assert not set(loaded.split()) & {"torch", "numpy", "cv2", "safetensors"}
