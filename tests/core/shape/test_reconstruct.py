"""Photo to 3D face: with networks that know nothing, so that every place in the picture is known beforehand."""

import numpy as np
import pytest
import torch
from decafile import Answering, Watching, draw_dots, make_embedding
from flamefile import COUNT, make_content, write_npz

from fantasyid_core.face.align import FaceCrop, centre_crop, crop_detected, crop_face
from fantasyid_core.face.detectors.detect import DetectedFace, face_from_points
from fantasyid_core.face.framing import Framing
from fantasyid_core.shape import load_flame, load_landmarks, reconstruct_face
from fantasyid_core.shape.reconstruct.camera import box_of, square_view, whole_view
from fantasyid_core.shape.reconstruct.landmarks import five_points
from fantasyid_core.shape.reconstruct.reconstruct import ESTIMATED, FAILED, RECUT
from fantasyid_core.shape.reconstruct.recut import framing_of

EYES = (36, 45)  # landmarks: the outer corners
POSED = {
    "shape": np.linspace(-1, 1, 100),
    "expression": np.linspace(1, -1, 50),
    "pose": (0.1, -0.2, 0.05, 0.3, 0.1, 0),
}


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    return load_flame(write_npz(tmp_path_factory.mktemp("flame") / "flame.npz", make_content()), COUNT)


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    content = make_content()
    entries = make_embedding(content["v_template"], content["f"].astype(int))
    path = tmp_path_factory.mktemp("landmarks") / "landmark_embedding.npy"
    np.save(path, np.array(entries, dtype=object), allow_pickle=True)
    return load_landmarks(path)


@pytest.fixture
def watching(flame, embedding):
    """DECA that puts the outer corners of the eyes onto the two dots."""
    landmarks = embedding(flame.template[None], flame.faces)[0]
    root = flame.joint_regressor[0] @ flame.template
    return Watching(*landmarks[list(EYES), :2], root[:2])


class Scene:
    """A photo with the head's landmarks at known places: turned by `angle`, `scale` pixels a metre, at `middle`."""

    def __init__(self, flame, embedding, scale=2000.0, middle=(300.0, 260.0), angle=0.0, size=(640, 560)):
        head = embedding(flame.template[None], flame.faces)[0, :, :2].double().numpy() * (1, -1)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.landmarks = scale * head @ turn.T + middle
        self.points = five_points(self.landmarks)
        self.picture = draw_dots(self.landmarks[list(EYES)], size, 0.006 * scale)

    def approximate(self, shift=0.1, grow=1.1, framing=None, **named):
        """The face as a detector without points gives it: somewhat beside, somewhat too large."""
        middle = self.points.mean(axis=0)
        eyes = np.linalg.norm(self.points[1] - self.points[0])
        points = (self.points - middle) * grow + middle + eyes * shift
        face = DetectedFace(np.array([0, 0, 9, 9], np.float32), points, 0.5, False, detector="mediapipe", **named)
        return crop_detected(self.picture, face, 256, framing or Framing())


def moved(places, matrix):
    return np.concatenate([places, np.ones((len(places), 1))], axis=1) @ matrix.T


SCENES = {
    "upright": {},
    "small": {"scale": 700.0, "middle": (120.0, 100.0)},
    "large": {"scale": 9000.0, "middle": (1000.0, 1100.0), "size": (2100, 2300)},
    "turned": {"angle": 0.4},
    "turned back": {"angle": -0.7, "middle": (330.0, 250.0)},
    "at the border": {"middle": (130.0, 250.0)},
}


@pytest.mark.parametrize("name", SCENES)
def test_the_head_lies_on_the_face_wherever_it_is_in_the_picture(name, flame, embedding, watching):
    scene = Scene(flame, embedding, **SCENES[name])
    face = crop_detected(scene.picture, face_from_points(scene.picture, scene.points), 256)
    result = reconstruct_face(face, watching, flame, embedding)
    assert result.face.crop is face.crop and not result.notes
    expected = moved(scene.landmarks, face.matrix)
    per_pixel = np.sqrt(np.linalg.det(face.matrix[:, :2]))  # of the picture
    # DECA's square has 224 pixels, so a pixel of a large picture is less than its dots tell.
    tolerance = 0.3 * max(1, box_of(scene.landmarks)[1] / 163) * per_pixel
    np.testing.assert_allclose(result.landmarks, expected, atol=tolerance)


