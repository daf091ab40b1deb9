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


def test_capital_letters_hide_no_file_and_what_macos_leaves_is_not_offered(folders, models):
    for name in ("LOUD.SAFETENSORS", "._LOUD.SAFETENSORS", "._quiet.safetensors"):
        touch(models / name)
    assert "LOUD.SAFETENSORS" in folders.list_models() and "LOUD.SAFETENSORS" in folders.list_adapters()
    assert not [name for name in folders.list_models() if name.startswith("._")]


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
    assert folders.list_shapes() == ["3d/c.glb", "a.ply", "b.OBJ", "d.npz", "other/e.ply"]
    assert folders.find_shape("3d/c.glb").is_file()
    with pytest.raises(ValueError, match=r"Expected a 3D face in .*input, but there is no 'x.ply'. Put a .ply, "):
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


def link(place, target):
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(target)
    except OSError as error:
        pytest.skip(f"no links here: {error}")


def identity(path, content=b"x" * 8):
    """A file that begins as Save Identity's does."""
    header = b'{"__metadata__":{"format":"fantasyid_identity"}}'
    return touch(path, len(header).to_bytes(8, "little") + header + content)


def fill(folder):
    """Everything that the lists offer, below one folder."""
    touch(folder / "Rel ease.v1" / "transformer" / "a.safetensors")
    touch(folder / "Rel ease.v1" / "face_encoder" / "EVA.pt")
    touch(folder / "one_adapter_bf16.safetensors")
    touch(folder / "deca_model.tar")
    touch(folder / "flame2023.pkl")
    touch(folder / "transform.pkl")


LISTS = ["list_models", "list_adapters", "list_face_encoders", "list_loras", "list_shapes", "list_identities"]


def everything(folders):
    found = {name: getattr(folders, name)() for name in LISTS}
    return found | {key: folders.list_face_models(key) for key in ("deca", "flame")}


def test_linked_folders_are_searched_for_every_list(folders, models, tmp_path):
    fill(tmp_path / "disk2")
    touch(tmp_path / "disk3" / "style" / "l.safetensors")
    touch(tmp_path / "disk3" / "head.ply")
    identity(tmp_path / "disk3" / "anne.safetensors")
    link(models / "disk 2", tmp_path / "disk2")
    for name in ("models/loras", "models/clip_vision", "input", "output"):
        link(tmp_path / name / "disk3", tmp_path / "disk3")
    linked = ["disk3/anne.safetensors", "disk3/style/l.safetensors"]
    assert everything(folders) == {
        "list_models": ["disk 2/Rel ease.v1", "disk 2/one_adapter_bf16.safetensors", folders.TINY],
        "list_adapters": ["disk 2/one_adapter_bf16.safetensors"],
        "list_face_encoders": [*linked, "disk 2/Rel ease.v1/face_encoder/EVA.pt"],
        "list_loras": linked,
        "list_shapes": ["disk3/head.ply"],
        "list_identities": ["disk3/anne.safetensors", "disk3/anne.safetensors [output]"],
        "deca": ["auto", "disk 2/deca_model.tar"],
        "flame": ["auto", "disk 2/flame2023.pkl"],
    }
    finds = [(folders.find_model, "list_models"), (folders.find_face_encoder, "list_face_encoders"),
             (folders.find_lora, "list_loras"), (folders.find_shape, "list_shapes"),
             (folders.find_identity, "list_identities")]  # fmt: skip
    for find, name in finds:
        assert all(find(each).exists() for each in getattr(folders, name)())
    assert folders.find_face_model("disk 2/deca_model.tar", "deca").is_file()
    assert str(models / "disk 2") in folders.topology_folders()


