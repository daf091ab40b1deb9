"""Files that the nodes offer, find and write."""

from __future__ import annotations

import os
import sys

import pytest


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models" / "fantasyid"


def test_release_folders_and_single_files_are_offered(folders, models):
    touch(models / "Release" / "transformer" / "a.safetensors")
    touch(models / "Release" / "vae" / "b.safetensors")
    touch(models / "sub" / "Ema" / "transformer_ema" / "a.bin")
    touch(models / "Flat" / "config.json")
    touch(models / "Flat" / "model.safetensors")
    touch(models / "converted" / "one_adapter_bf16.safetensors")
    touch(models / "whole.pt")
    for ignored in ("transform.pkl", "topology.safetensors", "notes.txt", ".hidden.safetensors", ".git/a.safetensors"):
        touch(models / ignored)
    adapter = "converted/one_adapter_bf16.safetensors"
    assert folders.list_models() == ["Flat", "Release", adapter, "sub/Ema", "whole.pt", folders.TINY]
    assert folders.list_adapters() == [adapter]


def test_a_new_file_is_offered_at_once(folders, models):
    assert folders.list_models() == [folders.TINY]
    touch(models / "new.safetensors")
    assert folders.list_models() == ["new.safetensors", folders.TINY]


def test_the_users_own_folders_are_kept_and_searched_first(folders, tmp_path):
    paths = sys.modules["folder_paths"]
    own = str(tmp_path / "elsewhere")
    paths.folder_names_and_paths["fantasyid"] = ([own], set())
    folders.register()
    folders.register()
    assert folders.model_roots() == [own, os.path.join(paths.models_dir, "fantasyid")]
    assert {".safetensors", ".pkl"} <= paths.folder_names_and_paths["fantasyid"][1]
    touch(tmp_path / "elsewhere" / "a.safetensors")
    touch(tmp_path / "models" / "fantasyid" / "a.safetensors")
    assert folders.find_model("a.safetensors") == tmp_path / "elsewhere" / "a.safetensors"


def test_the_encoder_is_found_in_clip_vision_and_in_a_release(folders, tmp_path, models):
    touch(tmp_path / "models" / "clip_vision" / "eva.pt")
    inside = touch(models / "R" / "face_encoder" / "EVA.pt")
    assert folders.list_face_encoders() == ["eva.pt", "R/face_encoder/EVA.pt"]
    assert folders.find_face_encoder("R/face_encoder/EVA.pt") == inside


def test_links_to_models_elsewhere_are_followed(folders, tmp_path, models):
    target = touch(tmp_path / "disk" / "big.safetensors")
    models.mkdir(parents=True)
    try:
        (models / "big.safetensors").symlink_to(target)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    assert folders.find_model("big.safetensors").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["gone.safetensors", "", "../../input/a.ply"])
def test_a_missing_model_is_named_with_the_place_it_belongs(folders, models, tmp_path, name):
    models.mkdir(parents=True)
    touch(tmp_path / "input" / "a.ply")
    answer = folders.problem(folders.find_model, name)
    assert repr(name) in answer and str(models) in answer and "press R" in answer


def test_a_name_from_another_node_is_left_to_the_run(folders):
    assert folders.problem(folders.find_model, None) is True


def test_shapes_are_offered_from_the_input_folder(folders, tmp_path):
    for name in ("a.ply", "b.OBJ", "3d/c.glb", "d.npz", "photo.jpg", "other/e.ply"):
        touch(tmp_path / "input" / name)
    assert folders.list_shapes() == ["3d/c.glb", "a.ply", "b.OBJ", "d.npz"]
    assert folders.find_shape("3d/c.glb").is_file()
    with pytest.raises(ValueError, match=r"3D face in ComfyUI's input folder, but there is no 'x.ply'"):
        folders.find_shape("x.ply")


def test_a_changed_file_changes_the_fingerprint(folders, models):
    path = touch(models / "R" / "transformer" / "a.safetensors")
    before = folders.fingerprint(folders.find_model, "R")
    assert before == folders.fingerprint(folders.find_model, "R")
    path.write_bytes(b"longer")
    assert before != folders.fingerprint(folders.find_model, "R")
    os.utime(path, ns=(1, 1))
    assert "missing" in folders.fingerprint(folders.find_model, "Q")


def test_an_existing_output_is_never_chosen(folders, tmp_path):
    first, shown = folders.next_output("fantasyid/face", ".ply")
    assert shown == {"filename": "face_00001_.ply", "subfolder": "fantasyid", "type": "output"}
    touch(first)
    assert folders.next_output("fantasyid/face", ".ply")[0].name == "face_00002_.ply"


@pytest.mark.parametrize("prefix", ["../face", "/tmp/face", "a/../../face", "", " / "])
def test_outputs_stay_in_the_output_folder(folders, prefix):
    with pytest.raises(ValueError, match="below ComfyUI's output folder"):
        folders.next_output(prefix, ".ply")


def test_a_converted_model_is_offered_as_a_whole_and_as_an_adapter(folders, models):
    touch(models / "Converted" / "m_dit_bf16.safetensors")
    touch(models / "Converted" / "m_adapter_bf16.safetensors")
    assert folders.list_models() == ["Converted", folders.TINY]
    assert folders.list_adapters() == ["Converted/m_adapter_bf16.safetensors"]