def test_every_vertex_is_projected_by_decas_formula(flame):
    """One vertex at a time: camera, view, picture, crop; from the published definitions."""
    camera, picture = (9.0, 0.004, -0.006), np.zeros((300, 480, 3), np.uint8)
    face = crop_face(picture, np.array([[190, 120], [240, 110], [220, 150], [200, 180], [240, 175]]), 256)
    result = reconstruct_face(face, Answering(camera=camera, **POSED), flame, region="whole picture")
    head = flame(*(torch.tensor(np.array([POSED[name]])) for name in ("shape", "expression", "pose")))[0]
    enlarged = np.sqrt(480 / 224 * 300 / 224 * np.linalg.det(face.matrix[:, :2]))
    for (x, y, z), place, depth in zip(head.tolist(), result.projected, result.depth, strict=True):
        in_view = 112 * (1 + camera[0] * (x + camera[1])), 112 * (1 - camera[0] * (y + camera[2]))
        in_picture = (in_view[0] + 0.5) * 480 / 224 - 0.5, (in_view[1] + 0.5) * 300 / 224 - 0.5
        np.testing.assert_allclose(place, face.matrix @ [*in_picture, 1], atol=1e-3)
        assert depth == pytest.approx(112 * camera[0] * z * enlarged, abs=1e-3)


def test_the_first_square_follows_the_mean_proportions(flame):
    """Five points of a mean face turned by 0.5: its landmarks' box, moved and enlarged likewise."""
    picture = np.random.default_rng(0).integers(0, 256, (500, 600, 3), dtype=np.uint8)
    turn, unit, eyes = np.exp(0.5j), 80.0, 300 + 200j
    points = eyes + unit * turn * np.array([-0.5, 0.5, 0.393j, -0.376 + 1.012j, 0.376 + 1.012j])
    middle = eyes + unit * turn * 0.667j
    deca = Answering()
    reconstruct_face(crop_face(picture, np.stack([points.real, points.imag], axis=1)), deca, flame)
    expected = square_view(picture, np.array([middle.real, middle.imag]), 2.195 * unit)
    assert len(deca.seen) == 1
    # The five points go through float32, the square's side through int.
    torch.testing.assert_close(deca.seen[0], expected.pixels, rtol=0, atol=0.02)


def test_the_mean_proportions_are_those_of_the_mean_head(licensed):
    from fantasyid_core.shape import load_topology
    from fantasyid_core.shape.reconstruct.reconstruct import MEAN_BOX, MEAN_POINTS

    topology = load_topology(licensed("transform.pkl"))
    official = load_landmarks(licensed("landmark_embedding.npy"))
    landmarks = official(topology.template[None], topology.faces, torch.zeros(1))[0, :, :2].double().numpy() * (1, -1)
    points = five_points(landmarks)
    eyes, unit = points[:2].mean(axis=0), np.linalg.norm(points[1] - points[0])
    np.testing.assert_allclose((points - eyes) / unit, MEAN_POINTS, atol=1e-3)
    middle, size = box_of((landmarks - eyes) / unit)
    np.testing.assert_allclose(middle, MEAN_BOX[0], atol=2e-3)
    assert size == pytest.approx(MEAN_BOX[1], abs=1e-3)


def test_the_second_look_is_at_the_landmarks_box(flame, embedding, watching):
    scene = Scene(flame, embedding)
    result = reconstruct_face(scene.approximate(), watching, flame, embedding)
    assert len(watching.seen) == 2
    truth = square_view(scene.picture, *box_of(scene.landmarks)).pixels
    assert (watching.seen[0] - truth).abs().max() > 0.2
    assert (watching.seen[1] - truth).abs().max() < 0.1
    np.testing.assert_allclose(result.landmarks, moved(scene.landmarks, result.face.matrix), atol=0.5)


