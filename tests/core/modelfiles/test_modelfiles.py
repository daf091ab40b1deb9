"""The table of model files: what is found, what is not mistaken for one, and the copy of it in docs/models.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fantasyid_core import modelfiles
from fantasyid_core.modelfiles import (
    MODEL_FILES,
    default_folders,
    file_problems,
    find_comfyui,
    find_model_file,
    find_models_folder,
    missing_file,
    model_file,
    origin,
    search,
)

ROOT = Path(__file__).resolve().parents[3]
KEYS = [row.key for row in MODEL_FILES]

# Paths below the models folder at which users have these files, and the row that must take each.
PLACES = {
    "fantasyid/FantasyID/transformer/diffusion_pytorch_model-00001-of-00003.safetensors": "weights",
    "fantasyid/mine/transformer_ema/diffusion_pytorch_model.bin": "weights",
    "fantasyid/FantasyID/transformer/config.json": None,
    "fantasyid/FantasyID/transformer/.hidden.safetensors": None,
    "vae/CogVideoX_VAE_bf16.safetensors": "vae",
    "vae/CogVideo/diffusion_pytorch_model.safetensors": "vae",
    "vae/wan_2.1_vae.safetensors": None,
    "fantasyid/FantasyID/vae/diffusion_pytorch_model.safetensors": "vae",
    "fantasyid/.FantasyID.download/vae/diffusion_pytorch_model.safetensors": None,
    "text_encoders/t5xxl_fp16.safetensors": "t5",
    "text_encoders/t5/google_t5-v1_1-xxl.safetensors": None,
    "clip/google_t5-v1_1-xxl_encoderonly.safetensors": "t5",
    "fantasyid/FantasyID/text_encoder/model-00001-of-00002.safetensors": "t5",
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": None,
    "text_encoders/umt5-xxl-enc-bf16.safetensors": None,
    "clip_vision/EVA02_CLIP_L_336_psz14_s6B.pt": "eva_clip",
    "fantasyid/FantasyID/face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt": "eva_clip",
    "clip_vision/clip_vision_h.safetensors": None,
    "fantasyid/transform.pkl": "topology",
    "fantasyid/transform.pkl.part": None,
    "fantasyid/FantasyID/assets/transform.pkl": "topology",
    "fantasyid/topology-1a2b.safetensors": "topology",
    "fantasyid/landmark_embedding.npy": "landmarks",
    "fantasyid/DECA/data/landmark_embedding.npy": "landmarks",
    "fantasyid/deca_model.tar": "deca",
    "fantasyid/data/deca_model.tar": "deca",
    "fantasyid/DECA/data/deca_model.tar": "deca",
    "fantasyid/generic_model.pkl": "flame",
    "fantasyid/FLAME2020/generic_model.pkl": "flame",
    "fantasyid/FLAME2023/flame2023_no_jaw.pkl": "flame",
    "fantasyid/flame2023_Open.pkl": "flame",
    "fantasyid/DECA/data/FLAME_albedo_from_BFM.npz": None,
    "fantasyid/FLAME2020/female_model.pkl": None,
    "insightface/models/antelopev2/scrfd_10g_bnkps.onnx": "insightface_detector",
    "insightface/models/antelopev2/antelopev2/scrfd_10g_bnkps.onnx": "insightface_detector",
    "insightface/models/buffalo_l/det_10g.onnx": "insightface_detector",
    "fantasyid/FantasyID/models/antelopev2/scrfd_10g_bnkps.onnx": "insightface_detector",
    "insightface/models/antelopev2/glintr100.onnx": "arcface",
    "insightface/models/buffalo_l/w600k_r50.onnx": "arcface",
    "insightface/models/antelopev2/genderage.onnx": None,
    "facedetection/yunet_final.pth": "yunet",
    "facedetection/detection_Resnet50_Final.pth": "retinaface",
    "fantasyid/FantasyID/face_encoder/detection_Resnet50_Final.pth": "retinaface",
    "facedetection/parsing_bisenet.pth": "bisenet",
    "fantasyid/ConsisID-preview/face_encoder/parsing_bisenet.pth": "bisenet",
    "fantasyid/ConsisID-preview/face_encoder/models/antelopev2/glintr100.onnx": "arcface",
    "fantasyid/ConsisID-preview/transformer/diffusion_pytorch_model.safetensors": "consisid",
    "fantasyid/consisid_adapter_bf16.safetensors": "consisid",
}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("place, key", PLACES.items())
def test_a_file_is_found_where_users_have_it_and_by_its_own_row_only(tmp_path, place, key):
    path = touch(tmp_path / place)
    found = {key: find_model_file(key, [tmp_path]) for key in KEYS}
    assert {key: path for key, path in found.items() if path} == ({key: path} if key else {})


def test_every_agreed_key_is_there_once():
    agreed = "weights vae t5 eva_clip topology landmarks deca flame insightface_detector arcface yunet retinaface"
    assert KEYS == [*agreed.split(), "consisid", "bisenet"]
    with pytest.raises(ValueError, match=r"one of weights, vae, .*got 'flames'"):
        find_model_file("flames")


def test_folders_with_the_name_of_a_file_and_absent_folders_are_missing_files(tmp_path):
    (tmp_path / "fantasyid" / "transform.pkl").mkdir(parents=True)
    assert [find_model_file(key, [tmp_path, tmp_path / "absent"]) for key in KEYS] == [None] * len(KEYS)


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    touch(tmp_path / "disk" / "transformer" / "model.safetensors")
    (tmp_path / "models" / "fantasyid").mkdir(parents=True)
    try:
        (tmp_path / "models" / "fantasyid" / "linked").symlink_to(tmp_path / "disk", True)
    except OSError as error:
        pytest.skip(f"this system makes no links: {error}")
    assert find_model_file("weights", [tmp_path / "models"]).name == "model.safetensors"


def test_the_first_folder_that_has_the_file_is_taken(tmp_path):
    later = touch(tmp_path / "second" / "fantasyid" / "transform.pkl")
    assert find_model_file("topology", [tmp_path / "first", tmp_path / "second"]) == later
    first = touch(tmp_path / "first" / "fantasyid" / "transform.pkl")
    assert find_model_file("topology", [tmp_path / "first", tmp_path / "second"]) == first


def test_a_release_folder_and_the_hosts_fantasyid_folder_are_searched_as_they_are(tmp_path):
    release = tmp_path / "FantasyID"
    inside = touch(release / "models" / "antelopev2" / "glintr100.onnx")
    assert find_model_file("arcface", [release]) is None, "any folder could hold folders called models"
    (release / "transformer").mkdir()
    assert find_model_file("arcface", [release]) == inside
    registered = touch(tmp_path / "disk" / "fantasyid" / "deca_model.tar")
    assert find_model_file("deca", [registered.parent]) == registered


def test_without_folders_this_machines_own_are_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "DEFAULT_COMFYUI", str(tmp_path / "absent"))
    monkeypatch.setattr(search, "find_models_folder", lambda pack, environment: tmp_path / "host")
    monkeypatch.setenv("FANTASYID_MODELS", os.pathsep.join([str(tmp_path / "a"), "", str(tmp_path / "b")]))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert default_folders() == [tmp_path / "a", tmp_path / "b", tmp_path / "host"]
    at_home = touch(tmp_path / "home" / ".insightface" / "models" / "buffalo_l" / "det_10g.onnx")
    assert find_model_file("insightface_detector") == at_home
    assert find_model_file("insightface_detector", [tmp_path / "a"]) is None
    for folder in ("host", "b", "a"):
        path = touch(tmp_path / folder / "insightface" / "models" / "antelopev2" / "scrfd_10g_bnkps.onnx")
        assert find_model_file("insightface_detector") == path


def test_the_pack_itself_says_which_host_it_lies_in(tmp_path, monkeypatch):
    monkeypatch.delenv("FANTASYID_MODELS", raising=False)
    asked = []
    monkeypatch.setattr(search, "find_models_folder", lambda pack, environment: asked.append(pack))
    assert default_folders() == [] and asked == [ROOT]


def test_every_row_says_all_that_a_user_needs():
    names = [row.name for row in MODEL_FILES]
    assert len(set(names)) == len(names)
    for row in MODEL_FILES:
        assert row.sources and all(source.startswith("https://") for source in row.sources)
        assert row.belongs in row.advice() and row.sources[0] in row.advice() and row.licence in row.advice()
        assert row.purpose and row.without
        assert all(pattern == pattern.lower() and not pattern.startswith("/") for pattern in row.patterns)


def test_a_missing_file_is_told_with_purpose_source_place_and_licence():
    for row in MODEL_FILES:
        said = missing_file(row.key)
        assert all(part in said for part in (row.name, row.purpose, row.without, row.sources[0], row.licence))
        assert f"put it into models/{row.belongs} ({row.licence})" in origin(row.key)
        assert (f"python -m fantasyid_core download {row.key}" in said) == bool(row.download)


def test_what_needs_a_registration_is_never_downloaded_and_the_restricted_must_be_accepted():
    by_hand = {row.key for row in MODEL_FILES if row.download is None}
    assert by_hand == {"deca", "flame"}
    restricted = {row.key for row in MODEL_FILES if "non-commercial" in row.licence and row.download}
    assert restricted == {row.key for row in MODEL_FILES if row.must_accept} >= {"insightface_detector", "arcface"}


def test_whatever_is_downloaded_can_be_verified():
    for row in MODEL_FILES:
        if row.download and row.key not in (
            "weights",
            "consisid",
        ):  # a whole repository whose content is not known here
            assert row.download.file.size and re.fullmatch(r"[0-9a-f]{64}", row.download.file.sha256)
        if row.download and not row.download.from_hub:
            assert all(address.startswith("https://") for address in row.download.addresses)


def test_the_named_place_is_one_that_is_searched(tmp_path):
    for row in MODEL_FILES:
        place = tmp_path / row.belongs.replace("<release folder>", "release")
        touch(place if place.suffix else place / "model.safetensors")
    assert all(find_model_file(key, [tmp_path]) for key in KEYS)


@pytest.mark.parametrize("key", ["topology", "landmarks"])
def test_the_official_files_fit_the_recorded_sizes_and_hashes(licensed, key):
    row = model_file(key)
    path = licensed(row.official[0].name)
    assert path.stat().st_size == row.official[0].size
    assert file_problems(row, path, whole=True) == []


def test_the_models_folder_is_that_of_the_host_around_the_pack(tmp_path):
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "fantasyid"
    pack.mkdir(parents=True)
    other = tmp_path / "other"
    (other / "models").mkdir(parents=True)
    (other / "main.py").touch()
    environment = {"COMFYUI_PATH": str(other)}
    assert find_models_folder(pack, environment) == other / "models"
    (tmp_path / "ComfyUI" / "models").mkdir()
    assert find_models_folder(pack, environment) == tmp_path / "ComfyUI" / "models"


def test_the_host_is_where_comfyui_path_says_or_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "DEFAULT_COMFYUI", str(tmp_path / "default"))
    assert find_comfyui({"COMFYUI_PATH": str(tmp_path)}) is None
    assert find_models_folder(tmp_path, {}) is None
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "main.py").touch()
    assert find_comfyui({}) == tmp_path / "default"
    assert find_comfyui({"COMFYUI_PATH": str(tmp_path / "elsewhere")}) is None


def test_the_readme_holds_the_same_table():
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    for row in MODEL_FILES:
        name = row.name if row.required else f"{row.name} (optional)"
        sources = " or ".join(f"<{source}>" for source in row.sources)
        cells = (name, row.purpose, sources, row.licence, f"`{row.belongs}`", row.in_release)
        assert f"| {' | '.join(cells)} |" in page
    table = [line for line in page if line.startswith("| ") and "https://" in line]
    assert len(table) == len(MODEL_FILES)


def test_the_table_loads_by_its_path_with_nothing_but_the_standard_library():
    folder = Path(modelfiles.__file__).parent
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('table', {str(folder / '__init__.py')!r}, "
        f"submodule_search_locations=[{str(folder)!r}])\n"
        "sys.modules['table'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(sys.modules['table'])\n"
        "assert sys.modules['table'].find_model_file('flame', ['/absent']) is None\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded - sys.stdlib_module_names - {'table', '__main__'}))\n"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
