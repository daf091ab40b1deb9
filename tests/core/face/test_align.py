"""The crop: the official alignment in closed form and against a slow warp; points that users type."""

import json
import re
import sys

import numpy as np
import pytest
import torch

from fantasyid_core.face import (
    DetectedFace,
    FaceCrop,
    Framing,
    align_face,
    centre_crop,
    crop_detected,
    crop_face,
    detect_faces,
    parse_points,
)
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.picture import FILL

GOOD = "120,130 190,128 155,170 128,205 184,204"


def similarity(scale, degrees, shift):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.hstack([turn, np.reshape(shift, (2, 1))])


def moved(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix):
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def smooth_picture(height=300, width=340):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + y / 31), np.cos(x / 23 - y / 19), np.sin(y / 13)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def warped(picture, matrix, size):
    """Bilinear sampling written out: four neighbours and two weights; FILL beyond the edge."""
    padded = np.empty((picture.shape[0] + 2, picture.shape[1] + 2, 3))
    padded[:] = FILL
    padded[1:-1, 1:-1] = picture
    y, x = np.mgrid[:size, :size]
    source = moved(inverse(matrix), np.stack([x, y], -1).reshape(-1, 2).astype(float)) + 1
    source = np.clip(source, 0, np.array(padded.shape[1::-1]) - 1.001)
    corner = np.floor(source).astype(int)
    (fx, fy), (cx, cy) = (source - corner).T[..., None], corner.T
    upper = padded[cy, cx] * (1 - fx) + padded[cy, cx + 1] * fx
    lower = padded[cy + 1, cx] * (1 - fx) + padded[cy + 1, cx + 1] * fx
    return (upper * (1 - fy) + lower * fy).reshape(size, size, 3)


@pytest.mark.parametrize("size", [512, 256])
@pytest.mark.parametrize("scale, degrees", [(1.7, 0), (2.5, 25), (1.2, -170)])
def test_matrix_undoes_the_similarity_that_moved_the_template(scale, degrees, size):
    to_crop = similarity(scale * size / 512, degrees, (40, -25))
    matrix = align_face(smooth_picture(), moved(inverse(to_crop), TEMPLATE * size / 512), size)[1]
    assert matrix.shape == (2, 3) and matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, to_crop, atol=2e-3)


def test_one_wrong_point_in_five_does_no_harm():
    to_crop = similarity(1.5, 10, (30, 20))
    points = moved(inverse(to_crop), TEMPLATE)
    points[2] += (35, -50)
    np.testing.assert_allclose(align_face(smooth_picture(), points)[1], to_crop, atol=2e-2)


def test_crop_is_the_bilinear_warp_with_the_fill_of_the_release():
    picture = smooth_picture()
    to_crop = similarity(1.3, 15, (60, 40))  # parts of the crop lie outside the picture
    crop, matrix = align_face(picture, moved(inverse(to_crop), TEMPLATE))
    assert crop.shape == (512, 512, 3) and crop.dtype == np.uint8
    difference = np.abs(crop - warped(picture, matrix, 512))
    assert np.quantile(difference, 0.99) <= 2 and difference.mean() < 0.6
    np.testing.assert_array_equal(crop[0, 0], (132, 133, 135))  # BGR 135, 133, 132 in the release


def test_channels_stay_in_rgb_order():
    red = np.zeros((300, 300, 3), np.uint8)
    red[..., 0] = 255
    crop, _ = align_face(red, TEMPLATE / 2)
    np.testing.assert_array_equal(crop[200, 200], (255, 0, 0))


def test_views_and_lists_are_taken_too():
    picture = smooth_picture()
    crop, _ = align_face(picture[:, ::-1], (TEMPLATE / 2).tolist())
    np.testing.assert_array_equal(crop, align_face(picture[:, ::-1].copy(), TEMPLATE / 2)[0])


def test_points_beyond_the_edge_are_aligned_as_a_detector_gives_them():
    assert align_face(smooth_picture(), TEMPLATE - (210, 0))[0].shape == (512, 512, 3)


def test_a_portrait_without_points_is_cut_out_in_its_middle():
    picture = smooth_picture(904, 864)
    face = crop_face(picture)
    assert face.crop.shape == (512, 512, 3) and face.points is None
    back = inverse(face.matrix)
    # 864 x 904: the square leaves 20 rows above.
    np.testing.assert_allclose(moved(back, np.array([[-0.5, -0.5]])), [[-0.5, 19.5]], atol=1e-9)