def test_no_second_look_when_the_first_was_right(flame, embedding):
    scene = Scene(flame, embedding)
    face = crop_face(scene.picture, scene.points)
    # DECA that answers what is true for the square it sees first: the landmarks fill it to 1 / 1.375.
    truth = np.array([box_of(embedding(flame.template[None], flame.faces)[0, :, :2].numpy())], dtype=object)[0]
    camera = (2 / 1.375 / truth[1], *-truth[0])
    close = Answering(camera=camera)
    face = FaceCrop(face.crop, face.matrix, _points_for(scene), scene.picture)
    reconstruct_face(face, close, flame, embedding)
    assert len(close.seen) == 1


def _points_for(scene):
    """Five points of mean proportions whose square is that of the scene's landmarks."""
    middle, size = box_of(scene.landmarks)
    unit = size / 2.195
    mean = np.array([[-0.5, 0], [0.5, 0], [0, 0.393], [-0.376, 1.012], [0.376, 1.012]])
    return ((mean - (0, 0.667)) * unit + middle).astype(np.float32)


def test_the_whole_picture_is_shown_as_the_release_does(flame, embedding, watching):
    scene = Scene(flame, embedding, size=(600, 600))
    face = crop_face(scene.picture, scene.points)
    result = reconstruct_face(face, watching, flame, embedding, region="whole picture")
    assert len(watching.seen) == 1 and torch.equal(watching.seen[0], whole_view(scene.picture).pixels)
    np.testing.assert_allclose(result.landmarks, moved(scene.landmarks, face.matrix), atol=1)


def test_a_crop_without_its_picture_is_the_picture(flame, embedding, watching):
    scene = Scene(flame, embedding)
    face = crop_face(scene.picture, scene.points)
    alone = FaceCrop(face.crop, face.matrix, face.points, exact_points=False)
    result = reconstruct_face(alone, watching, flame, embedding)
    np.testing.assert_allclose(result.landmarks, moved(scene.landmarks, face.matrix), atol=0.7)
    assert result.face.points is alone.points  # from a crop alone nothing can be cut out again


class Sluggish(Watching):
    """Sees only half of how far a face is from filling the square, as DECA does where it was not trained."""

    filling: tuple

    def forward(self, pixels):
        answer = super().forward(pixels)
        camera = torch.tensor([self.filling], dtype=torch.float32)
        return {**answer, "camera": (answer["camera"] + camera) / 2}


def test_a_centre_square_is_searched_for_the_face(flame, embedding, watching):
    scene = Scene(flame, embedding, scale=1500.0, middle=(330.0, 250.0))
    face = centre_crop(scene.picture, 256)
    middle, size = box_of(embedding(flame.template[None], flame.faces)[0, :, :2].numpy())
    sluggish = Sluggish(*watching.places, watching.root)
    sluggish.filling = (2 / 1.375 / size, *-middle)
    result = reconstruct_face(face, sluggish, flame, embedding)
    assert len(sluggish.seen) == 4 and result.face.points is None and not result.notes
    expected = moved(scene.landmarks, face.matrix)
    np.testing.assert_allclose(result.landmarks, expected, atol=0.05 * box_of(expected)[1])


# Pose


@pytest.mark.parametrize(
    "named, pose",
    [
        ({"pose": "neutral"}, None),
        ({"pose": "as photographed"}, (0.1, -0.2, 0.05, 0.3, 0.1, 0)),
        ({"pose": "as photographed", "keep_jaw": False}, (0.1, -0.2, 0.05, 0, 0, 0)),
        ({"pose": "as photographed", "keep_turn": False}, (0, 0, 0, 0.3, 0.1, 0)),
        ({"pose": "as photographed", "keep_turn": False, "keep_jaw": False}, (0, 0, 0, 0, 0, 0)),
    ],
)
def test_the_pose_is_the_one_asked_for(named, pose, flame, embedding):
    deca = Answering(**POSED)
    scene = Scene(flame, embedding)
    face = crop_face(scene.picture, scene.points)
    result = reconstruct_face(face, deca, flame, embedding, **named)
    shape, expression = (torch.tensor(POSED[name])[None].float() for name in ("shape", "expression"))
    expected = flame(shape) if pose is None else flame(shape, expression, torch.tensor([pose]))
    torch.testing.assert_close(result.shape.vertices, expected[0], rtol=0, atol=1e-7)
    assert result.shape.vertices.dtype == torch.float32 and not result.shape.vertices.is_inference()
    np.testing.assert_array_equal(result.shape.faces, flame.faces)
    assert named["pose"] in result.shape.name
    # In the picture the head is always as photographed.
    photographed = reconstruct_face(face, deca, flame, embedding, pose="as photographed")
    np.testing.assert_array_equal(result.projected, photographed.projected)
    assert {name: tuple(value.shape) for name, value in result.params.items()}["light"] == (1, 27)
    torch.testing.assert_close(result.params["pose"], torch.tensor([POSED["pose"]]))


