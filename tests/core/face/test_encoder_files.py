"""What bad files get from `load_face_encoder`."""

from __future__ import annotations

import os
import pickle
import random

import pytest
import torch
from evaclip import SMALL, official_state, small_timm_model
from safetensors.torch import save_file

from fantasyid_core.face.encoder import OFFICIAL_FILE, EvaConfig, load_face_encoder


@pytest.fixture(scope="module")
def small():
    return small_timm_model()


def refused(path, said: str, config: EvaConfig | None = SMALL, error=ValueError) -> str:
    with pytest.raises(error, match=said) as caught:
        load_face_encoder(path, config=config)
    assert str(path) in str(caught.value) and OFFICIAL_FILE in str(caught.value)
    return str(caught.value)


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    said = refused(tmp_path / "absent.pt", "no such file", error=FileNotFoundError)
    assert all(part in said for part in ("QuanSun/EVA-CLIP", "MIT", "models/clip_vision", "face_encoder"))
    refused(tmp_path, "got a folder", error=FileNotFoundError)


@pytest.mark.parametrize(
    "names, guess",
    [
        (["visual.conv1.weight", "visual.transformer.resblocks.0.ln_1.bias"], "a CLIP model without EVA"),
        (["vision_model.embeddings.class_embedding"], "a CLIP model without EVA"),
        (["encoder.down_blocks.0.conv.weight", "decoder.up_blocks.0.conv.weight"], "a VAE"),
        (["transformer_blocks.0.attn1.to_q.lora_A.weight"], "a LoRA"),
        (["transformer_blocks.0.attn1.to_q.weight"], "a video model"),
        (["cls_token", "pos_embed", "norm.weight"], "got"),
    ],
)
@pytest.mark.parametrize("kind", [".pt", ".safetensors"])
def test_other_models_are_refused(tmp_path, names, guess, kind):
    path, state = tmp_path / f"other{kind}", {name: torch.zeros(2) for name in names}
    if kind == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    said = refused(path, "Expected the image tower of EVA02-CLIP-L-14-336")
    assert guess in said and all(name in said for name in names)


def test_files_without_tensors_are_refused(tmp_path):
    torch.save({}, tmp_path / "none.pt")
    refused(tmp_path / "none.pt", "expected a state dict of tensors, got dict without any")
    save_file({}, tmp_path / "none.safetensors")
    refused(tmp_path / "none.safetensors", "Expected the image tower .* with 0 tensors")


def test_a_plain_timm_vit_is_refused(tmp_path):
    timm = pytest.importorskip("timm")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=56, patch_size=14, depth=2)
    torch.save(vit.state_dict(), tmp_path / "vit.pt")
    refused(tmp_path / "vit.pt", r"parameters of small are missing: blocks\.0\.attn\.q_proj\.weight")


def test_missing_and_unexpected_parameters_are_named(small, tmp_path):
    state, path = official_state(small), tmp_path / "odd.pt"
    fewer = {name: tensor for name, tensor in state.items() if ".blocks.1." not in name}
    torch.save(fewer, path)
    said = refused(path, r"21 parameters of small are missing: blocks\.1\.norm1\.weight, ")
    assert said.count("blocks.1.") == 5
    torch.save(state | {"visual.blocks.0.attn.qkv.weight_scale": torch.ones(1)}, path)
    refused(path, r"1 parameters of small are unexpected: visual\.blocks\.0\.attn\.qkv\.weight_scale")


@pytest.mark.parametrize(
    "name, tensor, said",
    [
        ("pos_embed", torch.zeros(1, 257, 64), r"pos_embed is \[1, 257, 64\] instead of \[1, 17, 64\]"),
        ("blocks.1.mlp.w1.weight", torch.zeros(176, 64), r"w1\.weight is \[176, 64\] instead of \[170, 64\]"),
        ("cls_token", torch.zeros(1, 1, 64, dtype=torch.int8), r"not floating-point: visual\.cls_token is torch\.int8"),
    ],
)
def test_wrong_shapes_are_named(small, tmp_path, name, tensor, said):
    torch.save(official_state(small) | {f"visual.{name}": tensor}, tmp_path / "shape.pt")
    refused(tmp_path / "shape.pt", said)


def test_a_smaller_eva_is_not_taken_for_the_official_one(small, tmp_path):
    torch.save(official_state(small), tmp_path / "small.pt")
    refused(tmp_path / "small.pt", "parameters of EVA02-CLIP-L-14-336 are missing", config=None)


def test_damaged_values_are_refused(small, tmp_path):
    state = official_state(small)
    state["visual.blocks.1.norm1.weight"] = torch.full((64,), torch.inf)
    torch.save(state, tmp_path / "inf.pt")
    refused(tmp_path / "inf.pt", r"NaN or infinite values: visual\.blocks\.1\.norm1\.weight")


@pytest.mark.parametrize("kind", [".pt", ".legacy.pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(small, tmp_path, kind, kept):
    path = tmp_path / f"cut{kind}"
    if kind == ".safetensors":
        save_file(official_state(small), path)
    else:
        torch.save(official_state(small), path, _use_new_zipfile_serialization=kind == ".pt")
    os.truncate(path, int(path.stat().st_size * kept))
    refused(path, "truncated or corrupt|not a file of tensors")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_never_end_in_a_foreign_error(tmp_path, zipped):
    path, chance = tmp_path / "noise.pt", random.Random(0)
    torch.save({"visual.cls_token": torch.zeros(4)}, path, _use_new_zipfile_serialization=zipped)
    good = path.read_bytes()
    for _ in range(300):
        noisy = bytearray(good)
        for _ in range(chance.choice((1, 3, 20))):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        path.write_bytes(noisy)
        refused(path, "ownload it again|is missing|are missing|Expected")


@pytest.mark.parametrize("content", [b"<html>404</html>", b"version https://git-lfs.github.com/", bytes(999)])
@pytest.mark.parametrize("kind", [".pt", ".bin", ".safetensors"])
def test_text_and_noise_are_refused(tmp_path, content, kind):
    path = tmp_path / f"page{kind}"
    path.write_bytes(content)
    refused(path, "truncated or corrupt|not a file of tensors")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write({"visual.cls_token": Bomb()}, tmp_path / "bomb.pt")
    refused(tmp_path / "bomb.pt", r"it wants to run \w+\.mkdir, which was refused")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "clip.pt")
    refused(tmp_path / "clip.pt", "TorchScript program .such as OpenAI's CLIP")


def test_a_list_is_refused(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "expected a state dict of tensors, got list")


@pytest.mark.parametrize(
    "metadata, said",
    [
        ("{", "unreadable metadata"),
        ("[]", "unreadable metadata"),
        ('{"width": 64}', "unreadable metadata"),
        ('{"kind": "adapter"}', "kind 'face_encoder', got .* of kind 'adapter'"),
        ('{"kind": "face_encoder", "colour": 3}', "got .*colour"),
        ('{"kind": "face_encoder", "width": 10}', "multiple of"),
        ('{"kind": "face_encoder", "depth": 0}', "positive whole numbers"),
    ],
)
def test_other_files_of_ours_are_refused(tmp_path, metadata, said):
    save_file({"cls_token": torch.zeros(1)}, tmp_path / "ours.safetensors", {"fantasyid": metadata})
    refused(tmp_path / "ours.safetensors", said)


def test_other_dtypes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected float32, bfloat16 or float16.*got torch.int8"):
        load_face_encoder(tmp_path / "any.pt", torch.int8)
