"""The detectors that are networks.

The real model files are not on this machine. So the loading and the way from the picture to the faces are run for
real, through kornia, facexlib, insightface and onnxruntime, with files in the same format that are made here
(tests/detectorfiles.py: seeded weights, planted detections); and what the networks would answer for the photos is
injected where numbers of faces are tested. No test here says how well a network finds faces.
"""

import warnings

import numpy as np
import pytest
from detectorfiles import (
    DOT,
    POINTS,
    SIDE,
    dotted,
)
from PIL import Image

from fantasyid_core.face import detect_faces
from fantasyid_core.face.detectors import detect
from fantasyid_core.modelfiles import model_file

# ---- insightface


def test_insightface_runs_from_the_file_to_the_faces(files):
    places = [(160, 96), (480, 320)]
    faces = detect_faces(dotted((640, 480), *places), "insightface", folders=[files("insightface")])
    assert len(faces) == 2
    for face, place in zip(sorted(faces, key=lambda face: face.centre[0]), places, strict=True):
        middle = (face.box[:2] + face.box[2:]) / 2
        assert np.abs(middle - place).max() <= 16, "the cell that has most of the dot"
        np.testing.assert_allclose(face.box[2:] - face.box[:2], SIDE, atol=1e-3)
        np.testing.assert_allclose(face.points - middle, POINTS, atol=1e-3)
        assert face.exact_points and face.detector == "insightface" and face.score > 0.5
        np.testing.assert_allclose((face.yaw, face.pitch, face.roll), 0, atol=2)


def test_insightface_sees_rgb_as_it_was_trained(files):
    """The planted network looks for magenta; were red and green exchanged, it would find the yellow dot."""
    folder = files("insightface")
    yellow = dotted((320, 256), (160, 96))
    yellow[(yellow == DOT).all(axis=-1)] = (255, 255, 0)
    assert detect_faces(yellow, "insightface", folders=[folder]) == []
    assert len(detect_faces(dotted((320, 256), (160, 96)), "insightface", folders=[folder])) == 1


def test_insightface_maps_back_from_scaled_pictures(files):
    picture = np.asarray(Image.fromarray(dotted((640, 480), (320, 192))).resize((2560, 1920), Image.Resampling.NEAREST))
    (face,) = detect_faces(picture, "insightface", folders=[files("insightface")], max_side=640)
    assert np.abs(face.centre - (320 * 4, 192 * 4)).max() <= 64
    np.testing.assert_allclose(face.box[2:] - face.box[:2], 4 * SIDE, rtol=1e-3)


def test_insightface_takes_a_file_that_has_one_size_only(files):
    (face,) = detect_faces(
        dotted((640, 480), (160, 96)), "insightface", folders=[files("insightface", size=(704, 704))]
    )
    assert np.abs(face.centre - (160, 96)).max() <= 17


def test_insightface_before_version_1_is_called_as_it_was(files, monkeypatch):
    """insightface 0.7.3: SCRFD(model_file=None, session=None), detect(img, input_size=None, max_num=0, metric=...)."""
    from insightface.model_zoo import scrfd

    class Old:
        def __init__(self, model_file=None, session=None):
            self.session, self.det_thresh, self.nms_thresh = session, 0.0, 0.0

        def detect(self, img, input_size=None, max_num=0, metric="default"):
            assert (self.det_thresh, self.nms_thresh) == (0.5, 0.4) and img.shape[1::-1] == tuple(input_size)
            return np.array([[100, 90, 180, 190, 0.9]], np.float32), 100 + POINTS[None] / 2

    monkeypatch.setattr(scrfd, "SCRFD", Old)
    assert len(detect_faces(dotted((256, 256)), "insightface", folders=[files("insightface")])) == 1


