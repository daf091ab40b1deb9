"""FantasyID-Tiny as the host's own types; with random weights, laid out as the trained ones are."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fantasyid_core.face.align import TEMPLATE, FaceCrop
from fantasyid_core.shape import FaceShape
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.tinymodel.face import TinyFaceEncoder
from fantasyid_core.tinymodel.models import TinyModels, save_tiny_models, tiny_models
from fantasyid_core.tinymodel.text import TextEncoder
from fantasyid_core.tinymodel.vae import TinyVae, VaeConfig
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import load_config
from fantasyid_core.weights.adapter import save_adapter

PROMPT = "turns the head to the left and smiles, blue background, light from the front"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    save_tiny_models(TinyModels(TinyVae(VaeConfig.tiny()), TextEncoder(), TinyFaceEncoder()), folder, torch.float32)
    changes = [f"model.folder={folder}", "model.portraits=null", "precision=fp32", "device=cpu"]
    models = build_models(load_config("tiny", changes))
    for layer in models.adapter.layers:
        torch.nn.init.normal_(layer.to_out.weight, std=0.2)
    save_adapter(models.adapter, folder / "adapter.safetensors")
    (folder / "transformer").mkdir()
    save_file(models.transformer.state_dict(), folder / "transformer" / "diffusion_pytorch_model.safetensors")
    config = {"_class_name": "CogVideoXTransformer3DModel", **asdict(models.sizes)}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def tiny(host, folder):
    from fantasyid_core.host.comfy.tinymodel import load_tiny

    return load_tiny(folder)


@pytest.fixture
def person(tiny):
    from fantasyid_core.host.comfy.encode import encode_person

    mesh = head_mesh()
    crop = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    face = FaceCrop(crop, np.eye(2, 3), TEMPLATE.astype(np.float32))
    shape = FaceShape(torch.tensor(mesh.template, dtype=torch.float32), mesh.faces)
    with torch.inference_mode():
        return face, encode_person(tiny.adapter, tiny.encoder, face, shape).tokens


def test_the_hosts_own_nodes_take_its_vae(host, tiny, folder):
    vae, video = tiny_models(folder).vae, torch.rand(9, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    scale = tiny.model.model.latent_format.scale_factor
    with torch.inference_mode():
        (encoded,) = host.node_classes["VAEEncode"]().encode(tiny.vae, video)
        expected = vae.encode(video[None])
        assert torch.allclose(encoded["samples"] * scale, expected, atol=1e-5)
        (decoded,) = host.node_classes["VAEDecode"]().decode(tiny.vae, encoded)
        assert decoded.shape == (9, 64, 64, 3)
        assert torch.allclose(decoded, vae.decode(expected)[0].movedim(0, -1), atol=1e-5)


def test_the_hosts_own_nodes_take_its_text_encoder(host, tiny, folder):
    from fantasyid_core.host.comfy import encode_prompt

    text = tiny_models(folder).text_encoder
    with torch.inference_mode():
        (stock,) = host.node_classes["CLIPTextEncode"]().encode(tiny.clip, PROMPT)
        ours = encode_prompt(tiny.clip, PROMPT)
        assert torch.allclose(stock[0][0], text.encode([PROMPT]), atol=1e-6) and torch.equal(ours[0][0], stock[0][0])
        (again,) = host.node_classes["CLIPTextEncode"]().encode(tiny.clip.clone(), PROMPT)
        assert torch.equal(again[0][0], stock[0][0])


def test_a_video_shows_the_person_and_follows_the_prompt(tiny, person):
    from fantasyid_core.host import comfy
    from fantasyid_core.host.comfy.condition import condition_video
    from fantasyid_core.host.comfy.video import sample_latent

    face, tokens = person
    patched = comfy.attach(tiny.model, tiny.adapter, tokens)
    settings = {"seed": 0, "steps": 2, "cfg": 2.0, "solver": "ddim"}
    videos = {}
    with torch.inference_mode():
        negative = comfy.encode_prompt(tiny.clip, "")
        runs = {"plain": (tiny.model, PROMPT), "person": (patched, PROMPT), "nods": (patched, "nods")}
        for name, (model, prompt) in runs.items():
            positive = comfy.encode_prompt(tiny.clip, prompt)
            *conditioning, latent = condition_video(positive, negative, tiny.vae, face, model)
            assert "concat_latent_image" not in conditioning[0][0][1]  # it was trained without a first picture
            assert latent["samples"].shape == (1, 16, 3, 16, 16)
            samples = sample_latent(model, *conditioning, latent, **settings)["samples"]
            videos[name] = comfy.decode_video(tiny.vae, samples)
    assert all(video.shape == (9, 64, 64, 3) and 0 <= video.min() and video.max() <= 1 for video in videos.values())
    assert not torch.equal(videos["plain"], videos["person"]) and not torch.equal(videos["nods"], videos["person"])


def test_missing_files_are_named(host, tmp_path):
    from fantasyid_core.host.comfy.tinymodel import load_tiny

    with pytest.raises(FileNotFoundError, match="vae.safetensors"):
        load_tiny(tmp_path)
