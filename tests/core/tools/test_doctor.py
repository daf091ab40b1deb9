"""`doctor`: what is found, wrong, missing and misplaced, what works therefore, and the exit code."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save

from fantasyid_core.__main__ import main
from fantasyid_core.face.detectors import detect, networkfile
from fantasyid_core.modelfiles import MODEL_FILES, model_file
from fantasyid_core.tools import diagnosis

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 873404\n"


def tensors(name: str) -> bytes:
    return save({name: torch.zeros(2)})


GOOD = {
    "fantasyid/FantasyID/transformer/diffusion_pytorch_model.safetensors": tensors("face_abstractor.x"),
    "vae/cogvideox_vae.safetensors": tensors("decoder.x"),
    "text_encoders/t5xxl_fp8.safetensors": tensors("encoder.block.0.x"),
    "clip_vision/EVA02_CLIP_L_336_psz14_s6B.safetensors": tensors("visual.x"),
    "fantasyid/topology.safetensors": tensors("topology.faces"),
}


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def models(tmp_path):
    """A models folder in which every required file is there and good."""
    return put(tmp_path / "models", GOOD)


@pytest.fixture
def doctor(capsys):
    """doctor(folder, ...) -> exit code and what was printed."""

    def run(*folders, options=()):
        given = [word for folder in folders for word in ("--models", str(folder))]
        code = main(["doctor", *given, *options])
        return code, capsys.readouterr().out

    return run


def block(text: str, name: str) -> str:
    """The lines about one file, joined by single blanks."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line[12:].startswith(name))
    end = next(number for number in range(start + 1, len(lines)) if lines[number][:12].strip() or not lines[number])
    return " ".join(" ".join(lines[start:end]).split())


def test_with_every_required_file_nothing_is_reported(doctor, models):
    code, text = doctor(models)
    assert code == 0 and "All required model files are there." in text
    for row in MODEL_FILES:
        assert block(text, row.name).startswith(f"{'found' if row.required else 'MISSING'} {row.name} ")
    assert "found CogVideoX VAE vae/cogvideox_vae.safetensors" == block(text, "CogVideoX VAE")


@pytest.mark.parametrize("name", GOOD)
def test_one_missing_required_file_is_an_error_with_all_that_helps(doctor, models, name):
    (models / name).unlink()
    code, text = doctor(models)
    assert code == 1 and "1 of 5 required model files are missing or unusable." in text
    (row,) = (row for row in MODEL_FILES if row.required and block(text, row.name).startswith("MISSING"))
    said = block(text, row.name)
    assert all(part in said for part in (row.without, f"models/{row.belongs}", *row.sources, row.licence))
    assert said.endswith(f"or run python -m fantasyid_core download {row.key}")


def test_an_empty_machine_lists_everything_and_where_to_register(doctor, tmp_path):
    (tmp_path / "models").mkdir()
    code, text = doctor(tmp_path / "models")
    assert code == 1 and "5 of 5" in text
    for key in ("deca", "flame"):
        said = block(text, model_file(key).name)
        assert model_file(key).sources[0] in said and "download" not in said


def test_wrong_files_in_the_right_place_are_told_and_required_ones_count(doctor, models):
    put(models, {"vae/cogvideox_vae.safetensors": LFS, "facedetection/yunet_final.pth": b"<html>log in</html>"})
    code, text = doctor(models)
    said = block(text, "CogVideoX VAE")
    assert code == 1 and said.startswith("UNUSABLE") and "Git LFS pointer" in said and "no video can be made" in said
    assert "web page" in block(text, "yunet_final.pth")
    put(models, {"vae/cogvideox_vae.safetensors": GOOD["vae/cogvideox_vae.safetensors"]})
    assert doctor(models)[0] == 0, "an optional file that is wrong costs its own feature only"


def test_right_files_in_the_wrong_place_are_told_with_both_places(doctor, models, licensed):
    (models / "fantasyid" / "topology.safetensors").unlink()
    there = models / "checkpoints" / "new" / "transform (2).pkl"
    put(models, {"checkpoints/new/transform (2).pkl": (licensed("transform.pkl")).read_bytes()})
    put(models, {"insightface/models/antelopev2.zip": b"PK\x03\x04"})
    code, text = doctor(models)
    said = block(text, "transform.pkl").replace(" ", "")
    assert code == 1 and f"{there}, expected in models/fantasyid/transform.pkl: move it".replace(" ", "") in said
    assert "getitat" not in said, "what is there need not be fetched"
    said = block(text, "glintr100.onnx").replace(" ", "")
    assert f"thearchive{models / 'insightface/models/antelopev2.zip'}:unpackit" in said


def test_a_bad_file_in_place_and_a_good_one_elsewhere_are_both_told(doctor, models, licensed):
    (models / "fantasyid" / "topology.safetensors").unlink()
    put(models, {"fantasyid/transform.pkl": b"404: Not Found"})
    put(models, {"loras/transform.pkl": (licensed("transform.pkl")).read_bytes()})
    said = block(doctor(models)[1], "transform.pkl")
    assert 'begins with "404: Not Found"' in said and "loras/transform.pkl" in said.replace(" ", "")
    assert said.count("found ") == 1, "the bad one is not offered"


