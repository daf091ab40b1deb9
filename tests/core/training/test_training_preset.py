"""The preset "tiny": its parts fit together, and all of it but the VAE learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.tinymodel.face import TinyFaceEncoder
from fantasyid_core.tinymodel.models import TinyModels, save_tiny_models
from fantasyid_core.tinymodel.text import TextEncoder
from fantasyid_core.tinymodel.vae import TinyVae, VaeConfig
from fantasyid_core.training.batches import Batch
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import load_config
from fantasyid_core.training.denoiser import Denoiser
from fantasyid_core.training.task import Task


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small networks with random values, as they come along with the package when they are trained."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_tiny_models(TinyModels(TinyVae(VaeConfig.tiny()), TextEncoder(), TinyFaceEncoder()), folder, torch.float32)
    return folder


def tiny(weights, *changes):
    own = [f"model.folder={weights}", "model.portraits=null", "precision=fp32", "device=cpu"]
    return load_config("tiny", [*own, *changes])


def clips():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (2, 9, 64, 64, 3), np.uint8)
    vertices = np.stack([head_mesh().template.astype(np.float32)] * 2)
    return Batch(["a", "b"], ["nods, blue background", ""], vertices, pictures[:, 5], pictures[:, 0], pictures)


def test_all_but_the_vae_learns(weights):
    config = tiny(weights)
    models = build_models(config)
    network = Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder).train()
    with torch.no_grad():  # an untrained adapter lets no gradient through its end
        for layer in models.adapter.layers:
            layer.to_out.weight.normal_(std=0.02)
    Task(models, config, torch.device("cpu")).losses(network, clips(), 0).mean().backward()
    missing = [name for name, value in network.named_parameters() if value.grad is None]
    assert missing == []
    assert not any(value.requires_grad for value in models.codec.vae.parameters())
    assert models.sizes.latent_shape == (16, 3, 16, 16) and models.sizes.width % 3 == 0
    assert models.adapter.config.variant == "paper" and models.adapter.config.vertex_counts[0] == 2236
    total = sum(value.numel() for value in network.parameters())
    assert total < 9e6  # with the VAE's million less than 20 MB in bfloat16


def test_equal_seeds_build_equal_networks(weights):
    states = [build_models(tiny(weights, f"seed={seed}")).transformer.state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_the_ablations_are_changes_to_the_config(weights):
    shared = build_models(tiny(weights, "model.sizes={shared_injection: true}")).adapter
    apart = build_models(tiny(weights)).adapter
    count = lambda module: sum(value.numel() for value in module.layers.parameters())  # noqa: E731
    assert count(apart) == 5 * count(shared)
    for name in ("use_face", "use_vertices"):
        adapter = build_models(tiny(weights, f"model.sizes={{{name}: false}}")).adapter
        assert not getattr(adapter.config, name)


def test_unknown_sizes_and_missing_weights_are_refused(weights, tmp_path):
    with pytest.raises(ValueError, match="model.preset: layers is no size of the transformer"):
        build_models(tiny(weights, "model.preset={layers: 3}"))
    with pytest.raises(FileNotFoundError):
        build_models(tiny(tmp_path / "nowhere"))


def test_what_tells_people_apart_reaches_the_tokens_before_training(weights):
    """As much of it as `keep_variance` promises; PyTorch's own weights and biases would let most of it drown."""
    from fantasyid_core.people.person import sample_person

    torch.manual_seed(0)
    adapter = build_models(tiny(weights)).adapter
    people = torch.from_numpy(np.stack([sample_person(seed).vertices() for seed in range(24)]))
    adapter.fit_vertices(people)
    feats = torch.randn(24, adapter.config.vit_tokens, adapter.config.vit_width)
    share = lambda: told_apart(adapter.encode(feats, people))  # noqa: E731
    kept = share()
    for module in adapter.encoder.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert kept > 0.15 and kept > 2 * share()


@torch.no_grad()
def told_apart(tokens):
    """The share of the tokens' variance that is between people."""
    return (tokens.var(0).mean() / tokens.var()).item()


def test_the_share_of_early_timesteps_reaches_the_loss(weights):
    for share in (0.0, 1.0):
        config = tiny(weights, f"early_share={share}")
        models = build_models(config)
        network = Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder).eval()
        seen = []
        network.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0].times))
        for number in range(8):
            Task(models, config, torch.device("cpu")).losses(network, clips(), number)
        times = torch.cat(seen)
        assert (times >= 900).all() if share else (times < 900).any()
