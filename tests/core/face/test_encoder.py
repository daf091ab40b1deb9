"""The face encoder: pixels in, features out, and the files it is read from and written to."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import asdict, replace

import pytest
import torch
from evaclip import SMALL, faces, official_state, relative, small_timm_model
from safetensors import safe_open
from safetensors.torch import save_file

from fantasyid_core.face import encoder
from fantasyid_core.face.encoder import load_face_encoder, prepare_pixels, random_face_encoder, save_face_encoder
from fantasyid_core.files.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def small():
    return small_timm_model()


@pytest.fixture(scope="module")
def wanted(small):
    with torch.no_grad():
        found = small.forward_intermediates(
            prepare_pixels(faces(2, 80), 56), indices=[1], return_prefix_tokens=True, output_fmt="NLC",
            intermediates_only=True,
        )  # fmt: skip
    patches, prefix = found[0]
    return torch.cat([prefix, patches], dim=1)


LAYOUTS = ["official", "official_in_module", "official_wrapped", "open_clip", "open_clip_in_module", "timm"]


def layouts(small) -> dict[str, dict]:
    official, timm = official_state(small), small.state_dict()
    text = {"text.token_embedding.weight": torch.zeros(9, 4)}
    return {
        "official": official,
        "official_in_module": {f"module.{name}": tensor for name, tensor in official.items()},
        "open_clip_in_module": {f"module.visual.trunk.{name}": tensor for name, tensor in timm.items()},
        "official_wrapped": {"epoch": 3, "state_dict": official},
        "open_clip": {f"visual.trunk.{name}": tensor for name, tensor in timm.items()} | text,
        "timm": dict(timm),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [".pt", ".legacy.bin", ".safetensors"])
def test_every_published_naming_gives_the_same_features(small, wanted, tmp_path, layout, kind):
    state, path = layouts(small)[layout], tmp_path / f"encoder{kind}"
    if kind == ".safetensors":
        save_file(state.get("state_dict", state), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == ".pt")
    feats = load_face_encoder(path, config=SMALL).encode(faces(2, 80))
    assert relative(feats, wanted) <= 1e-6


def test_the_official_names_are_those_of_timms_own_filter(small):
    from timm.models.eva import checkpoint_filter_fn

    mapped = checkpoint_filter_fn(official_state(small), small)
    assert mapped.keys() == small.state_dict().keys()


def test_every_kept_weight_matters(small, wanted, tmp_path):
    feats = {}
    for name in load_small(small, tmp_path).trunk.state_dict():
        state = {key: value.clone() for key, value in small.state_dict().items()}
        state[name] += 0.5 * torch.randn(state[name].shape, generator=torch.Generator().manual_seed(9))
        path = tmp_path / "changed.pt"
        torch.save(state, path)
        feats[name] = relative(load_face_encoder(path, config=SMALL).encode(faces(2, 80)), wanted)
    assert min(feats.values()) > 1e-4, min(feats, key=feats.get)


def load_small(small, folder):
    torch.save(small.state_dict(), folder / "small.pt")
    return load_face_encoder(folder / "small.pt", config=SMALL)


def test_unused_tensors_are_never_read(small, tmp_path, monkeypatch):
    read, original = [], Checkpoint.read
    monkeypatch.setattr(Checkpoint, "read", lambda self, name, dtype: read.append(name) or original(self, name, dtype))
    save_file(official_state(small), tmp_path / "encoder.safetensors")
    encoder = load_face_encoder(tmp_path / "encoder.safetensors", config=SMALL)
    assert len(set(read)) == len(read) == len(encoder.trunk.state_dict())
    assert not any(re.search(r"text|blocks\.2|head|rope|visual\.norm|logit", name) for name in read)


def test_pickles_are_mapped_and_restricted(small, tmp_path, monkeypatch):
    calls, original = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **how: calls.append(how) or original(path, **how))
    load_small(small, tmp_path)
    assert calls == [{"map_location": "cpu", "weights_only": True, "mmap": True}]


def test_the_encoder_outlives_its_file(small, wanted, tmp_path):
    encoder = load_small(small, tmp_path)
    path = tmp_path / "small.pt"
    with path.open("r+b") as file:  # in place: a mapped tensor would change
        file.write(b"\xff" * path.stat().st_size)
    assert relative(encoder.encode(faces(2, 80)), wanted) <= 1e-6


@pytest.mark.parametrize("dtype, bound", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_half_precision_weights_give_nearly_the_same_features(small, wanted, tmp_path, dtype, bound):
    torch.save({name: tensor.half() for name, tensor in small.state_dict().items()}, tmp_path / "half.pt")
    encoder = load_face_encoder(tmp_path / "half.pt", dtype, SMALL)
    feats = encoder.encode(faces(2, 80))
    assert {tensor.dtype for tensor in (*encoder.parameters(), feats)} == {dtype}
    assert relative(feats.float(), wanted) < bound


def test_saving_and_loading_keeps_every_bit(tmp_path):
    encoder = random_face_encoder(seed=4, width=96, image_size=84, depth=3)
    save_face_encoder(encoder, tmp_path / "tiny.safetensors")
    loaded = load_face_encoder(tmp_path / "tiny.safetensors")
    assert loaded.config == encoder.config
    assert torch.equal(loaded.encode(faces()), encoder.encode(faces()))
    assert os.listdir(tmp_path) == ["tiny.safetensors"]


def test_a_file_from_before_states_could_be_chosen_is_read_the_same(tmp_path):
    """The first version wrote neither `states` nor `vector`; it read the last block."""
    encoder, path = random_face_encoder(seed=4, depth=3), tmp_path / "old.safetensors"
    described = {"kind": "face_encoder", **asdict(encoder.config)}
    del described["states"], described["vector"]
    save_file(encoder.trunk.state_dict(), path, {"fantasyid": json.dumps(described)})
    loaded = load_face_encoder(path)
    assert loaded.config == encoder.config
    assert torch.equal(loaded.encode(faces()), encoder.encode(faces()))


def test_other_states_are_read_from_the_same_file(small, tmp_path):
    """What ConsisID asks for: several states, and the vector of the whole tower."""
    torch.save(small.state_dict(), tmp_path / "small.pt")
    whole = load_face_encoder(tmp_path / "small.pt", config=replace(SMALL, depth=3, states=(0, 1), vector=8))
    states, vector = whole.features(faces(2, 80))
    with torch.no_grad():
        assert relative(vector, small(prepare_pixels(faces(2, 80), 56))) <= 1e-6
    assert torch.equal(states[1], load_face_encoder(tmp_path / "small.pt", config=SMALL).encode(faces(2, 80)))
    assert relative(states[0], states[1]) > 0.01
    save_face_encoder(whole, tmp_path / "whole.safetensors")
    again = load_face_encoder(tmp_path / "whole.safetensors", config=SMALL)
    assert again.config == SMALL and torch.equal(again.encode(faces(2, 80)), states[1])


def test_a_tiny_encoder_depends_on_its_seed_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = random_face_encoder(1), random_face_encoder(1), random_face_encoder(2)
    assert torch.equal(first.encode(faces()), again.encode(faces()))
    assert relative(other.encode(faces()), first.encode(faces())) > 0.1
    assert torch.equal(torch.get_rng_state(), before)
    feats = random_face_encoder(width=64, image_size=336).encode(faces(2))
    assert feats.shape == (2, 577, 64) and feats.std() > 0.1


def test_a_failed_save_leaves_the_older_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_face_encoder(random_face_encoder(seed=1), path)
    before = path.read_bytes()

    def full_disk(path, tensors, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoder, "write_tensors", full_disk)
    with pytest.raises(OSError, match="No space left on device.*Nothing was changed"):
        save_face_encoder(random_face_encoder(seed=2), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_the_metadata_describes_the_architecture(tmp_path):
    save_face_encoder(random_face_encoder(), tmp_path / "tiny.safetensors")
    with safe_open(tmp_path / "tiny.safetensors", "pt") as file:
        described = json.loads(file.metadata()["fantasyid"])
    assert described["kind"] == "face_encoder"
    assert {"image_size", "patch_size", "width", "depth", "heads", "hidden"} < described.keys()


def test_gradients_reach_the_picture_and_the_weights():
    encoder, pixels = random_face_encoder(), faces().requires_grad_()
    encoder(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("size", [512, 336, 224, 1000])
def test_pixels_are_prepared_as_the_official_pipeline_does(size):
    transforms = pytest.importorskip("torchvision.transforms.functional")
    from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    pixels = (faces(size=size) > 0.5).float()  # hard edges overshoot, and the overshoot must stay
    resized = transforms.resize(pixels, 336, transforms.InterpolationMode.BICUBIC)
    wanted = transforms.normalize(resized, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    assert torch.equal(prepare_pixels(pixels, 336), wanted)
    assert torch.equal(prepare_pixels(pixels, 336, torch.bfloat16), wanted.bfloat16())


@pytest.mark.parametrize(
    "pixels, said",
    [
        (torch.zeros(1, 4, 8, 8), r"\[B, 3, S, S\], got \[1, 4, 8, 8\].*alpha"),
        (torch.zeros(1, 1, 8, 8), r"got \[1, 1, 8, 8\]"),
        (torch.zeros(3, 8, 8), r"got \[3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 9), r"square.*got \[1, 3, 8, 9\]"),
        (torch.zeros(0, 3, 8, 8), r"got \[0, 3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floats in 0..1, got torch.uint8.*255"),
        (torch.full((1, 3, 8, 8), 255.0), "values in 0..1, got 255..255"),
        (torch.full((1, 3, 8, 8), -1.0), "values in 0..1, got -1..-1"),
        (torch.full((1, 3, 8, 8), torch.nan), "values in 0..1, got nan"),
    ],
)
def test_other_pictures_are_refused(pixels, said):
    with pytest.raises(ValueError, match=said):
        random_face_encoder().encode(pixels)


def test_a_one_pixel_picture_and_overshoot_are_fine():
    assert random_face_encoder().encode(torch.full((1, 3, 1, 1), 1.05)).isfinite().all()