@pytest.mark.parametrize("height, width", [(300, 420), (421, 300)])
def test_centre_crop_is_the_middle_square_and_its_matrix_agrees(height, width):
    picture = smooth_picture(height, width)
    face = centre_crop(picture, 512)
    assert np.abs(face.crop - warped(picture, face.matrix, 512))[8:-8, 8:-8].max() <= 4
    np.testing.assert_array_equal(
        centre_crop(picture, 300).crop,
        picture[(height - 300) // 2 :, (width - 300) // 2 :][:300, :300],
    )


def test_crop_face_takes_points_or_the_centre():
    picture, points = smooth_picture(), parse_points(GOOD)
    face = crop_face(picture, points)
    np.testing.assert_array_equal(face.crop, align_face(picture, points)[0])
    np.testing.assert_array_equal(face.points, points)
    np.testing.assert_array_equal(crop_face(picture).crop, centre_crop(picture).crop)


def test_face_crop_as_pixels_and_as_image():
    face = centre_crop(smooth_picture())
    assert face.pixels().shape == (1, 3, 512, 512) and face.image().shape == (1, 512, 512, 3)
    assert face.pixels().dtype == torch.float32
    np.testing.assert_array_equal(face.image()[0].numpy(), face.crop.astype(np.float32) / 255)
    assert torch.equal(face.pixels()[0, 2], face.image()[0, ..., 2])
    with pytest.raises(AttributeError):
        face.crop = None
    with pytest.raises(ValueError, match=r"\[S,S,3\], got float64"):
        FaceCrop(np.zeros((512, 512, 3)), np.eye(2, 3))
    with pytest.raises(ValueError, match=r"matrix \[2,3\]"):
        FaceCrop(face.crop, np.eye(3))
    with pytest.raises(ValueError, match=r"np.uint8 \[H,W,3\] RGB, got float64"):
        FaceCrop(face.crop, np.eye(2, 3), picture=np.zeros((9, 9, 3)))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace(" ", "\n"),
        GOOD.replace(" ", "; "),
        GOOD.replace(",", ", "),
        json.dumps([[120, 130], [190, 128], [155, 170], [128, 205], [184, 204]]),
        json.dumps([dict(zip("xy", map(float, point.split(",")), strict=True)) for point in GOOD.split()]),
    ],
)
def test_points_are_parsed(text):
    points = parse_points(text)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, [[120, 130], [190, 128], [155, 170], [128, 205], [184, 204]])


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Expected 5 points, that is 10 numbers, got 0"),
        ("1,2 3,4 5,6 7,8", "Expected 5 points, that is 10 numbers, got 8"),
        (GOOD + " 7", "got 11 numbers"),
        (GOOD.replace("155", "nose"), "Expected 5 points as numbers, .*nose"),
        ("[[1, 2], [3", "Expected 5 points as numbers"),
        ('[{"x": 1}]', "Expected 5 points as numbers"),
        (GOOD.replace("155", "nan"), "five finite points, .*nan"),
        (GOOD.replace("155", "inf"), "five finite points, .*inf"),
        ("9,9 " * 5, "coincide or lie on one line"),
        ("10,10 20,20 30,30 40,40 50,50", "coincide or lie on one line"),
        ("190,128 120,130 155,170 184,204 128,205", "another order or mirrored"),
        ("128,205 184,204 155,170 120,130 190,128", "another order or mirrored"),
    ],
)
def test_bad_points_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_points(text)


@pytest.mark.parametrize("shift", [(500, 0), (0, -140), (0, 5000)])
def test_points_outside_the_picture_are_refused(shift):
    with pytest.raises(ValueError, match=r"Point \d of 5, .*outside the picture: expected x in 0..339"):
        crop_face(smooth_picture(), parse_points(GOOD) + shift)


@pytest.mark.parametrize(
    "points, message",
    [
        (TEMPLATE[:4], r"five points \[5,2\] .*got shape \[4, 2\]"),
        (np.full((5, 2), np.nan), "five finite points"),
        (np.full((5, 2), 30.0), "coincide"),
    ],
)
def test_align_face_refuses_bad_points(points, message):
    with pytest.raises(ValueError, match=message):
        align_face(smooth_picture(), points)


