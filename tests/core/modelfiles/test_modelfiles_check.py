"""What is seen to be wrong with a model file, and where a file is that lies in the wrong place."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fantasyid_core.modelfiles import MODEL_FILES, OfficialFile, check, file_problems, misplaced_files, model_file
from fantasyid_core.modelfiles.check import content

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 873404\n"
PAGE = b"\n<!DOCTYPE html><html><body>transform.pkl at main</body></html>"


def archive(name: str = "generic_model.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(name, b"content")
    return file.getvalue()


def saved(writer, content) -> bytes:
    file = io.BytesIO()
    writer(file, content)
    return file.getvalue()


def checkpoint(*names: str, legacy: bool = False) -> bytes:
    weights = {name: torch.zeros(2) for name in names}
    return saved(lambda file, content: torch.save(content, file, _use_new_zipfile_serialization=not legacy), weights)


def safetensors(*names: str) -> bytes:
    header = {name: {"dtype": "U8", "shape": [4], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * len(names))


def onnx_model() -> bytes:
    onnx = pytest.importorskip("onnx")
    port = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["x2"])
    out = onnx.helper.make_tensor_value_info("x2", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [port], [out]), producer_name="pytorch")
    return model.SerializeToString()


def problem(key: str, path: Path, data: bytes, **options) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    problems = file_problems(model_file(key), path, **options)
    assert len(problems) <= 1
    return "".join(problems)


# ---- what kind of file it is


KINDS = {
    "PyTorch zip": checkpoint("a"),
    "pickle": checkpoint("a", legacy=True),
    "safetensors": safetensors("a"),
    "NumPy array": saved(np.save, np.zeros(3)),
    "NumPy zip": saved(np.savez, np.zeros(3)),
    "zip archive": archive(),
    "Git LFS pointer": LFS,
    "web page": PAGE,
    "text": b"404: Not Found",
    "nothing": b"",
    "GGUF": b"GGUF\x03\0\0\0",
    "unknown": bytes(range(200, 256)) + bytes(200),
}


@pytest.mark.parametrize("kind, data", KINDS.items())
def test_the_kind_of_file_is_seen_by_its_first_bytes(tmp_path, kind, data):
    (tmp_path / "file").write_bytes(data)
    assert content(tmp_path / "file") == kind


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"shapedirs": [1.0]}, [np.zeros(2)]])
def test_pickles_of_every_protocol_are_pickles(tmp_path, protocol, value):
    (tmp_path / "file").write_bytes(pickle.dumps(value, protocol))
    assert content(tmp_path / "file") == "pickle"


def test_onnx_files_are_onnx_files(tmp_path):
    (tmp_path / "file").write_bytes(onnx_model())
    assert content(tmp_path / "file") == "ONNX"


def test_a_file_of_the_real_libraries_is_seen_as_what_it_is(tmp_path):
    save_file({"decoder.x": torch.zeros(3)}, tmp_path / "cogvideox_vae.safetensors")
    assert file_problems(model_file("vae"), tmp_path / "cogvideox_vae.safetensors") == []
    torch.save({"visual.x": torch.zeros(3)}, tmp_path / "eva.pt")
    assert file_problems(model_file("eva_clip"), tmp_path / "eva.pt") == []


# ---- the wrong file in the right place


WRONG = {
    "nothing": (b"", "it is empty"),
    "pointer": (LFS, "Git LFS pointer.*git lfs pull"),
    "page": (PAGE, "web page.*link called raw or download"),
    "answer": (b"404: Not Found", 'text that begins with "404: Not Found".*what the server answered'),
    "login": (b'{"error":"Access denied"}', "Access denied"),
    "packed": (archive(), "zip archive: unpack it"),
    "tensors": (safetensors("a"), "expected pickle content, got safetensors"),
    "picture": (b"\xff\xd8\xff\xe0" + bytes(99), "expected pickle content, got JPEG picture"),
    "noise": (bytes([7]) * 600, "expected pickle content, got unknown"),
}


@pytest.mark.parametrize("data, message", WRONG.values(), ids=WRONG)
def test_each_kind_of_wrong_content_has_its_own_message(tmp_path, data, message):
    said = problem("flame", tmp_path / "generic_model.pkl", data)
    assert re.search(message, said), said


def test_a_wrong_size_is_told_with_both_numbers_and_a_guess(tmp_path):
    path, row = tmp_path / "transform.pkl", model_file("topology")
    size = row.official[0].size
    head = pickle.dumps({"down_transform": 0})
    said = problem("topology", path, head)
    assert f"expected {size} bytes, got {len(head)}: the download is probably incomplete" in said
    assert "another file under this name" in problem("topology", path, head + bytes(size))
    other = model_file("yunet").official[0]
    said = problem("topology", path, head + bytes(other.size - len(head)))
    assert f"got {other.size}: that is the size of yunet_final.pth, so the wrong file has this name" in said


def test_converted_and_renamed_files_are_not_held_to_the_official_size(tmp_path):
    assert problem("topology", tmp_path / "topology.safetensors", safetensors("topology.faces")) == ""
    assert problem("flame", tmp_path / "generic_model.pkl", pickle.dumps({"shapedirs": 0})) == "", "other FLAMEs exist"


def test_the_right_size_with_other_bytes_is_told_by_the_hash(tmp_path):
    row = model_file("topology")
    head = pickle.dumps({"down_transform": 0})
    said = problem("topology", tmp_path / "transform.pkl", head + bytes(row.official[0].size - len(head)))
    assert f"the official file's is {row.official[0].sha256}" in said and "fetch it again" in said


def test_big_files_are_hashed_on_demand_only(tmp_path, monkeypatch):
    data = onnx_model()
    file = OfficialFile("glintr100.onnx", len(data), hashlib.sha256(b"another").hexdigest())
    row = replace(model_file("arcface"), official=(file,))
    path = tmp_path / file.name
    path.write_bytes(data)
    assert "SHA-256" in file_problems(row, path)[0]
    monkeypatch.setattr(check, "SMALL", 1)
    assert file_problems(row, path) == []
    assert "SHA-256" in file_problems(row, path, whole=True)[0]


@pytest.mark.parametrize(
    "key, name, good, foreign",
    [
        ("vae", "cogvideox_vae.safetensors", safetensors("decoder.a"), safetensors("lora_unet.a")),
        ("t5", "t5xxl_bf16.safetensors", safetensors("encoder.block.0"), safetensors("token_embedding.weight")),
        ("topology", "topology.safetensors", safetensors("topology.faces"), safetensors("faces")),
        ("eva_clip", "EVA02.pt", checkpoint("visual.pos_embed"), checkpoint("conv1.weight")),
        ("flame", "generic_model.pkl", pickle.dumps({"shapedirs": 1}), pickle.dumps({"hands_mean": 1})),
        ("flame", "flame2023.npz", saved(lambda f, a: np.savez(f, shapedirs=a), 1), saved(np.savez, np.zeros(3))),
    ],
)
def test_another_model_is_known_by_the_names_inside(tmp_path, key, name, good, foreign):
    assert problem(key, tmp_path / name, good) == ""
    assert f"it is another model than {model_file(key).name}" in problem(key, tmp_path / name, foreign)


def test_names_in_legacy_checkpoints_are_found_and_big_ones_are_left_alone(tmp_path, monkeypatch):
    row = replace(model_file("deca"), official=())
    path = tmp_path / "deca_model.tar"
    path.write_bytes(checkpoint("E_flame.encoder", legacy=True))
    assert file_problems(row, path) == []
    path.write_bytes(checkpoint("resnet.conv1", legacy=True))
    assert "another model" in file_problems(row, path)[0]
    monkeypatch.setattr(check, "SMALL", 10)
    assert file_problems(row, path) == [], "only reading it all would tell"


def test_cut_off_files_are_told_whatever_their_name(tmp_path):
    whole = safetensors("decoder.a", "decoder.b")
    assert "cut off" in problem("vae", tmp_path / "cogvideox.safetensors", whole[:-3])
    assert f"expected {len(whole)} bytes by its own header, got {len(whole) - 3}" in problem(
        "vae", tmp_path / "cogvideox.safetensors", whole[:-3]
    )
    for length in range(9, len(whole) - 8, 7):  # within the header, too
        assert "cut off" in problem("vae", tmp_path / "cogvideox.safetensors", whole[:length])
    packed = checkpoint("visual.a")
    assert "cut off" in problem("eva_clip", tmp_path / "eva.pt", packed[: len(packed) // 2])


@pytest.mark.parametrize("header", [b'{"a":3}', b'{"a":{}}', b"[]", b'{"a":{"data_offsets":[0]}}', b"{" + b"[" * 5000])
def test_nonsense_in_a_header_is_a_damaged_file(tmp_path, header):
    assert "damaged" in problem("vae", tmp_path / "a.safetensors", struct.pack("<Q", len(header)) + header)


def test_a_damaged_zip_directory_is_a_damaged_file(tmp_path):
    data = bytearray(checkpoint("visual.a"))
    place = data.rindex(b"PK\x01\x02")
    data[place : place + 4] = b"XXXX"
    assert "cut off or damaged" in problem("eva_clip", tmp_path / "eva.pt", bytes(data))


def test_a_model_in_parts_needs_all_of_them_and_each_whole(tmp_path):
    names = [f"transformer/diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    first = tmp_path / names[0]
    assert "one of 3 parts; missing beside it: diffusion_pytorch_model-00002-of-00003.safetensors, " in problem(
        "weights", first, safetensors("transformer_blocks.0")
    )
    problem("weights", tmp_path / names[1], safetensors("transformer_blocks.1"))
    problem("weights", tmp_path / names[2], LFS)
    said = problem("weights", first, safetensors("transformer_blocks.0"))
    assert said.startswith("diffusion_pytorch_model-00003-of-00003.safetensors: it is a Git LFS pointer")
    problem("weights", tmp_path / names[2], safetensors("transformer_blocks.2"))
    said = problem("weights", first, safetensors("transformer_blocks.0"))
    assert "another model than FantasyID weights" in said, "this is CogVideoX without the identity networks"
    problem("weights", tmp_path / names[2], safetensors("face_abstractor.proj_out"))
    assert problem("weights", first, safetensors("transformer_blocks.0")) == ""


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"", *KINDS.values(), struct.pack("<Q", 20) + b"{", b"PK\x03\x04"]),
    cut=st.integers(0, 400),
    rest=st.binary(max_size=600),
    row=st.sampled_from(MODEL_FILES),
    suffix=st.sampled_from([*check.CONTENTS, ".other", "-00001-of-00002.safetensors", "-00001-of-99999.bin"]),
)
def test_any_bytes_under_any_name_are_explained(tmp_path, start, cut, rest, row, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(start[: len(start) - min(cut, len(start))] + rest)
    try:
        assert all(isinstance(said, str) and said for said in file_problems(row, path, whole=True))
    finally:
        path.unlink()


def test_an_unreadable_file_is_explained(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "transform.pkl").write_bytes(b"x")
    monkeypatch.setattr(check, "content", refuse)
    assert file_problems(model_file("topology"), tmp_path / "transform.pkl") == [
        "it cannot be read (Permission denied)"
    ]


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a model file was unpickled",))

    for key, name in (("topology", "transform.pkl"), ("flame", "generic_model.pkl"), ("deca", "deca_model.tar")):
        problem(key, tmp_path / name, pickle.dumps({"shapedirs": Trap()}), whole=True)


# ---- the right file in the wrong place


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_are_recognised_by_name_where_nobody_looks_for_them(tmp_path):
    flame = pickle.dumps({"shapedirs": 0})
    there = put(tmp_path / "checkpoints" / "FLAME" / "flame2023_Open.pkl", flame)
    assert misplaced_files([model_file("flame")], [tmp_path]) == {"flame": [there]}


def test_what_only_has_the_name_is_not_taken_for_the_file(tmp_path):
    put(tmp_path / "checkpoints" / "transform.pkl", b"cut off")
    put(tmp_path / "checkpoints" / "flame2023.pkl", PAGE)
    assert misplaced_files(MODEL_FILES, [tmp_path]) == {}


def test_renamed_small_files_are_recognised_by_size_and_hash(tmp_path, licensed):
    good = (licensed("transform.pkl")).read_bytes()
    there = put(tmp_path / "fantasyid" / "transform (1).pkl", good)
    put(tmp_path / "fantasyid" / "same_size.pkl", bytes(len(good)))
    assert misplaced_files([model_file("topology")], [tmp_path]) == {"topology": [there]}


def test_renamed_big_files_are_recognised_by_their_exact_size_unread(tmp_path, monkeypatch):
    row = model_file("arcface")
    there = tmp_path / "checkpoints" / "arcface.onnx"
    there.parent.mkdir()
    with open(there, "wb") as file:
        file.truncate(row.official[0].size)  # takes no space
    monkeypatch.setattr(check, "sha256", lambda path: pytest.fail("a big file was read"))
    assert misplaced_files([row], [tmp_path]) == {"arcface": [there]}


def test_archives_that_hold_the_file_are_named(tmp_path):
    there = put(tmp_path / "insightface" / "models" / "ANTELOPEV2.zip", archive())
    found = misplaced_files([model_file("arcface"), model_file("insightface_detector")], [tmp_path])
    assert found == {"arcface": [there], "insightface_detector": [there]}


def test_a_release_in_another_folder_is_known_by_its_tensors(tmp_path):
    put(tmp_path / "diffusers" / "CogVideoX" / "transformer" / "model.safetensors", safetensors("transformer_blocks.0"))
    parts = [tmp_path / "checkpoints" / "X" / "transformer" / f"m-0000{n}-of-00002.safetensors" for n in (1, 2)]
    put(parts[0], safetensors("transformer_blocks.0"))
    put(parts[1], safetensors("face_abstractor.proj_out"))
    assert misplaced_files([model_file("weights")], [tmp_path]) == {"weights": [parts[0].parent]}


def test_the_search_ends_at_its_bounds(tmp_path, monkeypatch):
    data = pickle.dumps({"shapedirs": 0})
    put(tmp_path.joinpath(*"abcdefgh", "flame2023.pkl"), data)
    assert misplaced_files([model_file("flame")], [tmp_path]) == {}
    near = put(tmp_path.joinpath(*"abcdef", "flame2023.pkl"), data)
    put(tmp_path / ".hidden" / "flame2023.pkl", data)
    try:
        (tmp_path / "a" / "loop").symlink_to(tmp_path, True)
    except OSError:
        pass
    assert misplaced_files([model_file("flame")], [tmp_path])["flame"][0] == near
    monkeypatch.setattr(check, "MOST_ENTRIES", 0)
    assert misplaced_files([model_file("flame")], [tmp_path]) == {}