def test_it_can_be_called_by_a_host_in_inference_mode(flame, embedding, watching):
    scene = Scene(flame, embedding)
    with torch.inference_mode():
        result = reconstruct_face(scene.approximate(), watching, flame, embedding)
    assert result.face.exact_points and not result.shape.vertices.requires_grad


def test_models_of_other_precisions_work_together(flame, embedding, tmp_path):
    class Coarse(Answering):
        def forward(self, pixels):
            return {name: value.bfloat16() for name, value in super().forward(pixels).items()}

    scene = Scene(flame, embedding)
    exact = load_flame(write_npz(tmp_path / "flame.npz", make_content()), COUNT, torch.float64)
    found = reconstruct_face(scene.approximate(), Coarse(), exact, embedding)
    expected = reconstruct_face(scene.approximate(), Answering(), flame, embedding)
    assert found.shape.vertices.dtype == torch.float32 and found.params["shape"].dtype == torch.float32
    np.testing.assert_allclose(found.projected, expected.projected, atol=1e-3)


# Approximate points are replaced


@pytest.mark.parametrize("framing", [Framing(), Framing(padding=0.1, hair=0.2), Framing(neck=0.1, rotation=12.0)])
def test_a_face_with_approximate_points_is_cut_out_again(framing, flame, embedding, watching):
    scene = Scene(flame, embedding)
    face = scene.approximate(framing=framing)
    face = FaceCrop(face.crop, face.matrix, face.points, face.picture, False, notes=(*face.notes, "Two faces."))
    result = reconstruct_face(face, watching, flame, embedding)
    truth = crop_detected(scene.picture, face_from_points(scene.picture, scene.points), 256, framing)
    assert result.face.exact_points and result.face.yaw is not None
    np.testing.assert_allclose(result.face.points, scene.points, atol=0.3)
    corners = np.array([[0.0, 0], [639, 559]])
    np.testing.assert_allclose(moved(corners, result.face.matrix), moved(corners, truth.matrix), atol=2)
    again = crop_detected(scene.picture, face_from_points(scene.picture, result.face.points), 256, framing)
    np.testing.assert_allclose(result.face.matrix, again.matrix, atol=1e-6)
    np.testing.assert_array_equal(result.face.crop, again.crop)
    # The note about the estimated points is outdated, the others stay.
    assert any("five points are estimated" in note for note in face.notes)
    assert "Two faces." in result.face.notes and RECUT in result.face.notes and RECUT in result.notes
    assert not any("five points are estimated" in note for note in result.face.notes)
    # What is drawn belongs to the new crop.
    np.testing.assert_allclose(result.landmarks, moved(scene.landmarks, result.face.matrix), atol=0.5)


def test_further_views_are_cut_out_again_too(flame, embedding, watching):
    scenes = [Scene(flame, embedding), Scene(flame, embedding, middle=(200.0, 200.0), scale=1500.0)]
    face, other = (scene.approximate() for scene in scenes)
    exact = crop_detected(scenes[1].picture, face_from_points(scenes[1].picture, scenes[1].points), 256)
    face = FaceCrop(face.crop, face.matrix, face.points, face.picture, False, others=(other, exact))
    found = reconstruct_face(face, watching, flame, embedding).face.others
    assert found[0].exact_points and found[1] is exact
    np.testing.assert_allclose(found[0].points, scenes[1].points, atol=0.3)


