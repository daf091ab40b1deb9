"""The detectors that are networks.

The real model files are not on this machine. So the loading and the way from the picture to the faces are run for
real, through kornia, facexlib, insightface and onnxruntime, with files in the same format that are made here
(tests/detectorfiles.py: seeded weights, planted detections); and what the networks would answer for the photos is
injected where numbers of faces are tested. No test here says how well a network finds faces.
"""

import importlib.util
import os
import pickle
import warnings

import numpy as np
import pytest
from detectorfiles import DOT, POINTS, SIDE, place_for, write_other_onnx, write_retinaface, write_scrfd, write_yunet
from PIL import Image

from fantasyid_core.face import choose_face, detect, detect_faces, load_picture, networkfile, search
from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.detect import available_detectors
from fantasyid_core.modelfiles import missing_file, model_file

FILES = {"insightface": write_scrfd, "yunet": write_yunet, "retinaface": write_retinaface}
KEYS = {"insightface": "insightface_detector", "yunet": "yunet", "retinaface": "retinaface"}
PACKAGES = {"insightface": ("insightface", "onnxruntime", "onnx"), "yunet": ("kornia",), "retinaface": ("facexlib",)}


@pytest.fixture(autouse=True)
def empty_cache():
    detect._load.cache_clear()
    yield
    detect._load.cache_clear()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function: detector -> models folder with its seeded or planted file, written once."""
    made = {}

    def folder(name, **options):
        which = (name, *sorted(options.items()))
        if which not in made:
            for package in PACKAGES[name]:
                pytest.importorskip(package, reason=f"{package} is not installed: {name} cannot run")
            made[which] = tmp_path_factory.mktemp(name)
            FILES[name](place_for(made[which], KEYS[name]), **options)
        return made[which]

    return folder


def dotted(size, *places):
    """A grey picture with dots that the planted SCRFD takes for the middles of faces; places are cells of 16."""
    picture = np.full((size[1], size[0], 3), 100, np.uint8)
    for x, y in places:
        picture[y : y + 16, x : x + 16] = DOT
    return picture


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


def test_insightface_of_before_version_1(files, monkeypatch):
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
    from fantasyid_core.face import detect_yunet

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


def test_yunet_of_kornia_before_0_9(files, monkeypatch):
    import sys
    import types

    from fantasyid_core.face import detect_yunet

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

    from fantasyid_core.face import detect_retinaface

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


# ---- files


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_a_sentence(name, tmp_path):
    for package in PACKAGES[name]:
        pytest.importorskip(package)
    with pytest.raises(FileNotFoundError) as error:
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])
    assert str(error.value) == missing_file(KEYS[name])
    assert model_file(KEYS[name]).belongs in str(error.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packages", ["first", "all"])
def test_a_missing_package_is_a_sentence(name, packages, tmp_path, monkeypatch):
    place_for(tmp_path, KEYS[name]).write_bytes(b"not looked at")
    gone = PACKAGES[name][:1] if packages == "first" else PACKAGES[name]
    without(monkeypatch, *gone)
    with pytest.raises(RuntimeError, match=f"detector {name} needs .*pip install {' '.join(gone)}`"):
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])
    assert name not in available_detectors([tmp_path])


def without(monkeypatch, *gone):
    real = importlib.util.find_spec

    def find_spec(name):
        if name == "insightface" and name in gone:
            raise ValueError(f"{name}.__spec__ is None")  # what a module that was put there by hand gives
        return None if name in gone else real(name)

    monkeypatch.setattr(networkfile, "find_spec", find_spec)


@pytest.mark.parametrize(
    "name, module", [("insightface", "insightface"), ("yunet", "kornia"), ("retinaface", "facexlib")]
)
def test_a_broken_package_is_a_sentence(name, module, files, monkeypatch):
    folder, real = files(name), networkfile.import_module

    def broken(wanted, *some):
        if wanted.startswith(module):
            raise ImportError("DLL load failed")
        return real(wanted, *some)

    monkeypatch.setattr(networkfile, "import_module", broken)
    with pytest.raises(RuntimeError, match=f"{module} is installed but .*DLL load failed.*pip install --upgrade"):
        detect_faces(dotted((99, 99)), name, folders=[folder])


DAMAGES = {
    "cut": lambda data: data[: len(data) // 2],
    "web page": lambda _: b"<html>404</html>",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_a_sentence(name, damage, files, tmp_path):
    good = (files(name) / model_file(KEYS[name]).belongs).read_bytes()
    path = place_for(tmp_path, KEYS[name])
    path.write_bytes(DAMAGES[damage](good))
    with pytest.raises(ValueError) as error:
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])
    assert str(path) in str(error.value) and model_file(KEYS[name]).sources[0] in str(error.value)


@pytest.mark.parametrize("name, other", [("yunet", "retinaface"), ("retinaface", "yunet")])
def test_the_file_of_another_network_is_refused(name, other, files, tmp_path):
    os.link(files(other) / model_file(KEYS[other]).belongs, place_for(tmp_path, KEYS[name]))
    for package in PACKAGES[name]:
        pytest.importorskip(package)
    with pytest.raises(
        ValueError, match=r"file of another network: of \d+ expected tensors \d+ are missing \(.*unknown"
    ):
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])


def test_a_file_with_another_shape_or_no_weights_is_refused(files, tmp_path):
    import torch

    state = torch.load(files("yunet") / model_file("yunet").belongs, weights_only=True)
    path = place_for(tmp_path, "yunet")
    torch.save(state | {"model0.conv1.weight": torch.zeros(16, 4, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"model0.conv1.weight of shape \[16, 3, 3, 3\], got \[16, 4, 3, 3\]"):
        detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds list: expected the weights of a face detector"):
        detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])


def test_code_in_a_file_is_not_run(tmp_path):
    pytest.importorskip("kornia")

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    place_for(tmp_path, "yunet").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(ValueError, match="could not be read as plain weights"):
        detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])
    assert not (tmp_path / "harm").exists()


def test_an_onnx_model_of_another_kind_is_refused(files, tmp_path):
    files("insightface")
    write_other_onnx(place_for(tmp_path, "insightface_detector"))
    with pytest.raises(
        ValueError, match=r"ONNX model of another kind: expected .* 9 or 15 outputs.*got inputs \[\[1, 3, 112"
    ):
        detect_faces(dotted((99, 99)), "insightface", folders=[tmp_path])


def test_a_file_is_loaded_once_and_again_when_it_was_replaced(files, monkeypatch, tmp_path):
    from fantasyid_core.face import detect_yunet

    loaded, real = [], detect_yunet.load
    monkeypatch.setattr(detect_yunet, "load", lambda path: loaded.append(path) or real(path))
    path = place_for(tmp_path, "yunet")
    path.write_bytes((files("yunet") / model_file("yunet").belongs).read_bytes())
    for _ in range(2):
        detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])
    assert len(loaded) == 1
    os.utime(path, (1, 1))
    detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])
    assert len(loaded) == 2
    assert detect._load.cache_info().maxsize <= 4, "networks do not pile up"


# ---- auto


def test_auto_takes_the_best_whose_package_and_file_are_there(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(networkfile, "find_spec", lambda name: object())
    assert available_detectors([tmp_path]) == ("cascade",)
    for name in ("retinaface", "yunet", "insightface"):
        place_for(tmp_path, KEYS[name]).write_bytes(b"not looked at")
    assert available_detectors([tmp_path]) == ("insightface", "yunet", "retinaface", "cascade")
    without(monkeypatch, "kornia")
    assert available_detectors([tmp_path]) == ("insightface", "retinaface", "cascade")
    asked = []
    monkeypatch.setattr(detect, "_named", lambda name, *some: asked.append(name) or [])
    detect_faces(dotted((99, 99)), folders=[tmp_path])
    assert asked == ["insightface"]


def test_auto_without_any_file_takes_the_cascade(tmp_path):
    data = pytest.importorskip("skimage.data")
    (face,) = detect_faces(data.astronaut(), folders=[tmp_path])
    assert face.detector == "cascade"


def test_auto_warns_of_a_damaged_file_and_takes_the_next(files, tmp_path):
    data = pytest.importorskip("skimage.data")
    files("yunet")
    path = place_for(tmp_path, "yunet")
    path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=f"{path}.* Until then the detector cascade is used"):
        (face,) = detect_faces(data.astronaut(), folders=[tmp_path])
    assert face.detector == "cascade"


def test_auto_with_nothing_to_fall_back_on_says_so(files, tmp_path, monkeypatch):
    files("yunet")
    without(monkeypatch, "skimage")
    with pytest.raises(RuntimeError, match="No face detector can be used here.*pip install scikit-image.*none"):
        detect_faces(dotted((99, 99)), folders=[tmp_path])
    place_for(tmp_path, "yunet").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="yunet_final.pth"):
        detect_faces(dotted((99, 99)), folders=[tmp_path])


# ---- the photos, with what the networks would answer injected

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
    "sample, face", [("anne", (415, 560, 520)), ("imp", (253, 330, 270)), ("taylor", (365, 480, 400))]
)
def test_the_sample_photos_have_one_face(name, sample, face, shared, monkeypatch):
    """Injected answers: the real networks and their files are not here."""
    photo = load_picture(shared / "samples" / f"{sample}.jpg")
    x, y, width = face
    network = Injected({(x, y): (width, 0)}, monkeypatch)
    monkeypatch.setattr(detect, "_network", lambda *some: (network, detect._module(name).SIDES))
    (found,) = detect_faces(photo, name)
    np.testing.assert_allclose(found.centre, (x, y), atol=3)