@pytest.mark.parametrize(
    "image", [np.zeros((99, 99, 3)), np.zeros((99, 99), np.uint8), torch.zeros(1, 99, 99, 3), "face.jpg"]
)
@pytest.mark.parametrize("crop", [lambda image: align_face(image, TEMPLATE), centre_crop, crop_face])
def test_other_images_are_refused(crop, image):
    with pytest.raises(ValueError, match=r"np.uint8 \[H,W,3\] RGB"):
        crop(image)


def test_sizes_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="1 x 1 pixels: expected at least 64"):
        crop_face(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ValueError, match="40000 x 64 pixels: expected 1 to 32766"):
        align_face(np.zeros((64, 40000, 3), np.uint8), TEMPLATE)
    with pytest.raises(ValueError, match="crop size of 16 to 4096"):
        align_face(smooth_picture(), TEMPLATE, size=0)


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        RuntimeError, match="needs the package opencv-python-headless, .* -m pip install opencv-python-headless"
    ):
        align_face(smooth_picture(), TEMPLATE)
    assert crop_face(smooth_picture()).crop.shape == (512, 512, 3)  # the centre crop needs none


def scattered(count, size):
    """Point sets as detectors give them: the template moved, each point off by a little, one of them by much."""
    rng = np.random.default_rng(count)
    for _ in range(count):
        to_crop = similarity(rng.uniform(0.15, 6), rng.uniform(-180, 180), rng.uniform(-300, 900, 2))
        points = moved(inverse(to_crop), TEMPLATE)
        spread = np.linalg.norm(points[1] - points[0])
        points += rng.normal(0, 0.05, (5, 2)) * spread
        points[rng.integers(5)] += rng.normal(0, 0.4, 2) * spread
        points += np.array(size) / 2 - points.mean(axis=0) + rng.uniform(-0.6, 0.6, 2) * size
        yield points


@pytest.fixture
def facexlib_aligner(monkeypatch):
    """facexlib's own class, without its networks, which it would download."""
    helpers = pytest.importorskip(
        "facexlib.utils.face_restoration_helper", reason="facexlib is not installed: no peer to compare with"
    )
    for name in ("init_detection_model", "init_parsing_model"):
        monkeypatch.setattr(helpers, name, lambda *_, **__: None)
    return lambda size: helpers.FaceRestoreHelper(1, face_size=size, device="cpu")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])  # facexlib's own detector gives float32
