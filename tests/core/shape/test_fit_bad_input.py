"""Bad photos through the whole fit: the right face, or a sentence; never a wrong head without a note."""

from __future__ import annotations

import numpy as np
import pytest

from fantasyid_core.__main__ import main
from fantasyid_core.experiments.drawn_heads import distance, face_region
from fantasyid_core.face import find_face
from fantasyid_core.face.align import opencv
from fantasyid_core.face.photo import FaceRequest, pictures
from fantasyid_core.options import TEMPLATE_HEAD
from fantasyid_core.shape import fit_face, load_shape
from fantasyid_core.shape.edit.editstate import parse_edit
from fantasyid_core.shape.reconstruct.landmark_fit import fit_landmarks, own_head
from fantasyid_core.shape.reconstruct.methods import ReconstructionRequest, make_shape

HELD_OUT = 1_000_000_600
CLEAR_PEOPLE = (0, -16.0), (1, -8.0), (2, 0.0), (3, 8.0), (4, 16.0), (42, 12.0)  # seed, degrees
COVERS = {  # of the eyes' distance from their middle: up, down, left, right; colour
    "a bar over the eyes": (-0.35, 0.35, -1.2, 1.2, (0, 0, 0)),
    "a dark bar over the mouth": (0.6, 1.8, -1.2, 1.2, (10, 10, 10)),
    "a light bar over the mouth": (0.6, 1.8, -1.2, 1.2, (235, 235, 235)),
    "a blue mask": (0.4, 1.9, -1.2, 1.2, (120, 170, 220)),
    "half of the face": (-1.0, 2.0, -1.4, 0.0, (60, 60, 60)),
}


@pytest.fixture(scope="module")
def images():
    return pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photos are missing")


@pytest.fixture(scope="module")
def photo(images):
    return images.astronaut()


@pytest.fixture(scope="module")
def upright(photo):
    return fitted(photo)


def crop_of(picture, **how):
    return find_face([picture], FaceRequest("mediapipe", **how)).face


def fitted(picture, **how):
    return fit_landmarks(crop_of(picture, **how), own_head())


def drawn(seed, **row):
    pytest.importorskip("numba", reason="numba is not installed: no person can be drawn")
    from fantasyid_core.people.motion import frame_row
    from fantasyid_core.people.person import sample_person
    from fantasyid_core.people.render import render_frames

    return render_frames(sample_person(HELD_OUT + seed), frame_row(**row)[None], None, 320)[0]