def test_insightface_never_downloads_and_runs_on_the_processor_unless_there_is_cuda(files, monkeypatch):
    import onnxruntime

    made, original = [], onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *some, **named: made.append(named["providers"]) or original(*some, **named),
    )
    monkeypatch.setattr("socket.socket", None)
    picture = dotted((256, 256), (64, 64))
    detect_faces(picture, "insightface", folders=[files("insightface")])
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    )
    detect._load.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnxruntime says that there is no CUDA
        detect_faces(picture, "insightface", folders=[files("insightface")])
    assert made == [["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]]


# ---- yunet


def test_yunet_decodes_as_kornia_does(files, monkeypatch):
    """Seeded weights: kornia's own priors and decoding are the reference for those written here."""
    import torch

    processors = pytest.importorskip("kornia.models.yunet.processors", reason="kornia before 0.9 keeps them elsewhere")
    from fantasyid_core.face.detectors import yunet as detect_yunet

    monkeypatch.setattr(detect_yunet, "ENOUGH", 0.0)
    monkeypatch.setattr(detect_yunet, "MAX_BOXES", 10**6)
    picture = np.random.default_rng(0).integers(0, 256, (192, 256, 3), dtype=np.uint8)
    path = files("yunet") / model_file("yunet").belongs
    boxes, points, scores = detect_yunet.load(path)(picture)

    network = detect_yunet._network()
    network.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        answer = network.eval()(torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None].float())
    priors = processors.PriorBox(
        [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]], [8, 16, 32, 64], False, (192, 256)
    )()
    expected = processors.decode(answer["loc"][0], priors, [0.1, 0.2]).numpy() * np.tile([256, 192], 7)
    likely = np.sqrt(answer["conf"][0, :, 1].numpy() * answer["iou"][0, :, 0].numpy().clip(0, 1))
    order = np.argsort(-likely, kind="stable")
    assert len(scores) == len(priors)
    np.testing.assert_allclose(scores, likely[order], atol=1e-6)
    np.testing.assert_allclose(boxes, expected[order, :4], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(points.reshape(-1, 10), expected[order, 4:], rtol=1e-4, atol=1e-2)


def test_yunet_runs_from_the_file_to_the_faces(files, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    faces = detect_faces(dotted((256, 256)), "yunet", folders=[files("yunet", plant=True)])
    assert faces and all(face.exact_points and face.detector == "yunet" for face in faces)
    for face in faces:
        clipped = (face.box <= 0).any() or (face.box >= 255).any()
        if not clipped:
            np.testing.assert_allclose(face.box[2:] - face.box[:2], 128, atol=1e-2)
            np.testing.assert_allclose(face.points - face.centre, 2 * POINTS, atol=1e-2)
    assert not all((face.box <= 0).any() or (face.box >= 255).any() for face in faces)


def test_yunet_is_found_where_kornia_before_0_9_has_it(files, monkeypatch):
    import sys
    import types

    from fantasyid_core.face.detectors import yunet as detect_yunet

    new = detect_yunet._network()
    older = types.ModuleType("kornia.contrib.face_detection")
    older.YuFaceDetectNet = lambda phase, pretrained: new if (phase, pretrained) == ("test", False) else None
    monkeypatch.setitem(sys.modules, "kornia.models.yunet", None)
    monkeypatch.setitem(sys.modules, "kornia.contrib.face_detection", older)
    assert detect_yunet._network() is new


# ---- retinaface


def test_retinaface_answers_as_facexlib_does(files):
    """facexlib's network, loaded by hand, with the threshold of its FaceRestoreHelper; planted so that it answers."""
    import torch

    from fantasyid_core.face.detectors import retinaface as detect_retinaface

    path = files("retinaface", plant=True) / model_file("retinaface").belongs
    picture = np.random.default_rng(0).integers(0, 256, (256, 320, 3), dtype=np.uint8)
    boxes, points, scores = detect_retinaface.load(path)(picture)
    network = detect_retinaface._network()
    state = torch.load(path, weights_only=True)
    network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    with torch.no_grad():
        rows = network.detect_faces(picture[..., ::-1], 0.97)
    assert len(rows) > 1 and scores.min() > 0.97
    np.testing.assert_allclose(np.column_stack([boxes, scores, points.reshape(-1, 10)]), rows, atol=1e-4)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 256, atol=1e-2)
    np.testing.assert_allclose(
        points - boxes.reshape(-1, 2, 2).mean(axis=1)[:, None], np.tile(4 * POINTS, (len(rows), 1, 1)), atol=1e-2
    )


def test_retinaface_runs_from_the_file_to_the_faces(files, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    folder = files("retinaface", plant=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = detect_faces(dotted((256, 192)), "retinaface", folders=[folder], max_side=64)
    assert faces and all(face.detector == "retinaface" for face in faces)
