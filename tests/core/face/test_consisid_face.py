"""What ConsisID reads of a face, against the official preparation, and what it says when a part is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from consisidgolden import crop_and_labels, expected, tiny_tower, write_parser
from golden import network_input, relative_error

from fantasyid_core.face import consisid, encoder
from fantasyid_core.face.align import FaceCrop, crop_face
from fantasyid_core.face.consisid import Readers, face_vector, load_readers, prepare_face
from fantasyid_core.face.likeness import Likeness, arcface_crop, load_glintr
from fantasyid_core.face.parsing import FaceParser, grey_pixels, load_parser, on_white
from fantasyid_core.pipeline import stretch

pytest.importorskip("facexlib", reason="facexlib is not installed: no parts of a face")


@pytest.fixture(scope="module")
def tower():
    return tiny_tower()


class Labels(torch.nn.Module):
    """A network that gives the golden labels whatever it sees."""

    def forward(self, pixels):
        labels = torch.from_numpy(crop_and_labels()[1])
        return [torch.nn.functional.one_hot(labels, 19).permute(2, 0, 1)[None].float()]


class ArcFace:
    """Gives a fixed raw vector, and remembers the crops it saw (BGR)."""

    def __init__(self, vector=None):
        self.vector = network_input("arcface", (512,)).numpy() if vector is None else vector
        self.seen = []

    def get_feat(self, pictures):
        self.seen.extend(pictures)
        return self.vector[None]


@pytest.fixture
def readers(tmp_path):
    return Readers(Likeness(ArcFace()), FaceParser(Labels()), (tmp_path,))


def golden_face():
    return FaceCrop(crop_and_labels()[0], np.eye(2, 3))


def test_the_towers_states_and_vector_are_the_official_ones(tower, monkeypatch):
    monkeypatch.setattr(encoder, "prepare_pixels", lambda pixels, size, dtype: pixels)  # they are normalised already
    with torch.inference_mode():
        states, vector = tower.features(network_input("pixels", (1, 3, 56, 56)))
    for index, state in enumerate(states):
        assert relative_error(state, expected()[f"eva.states.{index}"]) <= 1e-5
    assert relative_error(vector, expected()["eva.vector"]) <= 1e-5


def test_the_prepared_pictures_states_and_vector_are_the_official_ones(tower, readers):
    with torch.inference_mode():
        prepared = prepare_face(golden_face(), tower.features, readers)
    picture = prepared.face.parsed
    assert np.array_equal(picture[::8, ::8], expected()["prepared.picture_every8"].numpy())
    first_frame = stretch(prepared.face.first_picture, 720, 480)[..., ::16, ::16]
    assert relative_error(first_frame, expected()["prepared.first_frame_every16"]) <= 1e-6
    for index, state in enumerate(prepared.features.states):
        assert relative_error(state, expected()[f"prepared.states.{index}"]) <= 1e-5
    assert relative_error(prepared.features.vector, expected()["prepared.id_cond"]) <= 1e-5


def test_the_last_state_is_fantasyids(tower):
    alone = encoder.FaceEncoder(replace(tower.config, depth=20, states=(19,), vector=0))
    state = tower.trunk.state_dict()
    alone.trunk.load_state_dict({name: state[name] for name in alone.trunk.state_dict()}, assign=True)
    pixels = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(tower.encode(pixels), alone.encode(pixels))


def test_face_and_hair_stay_and_the_rest_becomes_white():
    crop, labels = crop_and_labels()
    white = on_white(crop, labels)
    for label in range(19):
        place = labels == label
        kept = label not in (0, 7, 8, 9, 14, 15, 16, 18)
        assert np.array_equal(white[place], crop[place]) if kept else (white[place] == 255).all()


def test_grey_is_the_brightness_in_three_channels():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:4, :, 0], picture[4:8, :, 1], picture[8:12, :, 2], picture[12:] = 255, 255, 255, 255
    grey = grey_pixels(picture)
    assert grey.shape == (1, 3, 16, 16)
    for row, brightness in ((0, 0.299), (4, 0.587), (8, 0.114), (12, 1.0)):
        assert torch.allclose(grey[:, :, row : row + 4], torch.tensor(brightness))


def test_the_users_file_is_facexlibs_network_to_the_bit(tmp_path):
    from facexlib.parsing.bisenet import BiSeNet

    path = write_parser(tmp_path / "facedetection" / "parsing_bisenet.pth")
    network = BiSeNet(num_class=19)
    network.load_state_dict(torch.load(path))
    crop = crop_and_labels()[0]
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        labels = network.eval()((pixels - mean[:, None, None]) / std[:, None, None])[0].argmax(1)[0].numpy()
    assert len(np.unique(labels)) > 1
    assert np.array_equal(load_parser(folders=[tmp_path]).labels(crop), labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("ffm.conv1.weight"),
            "is another network: 1 of BiSeNet's tensors are missing: ffm.conv1.weight",
        ),
        (lambda s: s.update({"conv_out.conv_out.weight": torch.ones(20, 256, 1, 1)}), "instead of .19, 256, 1, 1"),
        (lambda s: s["conv_out.conv_out.weight"].fill_(float("nan")), "hold NaN or infinite values.*damaged"),
    ],
)
def test_another_bisenet_is_refused(tmp_path, change, message):
    path = write_parser(tmp_path / "parsing_bisenet.pth")
    state = torch.load(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        load_parser(path)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "parsing_bisenet.pth"
    path.write_bytes(b"<!doctype html>")
    with pytest.raises(ValueError, match="For the parts of a face, get it from"):
        load_parser(path)


def test_w600k_is_refused_under_either_name(tmp_path):
    for name in ("w600k_r50.onnx", "glintr100.onnx"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(174383860)  # the size of w600k_r50
        with pytest.raises(ValueError, match="it is w600k_r50.onnx: expected glintr100.onnx.*different spaces"):
            load_glintr(tmp_path / name)


@pytest.mark.parametrize("approximate", [False, True])
def test_missing_files_are_named_unless_approximate_is_accepted(tmp_path, approximate, tower):
    if not approximate:
        with pytest.raises(FileNotFoundError, match="glintr100.onnx .* is missing.*accept an approximate result"):
            load_readers([tmp_path])
        return
    readers = load_readers([tmp_path], approximate=True)
    with torch.inference_mode():
        prepared = prepare_face(golden_face(), tower.features, readers)
    assert prepared.notes == (consisid.WITHOUT_PARTS, consisid.WITHOUT_ARCFACE)
    assert np.array_equal(prepared.face.first_picture, golden_face().crop)
    assert not prepared.features.vector[:, :512].any() and prepared.features.vector[:, 512:].norm() == pytest.approx(1)


def test_missing_parser_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(consisid, "load_glintr", lambda folders: Likeness(ArcFace()))
    with pytest.raises(FileNotFoundError, match="parsing_bisenet.pth .* is missing"):
        load_readers([tmp_path])


def photo_with_face(size=(900, 1300)):
    """A picture with a face's five points."""
    y, x = np.mgrid[: size[0], : size[1]]
    picture = np.stack([(x // 3) % 256, (y // 2) % 256, (x + y) % 256], -1).astype(np.uint8)
    points = np.array([[500, 400], [620, 398], [560, 470], [510, 540], [615, 538]], np.float32)
    return crop_face(picture, points)


def test_arcface_reads_the_reduced_photo_and_keeps_the_length(tmp_path):
    face, model = photo_with_face(), ArcFace()
    vector, notes = face_vector(face, Likeness(model), [tmp_path])
    assert np.array_equal(vector, model.vector)  # raw, not of length one
    assert "scrfd_10g_bnkps.onnx" in notes[0]  # the second detector is not there
    picture, points = consisid.reduced(face.picture, face.points.astype(np.float64))
    assert picture.shape == (708, 1024, 3)
    assert np.allclose(points, (face.points + 0.5) * (1024 / 1300, 708 / 900) - 0.5)
    assert np.array_equal(model.seen[0], arcface_crop(picture, points)[..., ::-1])
    small, same = consisid.reduced(face.picture[:800, :1000], points)
    assert small.shape == (800, 1000, 3) and same is points


class Found:
    def __init__(self, points):
        self.points = points


def second_detector(monkeypatch, tmp_path, found):
    from fantasyid_core.face.detectors import detect

    monkeypatch.setattr(consisid, "find_model_file", lambda key, folders: tmp_path)
    monkeypatch.setattr("fantasyid_core.face.detectors.networkfile.missing_packages", lambda names: [])
    monkeypatch.setattr(detect, "detect_faces", lambda picture, name, folders: found)


def test_of_a_group_the_second_detectors_points_are_those_of_the_chosen_face(monkeypatch, tmp_path):
    face, model = photo_with_face(), ArcFace()
    picture, own = consisid.reduced(face.picture, face.points.astype(np.float64))
    larger = (own - own.mean(0)) * 2 + (200, 300)  # the official code would take the largest face
    second_detector(monkeypatch, tmp_path, [Found(larger), Found(own + 1.5)])
    _, notes = face_vector(face, Likeness(model), [tmp_path])
    assert notes == ()
    assert np.array_equal(model.seen[0], arcface_crop(picture, own + 1.5)[..., ::-1])


@pytest.mark.parametrize("others", [True, False])
def test_a_face_that_the_second_detector_does_not_find_is_reported(monkeypatch, tmp_path, others):
    face, model = photo_with_face(), ArcFace()
    picture, own = consisid.reduced(face.picture, face.points.astype(np.float64))
    second_detector(monkeypatch, tmp_path, [Found(own + 300)] if others else [])
    _, notes = face_vector(face, Likeness(model), [tmp_path])
    if others:
        assert "does not find the chosen face" in notes[0]
        assert np.array_equal(model.seen[0], arcface_crop(picture, own)[..., ::-1])
    else:  # as the official code has it
        assert "it sees the whole crop" in notes[0]
        assert np.array_equal(model.seen[0], face.crop[..., ::-1])


def test_after_a_warp_arcface_reads_the_crop(tmp_path):
    face, model = photo_with_face(), ArcFace()
    warped = replace(face, crop=face.crop[:, ::-1].copy(), picture=None)
    _, notes = face_vector(warped, Likeness(model), [tmp_path])
    assert "taken from the face crop" in notes[0]
    assert model.seen[0].shape == (112, 112, 3)
    points = face.points @ face.matrix[:, :2].T + face.matrix[:, 2]
    assert np.array_equal(model.seen[0], arcface_crop(warped.crop, points)[..., ::-1])


def test_a_face_without_points_is_squeezed(tmp_path):
    model = ArcFace()
    _, notes = face_vector(golden_face(), Likeness(model), [tmp_path])
    assert "There are no five points" in notes[0]
    assert np.array_equal(model.seen[0], golden_face().crop[..., ::-1])


def test_a_tower_without_its_last_blocks_is_refused(readers):
    with pytest.raises(ValueError, match="got 1 states and no vector: .* first 20 of its 24 blocks"):
        prepare_face(golden_face(), lambda pixels: ((torch.zeros(1, 17, 64),), None), readers)


def test_a_parsed_crop_of_another_size_is_refused():
    with pytest.raises(ValueError, match="Expected a parsed crop of the crop's size"):
        replace(golden_face(), parsed=np.zeros((8, 8, 3), np.uint8))