@pytest.mark.parametrize("width, height", [(864, 904), (301, 97), (64, 64), (2300, 1200)])
@pytest.mark.parametrize("size", [512, 256])
def test_alignment_equals_facexlib_on_the_same_points(facexlib_aligner, width, height, size, dtype):
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for points in scattered(12, (width, height)):
        official = facexlib_aligner(size)
        official.all_landmarks_5 = [points.astype(dtype)]
        official.input_img = np.ascontiguousarray(picture[..., ::-1])  # BGR
        official.align_warp_face()
        crop, matrix = align_face(picture, points.astype(dtype), size)
        np.testing.assert_allclose(matrix, official.affine_matrices[0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(crop, official.cropped_faces[0][..., ::-1])


def test_a_face_much_larger_than_the_crop_is_averaged_except_in_the_official_function():
    # Stripes of one pixel: seen eight times smaller they are even grey, but four neighbours show beats.
    stripes = np.zeros((3000, 4100, 3), np.uint8)
    stripes[:, ::2] = 255
    points = TEMPLATE * 5.6 + (300, 30)
    official, matrix = align_face(stripes, points)
    smooth = crop_face(stripes, points)
    np.testing.assert_array_equal(smooth.matrix, matrix)
    inside = np.s_[40:-40, 40:-40]
    assert official[inside].std() > 40
    assert smooth.crop[inside].std() < 15 and abs(smooth.crop[inside].mean() - 127.5) < 1


@pytest.mark.parametrize("factor, rotation", [(5.3, 20), (7.6, -75), (11.1, 180)])
def test_averaging_keeps_every_place_where_it_is(factor, rotation):
    # Bright discs at known places, in a picture whose sides no factor divides: their centres of mass must lie
    # where the matrix says.
    places = np.array([[700, 600], [1500, 800], [1100, 1500]])
    y, x = np.mgrid[-60:61, -60:61]
    disc = np.repeat((np.hypot(x, y) < 60)[..., None] * np.uint8(255), 3, axis=-1)
    face = DetectedFace(np.zeros(4), TEMPLATE * factor / 2, 1.0, True, detector="insightface")
    for place in places:
        picture = np.zeros((2203, 2501, 3), np.uint8)
        picture[place[1] - 60 : place[1] + 61, place[0] - 60 : place[0] + 61] = disc
        cut = crop_detected(picture, face, 512, Framing(padding=1, rotation=rotation))
        wanted = moved(cut.matrix, place[None].astype(float))[0]
        assert (20 < wanted).all() and (wanted < 490).all()
        weight = np.where(cut.crop[..., 0] > 140, cut.crop[..., 0], 0).astype(float)
        weight /= weight.sum()
        rows, columns = np.mgrid[:512, :512]
        np.testing.assert_allclose([(weight * columns).sum(), (weight * rows).sum()], wanted, atol=0.15)


def found(points, exact=True, yaw=0.0, detector="insightface"):
    pose = (yaw, 0.0, 0.0) if exact else (None, None, None)
    points = np.asarray(points, np.float32)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return DetectedFace(box, points, 0.9, exact, *pose, detector)


def test_detected_face_is_cut_out_and_remembers_where_from():
    picture = smooth_picture()
    face = crop_detected(picture, found(TEMPLATE / 2 + (40, 10), yaw=12.0))
    np.testing.assert_array_equal(face.crop, align_face(picture, TEMPLATE / 2 + (40, 10))[0])
    assert face.picture is picture and face.exact_points and face.notes == () and face.others == ()
    assert face.pose == (12.0, 0.0, 0.0)
    assert centre_crop(picture).picture is picture and crop_face(picture, parse_points(GOOD)).picture is picture
    assert centre_crop(picture).pose is None


def test_framing_reaches_the_crop():
    picture, framing = smooth_picture(), Framing(0.3, 0.2, 0.1, 15)
    points = TEMPLATE / 2 + (40, 10)
    matrix = framing.applied(align_face(picture, points)[1], 512)
    for crop, got in (
        align_face(picture, points, framing=framing),
        (lambda face: (face.crop, face.matrix))(crop_detected(picture, found(points), framing=framing)),
    ):
        np.testing.assert_array_equal(got, matrix)
        difference = np.abs(crop - warped(picture, matrix, 512))
        assert np.quantile(difference, 0.99) <= 2 and difference.mean() < 0.6


@pytest.mark.parametrize("framing", [Framing(), Framing(padding=-0.1), Framing(hair=0.2, rotation=30)])
def test_the_detector_none_without_points_gives_the_centre_square(framing):
    picture = smooth_picture()
    (face,) = detect_faces(picture, "none")
    cut = crop_detected(picture, face, framing=framing)
    np.testing.assert_allclose(cut.matrix, framing.applied(centre_crop(picture).matrix, 512), atol=1e-9)
    assert np.abs(cut.crop - warped(picture, cut.matrix, 512))[60:-60, 60:-60].max() <= 4
    assert cut.points is None and cut.notes == ()


@pytest.mark.parametrize(
    "face, message",
    [
        (found(TEMPLATE / 2 + 20, exact=False, detector="yunet"), "the detector yunet gives no points"),
        (found(TEMPLATE / 2 + 20, yaw=-63.0), "The head is turned by about 63 degrees"),
        (found(TEMPLATE / 2 - (110, 0)), r"^4\d% of the crop lies outside the picture and is filled with grey"),
        (found(TEMPLATE / 12 + 90), r"The face is small: it is enlarged 12.0 times"),
    ],
)
def test_what_may_disappoint_is_said(face, message):
    (note,) = crop_detected(smooth_picture(), face).notes
    assert re.search(message, note)


@pytest.mark.parametrize(
    "points, message",
    [
        (TEMPLATE * (0.002, 1) / 2 + (150, 10), "coincide or lie on one line, so they give no face"),  # a profile
        (np.array([[10, 20], [np.nan, np.nan], [15, 30], [11, 40], [np.nan, np.nan]]), "five finite points"),
    ],
)
def test_a_side_face_with_missing_points_is_refused(points, message):
    with pytest.raises(ValueError, match=message):
        crop_detected(smooth_picture(), found(points))


def test_a_face_outside_the_picture_is_refused():
    with pytest.raises(ValueError, match="face lies outside the picture of 340 x 300 pixels.*Detect the face in"):
        crop_detected(smooth_picture(), found(TEMPLATE + 5000))
    with pytest.raises(ValueError, match="do not fit a face"):
        align_face(smooth_picture(), TEMPLATE * 1e6)
