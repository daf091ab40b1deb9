"""ConsisID in the real ComfyUI, against what its official code computes of the same seeded weights."""

from __future__ import annotations

import pytest
import torch
from consisidgolden import expected, tiny_config, tiny_features, tiny_state
from golden import network_input, relative_error
from test_parity import velocity

from fantasyid_core import load_adapter
from fantasyid_core.files.keymaps import host_name


@pytest.fixture(scope="module")
def comfy_host(host):
    """This project's ComfyUI side, in a process that runs ComfyUI."""
    from fantasyid_core.host import comfy

    return comfy


@pytest.fixture(scope="module")
def model(comfy_host):
    return comfy_host.load_model(tiny_state(), config=tiny_config(), dtype=torch.float32)


def tiny_adapter(interval: int = 2, **changes):
    return load_adapter(tiny_state(interval), config=tiny_config(cross_attn_interval=interval, **changes))


@pytest.fixture(scope="module")
def tokens():
    return tiny_adapter().encode(tiny_features())


def reference_velocity(patched):
    x = network_input("x", (2, 3, 32, 8, 12)).transpose(1, 2)
    with torch.inference_mode():
        return velocity(patched, x, network_input("context", (2, 16, 64)), 500).transpose(1, 2)


def golden_conditioning(model):
    # The host chooses another latent scale than 0.7 for fewer than 48 heads.
    image = network_input("image_latents", (1, 1, 16, 8, 12)).transpose(1, 2)
    image = image / model.model.latent_format.scale_factor
    context = network_input("negative_positive", (2, 16, 64))
    return [[[part, {"concat_latent_image": image}]] for part in (context[1:], context[:1])]


def five_steps(comfy_host, model, patched, **settings):
    noise = network_input("init_latents", (1, 3, 16, 8, 12)).transpose(1, 2)
    with torch.inference_mode():
        latents = comfy_host.sample(
            patched, noise, *golden_conditioning(model), steps=5, cfg=6.0, solver="ddim", **settings
        )
    return latents.transpose(1, 2) * model.model.latent_format.scale_factor


@pytest.mark.parametrize(
    ("interval", "scale", "name"), [(1, 1.0, "interval1"), (2, 1.0, "interval2"), (2, 0.7, "scale0.7")]
)
def test_the_whole_transformer_is_the_official_one(comfy_host, model, tokens, interval, scale, name):
    patched = comfy_host.attach(model, tiny_adapter(interval, local_face_scale=scale), tokens)
    assert relative_error(reference_velocity(patched), expected()[f"transformer.{name}"]) <= 1e-5


def test_five_ddim_steps_are_the_official_ones(comfy_host, model, tokens):
    patched = comfy_host.attach(model, tiny_adapter(), tokens)
    assert relative_error(five_steps(comfy_host, model, patched), expected()["ddim5.latents"]) <= 1e-5


def test_without_the_node_the_model_is_the_unpatched_one_to_the_bit(comfy_host, model, tokens):
    plain = reference_velocity(model)
    patched = comfy_host.attach(model, tiny_adapter(), tokens)
    assert relative_error(reference_velocity(patched), plain) > 1e-3
    assert torch.equal(reference_velocity(model), plain)
    nobody = comfy_host.attach(model, tiny_adapter(), tokens, strength=0.0)
    assert torch.equal(reference_velocity(nobody), plain)


def test_the_identity_branch_runs_under_the_hosts_memory_management(comfy_host, tokens):
    import comfy.model_management

    adapter = tiny_adapter()
    patcher = comfy_host.encoder_patcher(adapter)
    comfy.model_management.load_models_gpu([patcher], force_full_load=True)
    with torch.inference_mode():
        made = adapter.encode(tiny_features(), branch=patcher.model)
    assert relative_error(made, tokens) <= 1e-6


def test_an_adapter_on_the_other_models_transformer_is_an_error(comfy_host, tokens):
    other = {key: value + 0.05 * value.flip(0) for key, value in tiny_state().items()}
    fantasyids = comfy_host.load_model(other, config=tiny_config(), dtype=torch.float32)
    with pytest.raises(ValueError, match="belongs to the video model .* it has the same sizes"):
        comfy_host.attach(fantasyids, tiny_adapter(), tokens)


def test_models_of_the_hosts_own_loader_are_told_apart_too(comfy_host, tokens):
    """One call loads the model as the host's own nodes do: nothing of this project is on it."""
    from fantasyid_core.host.comfy.model import model_fingerprint

    adapter = tiny_adapter()
    model = comfy_host.load_model(tiny_state(), config=tiny_config(), dtype=torch.bfloat16)
    del model.model.fantasyid_transformer
    assert model_fingerprint(model) == adapter.transformer
    assert host_name("proj_out.weight") in dict(model.model.diffusion_model.named_parameters())