def test_several_folders_are_searched_and_absent_ones_told(doctor, models, tmp_path):
    put(tmp_path / "disk", {"fantasyid/generic_model.pkl": pickle.dumps({"shapedirs": 0})})
    code, text = doctor(tmp_path / "disk", models, tmp_path / "typo")
    assert code == 0 and block(text, "FLAME head model") == "found FLAME head model fantasyid/generic_model.pkl"
    assert "typo does not exist" in text.replace("\n  ", " ")


def test_without_folders_those_of_the_machine_are_searched(doctor, models, monkeypatch):
    monkeypatch.setenv("FANTASYID_MODELS", str(models))
    code, text = doctor()
    assert code == 0 and str(models) in text


def test_the_text_fits_a_terminal_unless_a_word_does_not(doctor, models):
    put(models, {"facedetection/yunet_final.pth": b"404: Not Found", "fantasyid/deca_model.tar": LFS})
    for line in doctor(models)[1].splitlines()[4:]:
        assert len(line) <= 100 or len(line.split()[-1]) > 60, line


def test_detectors_that_do_not_work_say_what_they_need(doctor, models, monkeypatch):
    absent = {"facexlib", "onnx"}
    monkeypatch.setattr(networkfile, "missing_packages", lambda names: [name for name in names if name in absent])
    put(models, {"facedetection/yunet_final.pth": torch_file("model0.conv1.weight")})
    row = model_file("yunet")
    text = doctor(models)[1]
    lines = {
        line.split()[1]: " ".join(line.split()) for line in text.splitlines() if line[:7] in ("  works", "  needs")
    }
    assert list(lines) == ["insightface", "retinaface", "yunet", "mediapipe"], "best first"
    assert lines["mediapipe"] == "works mediapipe"
    assert lines["yunet"] == "needs yunet a usable model file yunet", f"it has not the {row.official[0].size} bytes"
    assert lines["retinaface"] == "needs retinaface pip install facexlib, the model file retinaface"
    assert lines["insightface"] == "needs insightface pip install onnx, the model file insightface_detector"


def torch_file(*names: str) -> bytes:
    import io

    file = io.BytesIO()
    torch.save({name: torch.zeros(1) for name in names}, file)
    return file.getvalue()


@pytest.mark.parametrize("absent", [(), ("kornia",), ("onnx",)])
def test_the_detectors_that_work_are_those_that_detection_takes(doctor, models, monkeypatch, absent):
    monkeypatch.setattr(diagnosis, "file_problems", lambda row, path: [])
    for module in (networkfile, detect):
        monkeypatch.setattr(module, "missing_packages", lambda names: [name for name in names if name in absent])
    put(models, {"facedetection/yunet_final.pth": b"", "insightface/models/buffalo_l/det_10g.onnx": b""})
    works = [line.split()[1] for line in doctor(models)[1].splitlines() if line.startswith("  works")]
    assert works == list(detect.available_detectors([models]))
    assert set(works) < {"insightface", "yunet", "mediapipe"} if absent else len(works) == 3


def test_the_report_for_programs_says_the_same(doctor, models):
    put(models, {"facedetection/yunet_final.pth": LFS})
    code, text = doctor(models, options=["--json"])
    report = json.loads(text)
    assert code == 0 and report["usable"] is True and report["folders"] == [str(models)]
    files = {entry["key"]: entry for entry in report["files"]}
    assert list(files) == [row.key for row in MODEL_FILES]
    assert files["vae"]["state"] == "found" and files["vae"]["path"] == str(models / "vae/cogvideox_vae.safetensors")
    assert files["yunet"]["state"] == "unusable" and "LFS" in files["yunet"]["problems"][0]
    assert files["deca"]["state"] == "missing" and files["deca"]["command"] is None and files["deca"]["without"]
    assert report["detectors"]["yunet"]["works"] is False and report["detectors"]["yunet"]["needs"]
    assert "PyTorch" in report["machine"] and set(report["packages"]) >= {"kornia", "insightface", "facexlib"}


# ---- packages and the machine


def test_packages_are_found_without_being_imported(monkeypatch):
    for module, name, _ in diagnosis.OPTIONAL:
        version = diagnosis._package_version(module, name)
        assert version is None or version[0].isdigit() or version == "unknown version"
    monkeypatch.setitem(sys.modules, "kornia", None)  # blocked
    assert diagnosis._package_version("kornia", "kornia") is None
    assert diagnosis._package_version("no_such_module", "no-such-package") is None


def test_two_builds_of_opencv_are_told(doctor, models, monkeypatch):
    present = {"opencv-python": "4.1", "opencv-python-headless": "4.2"}
    monkeypatch.setattr(diagnosis, "_version", lambda name: present.get(name))
    text = doctor(models)[1].replace("\n  ", " ")
    assert "opencv-python and opencv-python-headless are installed side by side" in text


def test_the_graphics_card_or_its_absence_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert diagnosis._torch().startswith(f"{torch.__version__}, no CUDA")
    card = SimpleNamespace(name="Card", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    assert diagnosis._torch() == f"{torch.__version__}, Card, 24 GB"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert diagnosis._torch().startswith("missing or broken")


def test_a_python_without_the_requirements_still_gets_its_report(doctor, models, monkeypatch):
    monkeypatch.setitem(sys.modules, "fantasyid_core.face.detectors.detect", None)
    code, text = doctor(models)
    assert code == 0 and "needs     all " in text and "install them with pip" in text


def test_nothing_is_written(doctor, models):
    before = {path: path.stat().st_mtime_ns for path in models.rglob("*")}
    doctor(models)
    assert {path: path.stat().st_mtime_ns for path in models.rglob("*")} == before
