"""The table of model files: what is found, what is not mistaken for one, and the README's copy of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fantasyid_core import modelfiles
from fantasyid_core.modelfiles import MODEL_FILES, find_comfyui, find_model_files, find_models_folder

ROOT = Path(__file__).resolve().parents[2]

# Paths below the models folder at which users have these files, and the row that must take each.
PLACES = {
    "fantasyid/FantasyID/transformer/diffusion_pytorch_model-00001-of-00003.safetensors": "FantasyID weights",
    "fantasyid/mine/transformer_ema/diffusion_pytorch_model.bin": "FantasyID weights",
    "vae/CogVideoX_VAE_bf16.safetensors": "CogVideoX VAE",
    "vae/CogVideo/diffusion_pytorch_model.safetensors": "CogVideoX VAE",
    "fantasyid/FantasyID/vae/diffusion_pytorch_model.safetensors": "CogVideoX VAE",
    "text_encoders/t5xxl_fp16.safetensors": "T5-XXL text encoder",
    "text_encoders/t5/google_t5-v1_1-xxl.safetensors": None,
    "clip/google_t5-v1_1-xxl_encoderonly.safetensors": "T5-XXL text encoder",
    "fantasyid/FantasyID/text_encoder/model-00001-of-00002.safetensors": "T5-XXL text encoder",
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": None,
    "text_encoders/umt5-xxl-enc-bf16.safetensors": None,
    "clip_vision/EVA02_CLIP_L_336_psz14_s6B.pt": "EVA02_CLIP_L_336_psz14_s6B.pt",
    "fantasyid/FantasyID/face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt": "EVA02_CLIP_L_336_psz14_s6B.pt",
    "clip_vision/clip_vision_h.safetensors": None,
    "fantasyid/transform.pkl": "transform.pkl",
    "fantasyid/FantasyID/assets/transform.pkl": "transform.pkl",
    "fantasyid/topology-1a2b.safetensors": "transform.pkl",
    "vae/wan_2.1_vae.safetensors": None,
    "fantasyid/FantasyID/transformer/config.json": None,
}


@pytest.mark.parametrize("place, name", PLACES.items())
def test_a_file_is_found_where_users_have_it_and_by_its_own_row_only(tmp_path, place, name):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.touch()
    found = {row.name: found for row, found in find_model_files(tmp_path) if found}
    assert found == ({name: path} if name else {})


def test_folders_with_the_name_of_a_file_and_absent_folders_are_missing_files(tmp_path):
    (tmp_path / "fantasyid" / "transform.pkl").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "absent", None):
        assert find_model_files(folder) == [(row, None) for row in MODEL_FILES]


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    (tmp_path / "disk" / "transformer").mkdir(parents=True)
    (tmp_path / "disk" / "transformer" / "model.safetensors").touch()
    (tmp_path / "models" / "fantasyid").mkdir(parents=True)
    try:
        (tmp_path / "models" / "fantasyid" / "linked").symlink_to(tmp_path / "disk", True)
    except OSError as error:
        pytest.skip(f"this system makes no links: {error}")
    assert find_model_files(tmp_path / "models")[0][1].name == "model.safetensors"


def test_every_row_says_all_that_a_user_needs():
    names = [row.name for row in MODEL_FILES]
    assert len(set(names)) == len(names)
    for row in MODEL_FILES:
        assert row.sources and all(source.startswith("https://") for source in row.sources)
        assert row.belongs in row.advice() and row.sources[0] in row.advice() and row.licence in row.advice()
        assert row.purpose and row.without
        assert all(pattern == pattern.lower() and not pattern.startswith("/") for pattern in row.patterns)


def test_the_named_place_is_one_that_is_searched(tmp_path):
    for row in MODEL_FILES:
        place = tmp_path / row.belongs.replace("<release folder>", "release")
        path = place if place.suffix else place / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert all(path for _, path in find_model_files(tmp_path))


def test_a_file_of_the_wrong_size_is_told(tmp_path):
    row = next(row for row in MODEL_FILES if row.name == "transform.pkl")
    path = tmp_path / "transform.pkl"
    path.write_bytes(b"version https://git-lfs")
    assert f"expected {row.size} bytes, got 23" in row.size_problem(path)
    path.write_bytes(bytes(row.size))
    assert row.size_problem(path) is None
    unknown = next(row for row in MODEL_FILES if row.size is None)
    assert unknown.size_problem(path) is None
    converted = tmp_path / "topology.safetensors"
    converted.touch()
    assert row.size_problem(converted) is None


def test_the_size_of_the_topology_file_is_the_official_one(shared):
    row = next(row for row in MODEL_FILES if row.name == "transform.pkl")
    assert row.size_problem(shared / "assets" / "transform.pkl") is None


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
    monkeypatch.setattr(modelfiles, "DEFAULT_COMFYUI", str(tmp_path / "default"))
    assert find_comfyui({"COMFYUI_PATH": str(tmp_path)}) is None
    assert find_models_folder(tmp_path, {}) is None
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "main.py").touch()
    assert find_comfyui({}) == tmp_path / "default"
    assert find_comfyui({"COMFYUI_PATH": str(tmp_path / "elsewhere")}) is None


def test_the_readme_holds_the_same_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for row in MODEL_FILES:
        sources = " or ".join(f"<{source}>" for source in row.sources)
        cells = (row.name, row.purpose, sources, row.licence, f"`{row.belongs}`", row.in_release)
        assert f"| {' | '.join(cells)} |" in readme
    table = [line for line in readme if line.startswith("| ") and "https://" in line]
    assert len(table) == len(MODEL_FILES)


def test_the_table_needs_nothing_but_the_standard_library():
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('table', {str(modelfiles.__file__)!r})\n"
        "sys.modules['table'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(sys.modules['table'])\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded - sys.stdlib_module_names - {'table', '__main__'}))\n"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