def test_folders_that_are_linked_to_themselves_are_listed_once(folders, models, tmp_path):
    fill(models)
    touch(tmp_path / "models" / "loras" / "l.safetensors")
    touch(tmp_path / "input" / "head.ply")
    identity(tmp_path / "output" / "anne.safetensors")
    before = everything(folders)
    for root in (models, *(tmp_path / name for name in ("models/loras", "models/clip_vision", "input", "output"))):
        for name in ("a", "all", "everything"):
            link(root / name, ".")
        link(root / "up", "..")
        link(root / "sub" / "back", "..")
        link(root / "broken.safetensors", "nowhere")
        link(root / "circle.safetensors", "circle.safetensors")
    own = {name: [each for each in found if "up/" not in each] for name, found in everything(folders).items()}
    assert own == before


def test_a_folder_that_cannot_be_read_stops_nothing(folders, models, tmp_path, monkeypatch):
    """As root every folder can be read; so the system's answer is played."""
    from pathlib import Path

    fill(models)
    roots = [models, *(tmp_path / name for name in ("models/loras", "input", "output"))]
    before = everything(folders)
    for root in roots:
        touch(root / "lost+found" / "x.safetensors").parent.chmod(0)
    iterdir = Path.iterdir

    def refuse(path):
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert everything(folders) == before
    assert folders.fingerprint(folders.find_model, "Rel ease.v1") != ""
    for root in roots:
        (root / "lost+found").chmod(0o755)


def test_a_chain_of_very_many_folders_is_walked(folders, models):
    deep = models.joinpath(*["d"] * 400)
    touch(deep / "x.safetensors")
    assert folders.list_models()[0].endswith("d/x.safetensors")


def test_names_from_another_system_are_found(folders, models, tmp_path):
    lora = touch(tmp_path / "models" / "loras" / "style" / "x.safetensors")
    shape = touch(tmp_path / "input" / "3d" / "a.ply")
    touch(models / "sub" / "m.safetensors")
    assert folders.list_loras() == ["style/x.safetensors"]
    assert folders.find_lora("style\\x.safetensors") == lora
    assert folders.find_shape("3d\\a.ply") == shape
    assert folders.find_model("sub\\m.safetensors").is_file()
    person = identity(tmp_path / "output" / "p" / "anne.safetensors")
    assert folders.find_identity("p\\anne.safetensors [output]") == person
    with pytest.raises(ValueError, match="Expected the LoRA"):
        folders.find_lora("..\\..\\input\\3d\\a.ply")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "a" * 300 + "/b", "\udc80", "..", ".", "../input"])
def test_names_that_no_file_can_have_are_missing(folders, models, name):
    models.mkdir(parents=True)
    for find in (folders.find_model, folders.find_shape, folders.find_identity, folders.find_lora):
        assert folders.problem(find, name).startswith("Expected ")


def test_outputs_with_the_separators_of_another_system(folders):
    path, shown = folders.next_output("people\\anne", ".ply")
    assert (path.name, shown["subfolder"]) == ("anne_00001_.ply", "people")


@pytest.mark.parametrize("prefix", ["a" * 300, "é" * 200, "b" * 300 + "/face", "a" * 245])
def test_outputs_with_names_that_are_too_long(folders, prefix):
    with pytest.raises(ValueError, match=r"file name of at most 2\d\d bytes .*got \d+ in .*Shorten filename_prefix"):
        folders.next_output(prefix, ".safetensors")


def test_the_longest_name_can_be_written(folders):
    from fantasyid_core.files.writing import write_aside

    path, _ = folders.next_output("ü" * 118, ".safetensors")
    with write_aside(path) as aside:
        aside.write_bytes(b"x")
    assert path.read_bytes() == b"x"


def test_outputs_that_the_system_does_not_take(folders, tmp_path):
    touch(tmp_path / "output" / "face")  # a file where a folder is wanted
    with pytest.raises(ValueError, match="Expected a name for a file below .*cannot be written there"):
        folders.next_output("face/x", ".ply")
    with pytest.raises(ValueError, match="Expected a file name of visible letters"):
        folders.next_output("a\0b", ".ply")
