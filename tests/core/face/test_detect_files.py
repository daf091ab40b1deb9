"""Files and packages of the detectors that are networks: missing, damaged, of another network, replaced; and auto."""

import importlib.util
import os
import pickle

import pytest
from detectorfiles import (
    DETECTOR_FILES as FILES,
)
from detectorfiles import (
    DETECTOR_KEYS as KEYS,
)
from detectorfiles import (
    PACKAGES,
    dotted,
    place_for,
    write_other_onnx,
)

from fantasyid_core.face import detect_faces
from fantasyid_core.face.detectors import detect, networkfile
from fantasyid_core.face.detectors.detect import available_detectors
from fantasyid_core.modelfiles import missing_file, model_file


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_explained(name, tmp_path):
    for package in PACKAGES[name]:
        pytest.importorskip(package)
    with pytest.raises(FileNotFoundError) as error:
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])
    assert str(error.value) == missing_file(KEYS[name])
    assert model_file(KEYS[name]).belongs in str(error.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packages", ["first", "all"])
def test_a_missing_package_is_explained(name, packages, tmp_path, monkeypatch):
    place_for(tmp_path, KEYS[name]).write_bytes(b"not looked at")
    gone = PACKAGES[name][:1] if packages == "first" else PACKAGES[name]
    without(monkeypatch, *gone)
    with pytest.raises(
        RuntimeError, match=f"detector {name} needs .*pip install {' '.join(gone)} .or choose another detector"
    ):
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
def test_a_broken_package_is_explained(name, module, files, monkeypatch):
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
def test_a_damaged_file_is_explained(name, damage, files, tmp_path):
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
    with pytest.raises(ValueError, match=r"file of another network: \d+ tensors are missing: "):
        detect_faces(dotted((99, 99)), name, folders=[tmp_path])


def test_a_file_with_another_shape_or_no_weights_is_refused(files, tmp_path):
    import torch

    state = torch.load(files("yunet") / model_file("yunet").belongs, weights_only=True)
    path = place_for(tmp_path, "yunet")
    torch.save(state | {"model0.conv1.weight": torch.zeros(16, 4, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"model0.conv1.weight is \[16, 4, 3, 3\] instead of \[16, 3, 3, 3\]"):
        detect_faces(dotted((99, 99)), "yunet", folders=[tmp_path])
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="expected a state dict of tensors, got list"):
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
    from fantasyid_core.face.detectors import yunet as detect_yunet

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
    monkeypatch.setattr(networkfile, "find_spec", lambda name: object())
    assert available_detectors([tmp_path]) == ("mediapipe",)
    for name in ("retinaface", "yunet", "insightface"):
        place_for(tmp_path, KEYS[name]).write_bytes(b"not looked at")
    assert available_detectors([tmp_path]) == ("insightface", "retinaface", "yunet", "mediapipe")
    without(monkeypatch, "kornia")
    assert available_detectors([tmp_path]) == ("insightface", "retinaface", "mediapipe")
    asked = []
    monkeypatch.setattr(detect, "_named", lambda name, *some: asked.append(name) or [])
    detect_faces(dotted((99, 99)), folders=[tmp_path])
    assert asked == ["insightface"]


def test_auto_without_any_file_takes_mediapipe(tmp_path):
    data = pytest.importorskip("skimage.data")
    (face,) = detect_faces(data.astronaut(), folders=[tmp_path])
    assert face.detector == "mediapipe"


def test_auto_warns_of_a_damaged_file_and_takes_the_next(files, tmp_path):
    data = pytest.importorskip("skimage.data")
    files("yunet")
    path = place_for(tmp_path, "yunet")
    path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=f"{path}.* Until then the detector mediapipe is used"):
        (face,) = detect_faces(data.astronaut(), folders=[tmp_path])
    assert face.detector == "mediapipe"