def covered(picture, name):
    top, bottom, left, right, colour = COVERS[name]
    points = crop_of(picture).points.astype(float)
    middle, across = points[:2].mean(axis=0), points[1] - points[0]
    down = np.array([-across[1], across[0]])
    corners = [middle + across * x + down * y for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return opencv().fillConvexPoly(picture.copy(), np.round(corners).astype(np.int32), colour)


def painted(picture):
    points, draw = crop_of(picture).points, np.random.default_rng(1)
    middle, eyes = points[:2].mean(axis=0), float(np.linalg.norm(points[1] - points[0]))
    picture = picture.copy()
    for _ in range(14):
        place = middle + draw.uniform((-1, -0.8), (1, 1.6)) * eyes
        opencv().circle(picture, place.astype(int).tolist(), int(eyes / 4), draw.integers(0, 255, 3).tolist(), -1)
    return picture


def drawing():
    """Eyes, brows, nose and mouth on an oval, and its five points."""
    cv2, page = opencv(), np.full((512, 512, 3), 200, np.uint8)
    cv2.ellipse(page, (256, 270), (130, 175), 0, 0, 360, (225, 180, 150), -1)
    cv2.ellipse(page, (256, 120), (140, 70), 0, 180, 360, (60, 40, 20), -1)
    for x in (205, 307):
        cv2.ellipse(page, (x, 240), (28, 14), 0, 0, 360, (255, 255, 255), -1)
        cv2.circle(page, (x, 240), 12, (40, 60, 90), -1)
        cv2.line(page, (x - 30, 210), (x + 30, 208), (60, 40, 20), 8)
    cv2.line(page, (256, 250), (248, 310), (160, 110, 90), 5)
    cv2.ellipse(page, (256, 360), (48, 18), 0, 0, 360, (180, 60, 70), -1)
    return page, np.array([[205, 240], [307, 240], [250, 310], [208, 360], [304, 360]])


def refused_or_doubted(picture, words="covered, painted, blurred or no person's"):
    """That the user is told; what the fit found, if anything."""
    try:
        fit = fitted(picture)
    except ValueError as error:
        assert "another photo" in str(error) or "Choose a picture that shows the face" in str(error)
        return None
    assert fit.trust.doubt in fit.notes and words in fit.trust.doubt, (fit.trust, fit.residual)
    assert TEMPLATE_HEAD in fit.trust.doubt
    return fit


def apart(fit, other):
    head = own_head()
    region = face_region(head.template)
    return distance(*(each.shape.vertices.double().numpy()[region] for each in (fit, other)))


def test_clear_faces_are_not_doubted(upright):
    fits = [upright, *(fitted(drawn(seed, yaw=yaw, pitch=4.0)) for seed, yaw in CLEAR_PEOPLE)]
    assert [fit.trust.doubt for fit in fits] == [""] * 7
    assert min(fit.confidence for fit in fits) > 0.5


@pytest.mark.parametrize("cover", COVERS)
def test_covered_faces_are_said_to_be_covered(photo, upright, cover):
    fit = refused_or_doubted(covered(photo, cover))
    assert fit is None or fit.confidence < 0.5 < upright.confidence


@pytest.mark.parametrize("cover", list(COVERS)[:4])
def test_covered_drawn_people_are_said_to_be_covered(cover):
    refused_or_doubted(covered(drawn(7, yaw=-6.0), cover))


def test_painted_faces_are_said_to_be_painted(photo):
    refused_or_doubted(painted(photo))


@pytest.mark.parametrize("yaw", [60.0, -66.0, 72.0, 80.0, -90.0])
def test_a_profile_is_refused_or_gets_the_average_head_and_the_template_is_offered(yaw):
    try:
        fit = fitted(drawn(3, yaw=yaw))
    except ValueError as error:
        assert "seen from the side" in str(error) or "method template" in str(error)
        return
    assert fit.trust.doubt and "the method template" in " ".join(fit.notes), (fit.pose.yaw, fit.trust)
    assert max([abs(pair[0]) for pair in parse_edit(fit.shape.edit).values.values()], default=0) < 0.5
    offered = make_shape(fit.face, ReconstructionRequest(TEMPLATE_HEAD)).shape
    assert np.abs(offered.vertices.numpy() - own_head().template).max() < 1e-6


@pytest.mark.parametrize("degrees", [180, 135, -30])
def test_a_face_turned_in_the_picture_gets_the_same_head(photo, upright, degrees):
    matrix = opencv().getRotationMatrix2D((256, 256), degrees, 1)
    fit = fitted(opencv().warpAffine(photo, matrix, (512, 512)))
    assert fit.notes == () and apart(fit, upright) < 1.0


def test_of_two_faces_one_is_taken_and_both_are_named(photo, upright):
    both = np.concatenate([photo, photo[:, ::-1]], axis=1)
    face = crop_of(both)
    assert "Faces 0 and 1 are about equally large; face" in face.notes[0]
    assert (crop_of(both, how="left to right", number=1).points[:, 0] > 512).all()
    assert apart(fitted(both, how="left to right", number=0), upright) < 1.0


@pytest.mark.parametrize("name", ["chelsea", "coffee", "noise", "grey"])
def test_an_animal_and_pictures_without_a_face_are_refused(images, name):
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    made = {"noise": noise, "grey": np.full((300, 400, 3), 90, np.uint8)}
    with pytest.raises(ValueError, match="There is no face found.*Choose a picture that shows the face"):
        fit_face(made[name] if name in made else getattr(images, name)())


def test_a_drawing_is_met_where_it_was_drawn_or_doubted():
    page, points = drawing()
    fit = fitted(page)
    known = own_head().calibration.places(fit.shape.seen)[:, :2]
    eyes = np.stack([known[list(pair)].mean(axis=0) for pair in ((33, 133), (362, 263))])
    away = np.linalg.norm(np.concatenate([eyes, known[[61, 291]]]) - points[[0, 1, 3, 4]], axis=1)
    assert fit.trust.doubt or away.max() < 0.15 * (307 - 205)


def test_a_smiley_is_refused_or_doubted():
    cv2, page = opencv(), np.full((512, 512, 3), 240, np.uint8)
    cv2.circle(page, (256, 256), 180, (255, 220, 60), -1)
    for x in (190, 322):
        cv2.circle(page, (x, 210), 25, (0, 0, 0), -1)
    cv2.ellipse(page, (256, 320), (90, 50), 0, 0, 180, (0, 0, 0), 12)
    refused_or_doubted(page)


def test_a_photo_of_one_pixel_is_refused():
    with pytest.raises(ValueError, match="1 x 1 pixels: expected at least"):
        fit_face(np.zeros((1, 1, 3), np.uint8))


def test_in_a_picture_of_20_000_pixels_the_face_is_found(photo, upright):
    wide = np.full((512, 20_000, 3), 120, np.uint8)
    wide[:, 15_000:15_512] = photo
    fit = fitted(wide)
    np.testing.assert_allclose(fit.shape.seen.mean(0) - (15_000, 0, 0), upright.shape.seen.mean(0), atol=8)
    assert apart(fit, upright) < 1.0
    with pytest.raises(ValueError, match="There is no face found"):
        fit_face(np.full((100, 20_000, 3), 120, np.uint8))


def test_a_very_small_face_is_said_to_be_unsure(photo):
    refused_or_doubted(opencv().resize(photo, (64, 64), interpolation=opencv().INTER_AREA))


def test_nan_is_refused_at_every_door(photo):
    image = np.full((1, 64, 64, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN|infinite|finite"):
        pictures(image)
    with pytest.raises(ValueError, match=r"np.uint8 \[H,W,3\] RGB, got float32"):
        fit_face(image[0])
    with pytest.raises(ValueError, match="finite"):
        crop = find_face([photo], FaceRequest("none", points=np.full((5, 2), np.nan))).face
        fit_landmarks(crop)


def test_the_command_says_what_is_wrong_with_a_photo(images, photo, tmp_path, capsys):
    from PIL import Image

    def run(picture, *more):
        Image.fromarray(picture).save(tmp_path / "photo.png")
        named = ["--image", str(tmp_path / "photo.png"), "--out", str(tmp_path / "head.ply"), "--detector", "mediapipe"]
        return main(["reconstruct", *named, *more]), capsys.readouterr().err

    code, told = run(images.chelsea())
    assert code == 2 and "no face found" in told and not (tmp_path / "head.ply").exists()
    code, told = run(covered(photo, "a blue mask"))
    assert code == 0 and "covered, painted" in told and (tmp_path / "head.ply").exists()
    mask = load_shape(tmp_path / "head.ply", len(own_head().template)).numpy()
    code, told = run(covered(photo, "a blue mask"), "--method", "template")
    template = load_shape(tmp_path / "head.ply", len(own_head().template)).numpy()
    assert code == 0 and "covered" not in told and np.abs(mask - template).max() > 1e-3