@pytest.mark.parametrize(
    "framing",
    [
        Framing(),
        Framing(padding=-0.2),
        Framing(padding=0.3, hair=0.5, neck=0.1, rotation=-170),
        Framing(padding=-0.2, hair=1.0),
        Framing(padding=1, hair=1, neck=1),
        Framing(neck=0.7, rotation=45),
    ],
)
def test_the_framing_of_a_crop_is_found_again(framing):
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    points = np.array([[120, 90], [160, 84], [145, 110], [128, 128], [160, 124]], dtype=np.float32)
    face = crop_detected(picture, face_from_points(picture, points), 128, framing)
    found = crop_detected(picture, face_from_points(picture, points), 128, framing_of(face))
    np.testing.assert_allclose(found.matrix, face.matrix, atol=1e-6)
    assert framing != Framing() or framing_of(face) == Framing()


# What goes wrong


def test_a_face_that_deca_does_not_see_keeps_its_crop(flame, embedding):
    scene = Scene(flame, embedding)
    face = scene.approximate()
    for camera in ((8.0, 0.2, 0.0), (2.0, 0, 0), (30.0, 0, 0), (-8.0, 0, 0)):
        deca = Answering(camera=camera)
        result = reconstruct_face(face, deca, flame, embedding)
        assert result.face.crop is face.crop and not result.face.exact_points
        assert result.notes == (FAILED,) and len(deca.seen) == 1
        assert np.isfinite(result.projected).all() and result.landmarks.shape == (68, 2)
    assert reconstruct_face(face, deca, flame, embedding, region="whole picture").notes == (FAILED,)


def test_a_second_look_that_loses_the_face_is_dropped(flame, embedding, watching):
    class Losing(Watching):
        def forward(self, pixels):
            answer = super().forward(pixels)
            return answer if len(self.seen) == 1 else {**answer, "camera": torch.tensor([[8.0, 1.0, 0]])}

    scene = Scene(flame, embedding)
    losing = Losing(*watching.places, watching.root)
    result = reconstruct_face(scene.approximate(), losing, flame, embedding)
    assert len(losing.seen) == 2 and not any(FAILED in note for note in result.notes)
    np.testing.assert_allclose(result.landmarks, moved(scene.landmarks, result.face.matrix), atol=0.7)


def test_without_landmarks_the_square_is_estimated_and_said_to_be(flame, embedding, watching):
    scene = Scene(flame, embedding)
    face = scene.approximate()
    result = reconstruct_face(face, watching, flame)
    assert result.landmarks is None and result.notes == (ESTIMATED,) and result.face.crop is face.crop
    assert len(watching.seen) == 1 and result.projected.shape == (COUNT, 2)
    assert not reconstruct_face(face, watching, flame, region="whole picture").notes


def test_landmarks_that_give_no_crop_leave_the_face_as_it_is(flame, embedding, watching, monkeypatch):
    from fantasyid_core.shape.reconstruct import reconstruct

    face = Scene(flame, embedding).approximate()
    for points in (np.zeros((5, 2)), np.full((5, 2), np.nan), np.random.default_rng(0).normal(size=(5, 2)) * 40 - 5000):
        monkeypatch.setattr(reconstruct, "five_points", lambda _, points=points: points)
        assert reconstruct_face(face, watching, flame, embedding).face.crop is face.crop


def test_wrong_choices_and_broken_numbers_are_named(flame, embedding, watching):
    face = Scene(flame, embedding).approximate()
    with pytest.raises(ValueError, match="region among landmarks, whole picture, got 'face'"):
        reconstruct_face(face, watching, flame, embedding, region="face")
    with pytest.raises(ValueError, match="pose among neutral, as photographed, got 'smile'"):
        reconstruct_face(face, watching, flame, embedding, pose="smile")
    with pytest.raises(ValueError, match="finite numbers from DECA, got NaN or infinite shape.*float32"):
        reconstruct_face(face, Answering(shape=[float("nan")] * 100), flame, embedding)
    with pytest.raises(ValueError, match="The landmarks belong to FLAME's mesh"):
        flame.faces, faces = flame.faces[:50], flame.faces
        try:
            reconstruct_face(face, watching, flame, embedding)
        finally:
            flame.faces = faces
