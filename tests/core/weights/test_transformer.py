"""The transformer's half of a checkpoint, and the diffusers host against the official code."""

from __future__ import annotations

import pytest
import torch
from golden import TRANSFORMER_SIZES as SIZES
from golden import network_input, relative_error, without_second_layer
from small import inputs_of, make_adapter

from fantasyid_core import load_adapter
from fantasyid_core.config import TransformerConfig
from fantasyid_core.files.checkpoint import open_checkpoint
from fantasyid_core.files.keymaps import host_name
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.sampling import make_steps, sample
from fantasyid_core.weights.transformer import transformer_config


@pytest.fixture(scope="module")
def transformer(reference):
    return diffusers_host.load_transformer(reference, config=SIZES)


def run(transformer, x, context, timestep):
    rotary = diffusers_host.rotary_table(diffusers_host.transformer_sizes(transformer), x.device)
    with torch.no_grad():
        return transformer(
            hidden_states=x,
            encoder_hidden_states=context,
            timestep=torch.tensor([timestep] * x.shape[0]),
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]


def reference_run(transformer):
    return run(transformer, network_input("x", (2, 3, 32, 8, 12)), network_input("context", (2, 16, 64)), 500)


def test_injection_after_every_block_is_the_official_one(transformer, reference_adapter, reference_tokens, golden):
    with torch.no_grad(), diffusers_host.attach(transformer, reference_adapter.injector(reference_tokens)):
        assert relative_error(reference_run(transformer), golden["transformer.interval1"]) <= 1e-5


def test_injection_after_every_second_block_is_the_official_one(
    reference, reference_topology, transformer, reference_tokens, golden
):
    adapter = load_adapter(without_second_layer(reference), topology=reference_topology)
    assert adapter.config.interval == 2
    with torch.no_grad(), diffusers_host.attach(transformer, adapter.injector(reference_tokens)):
        assert relative_error(reference_run(transformer), golden["transformer.interval2"]) <= 1e-5


def test_five_ddim_steps_are_the_official_ones(transformer, reference_adapter, reference_tokens, golden):
    image = torch.cat([network_input("image_latents", (1, 1, 16, 8, 12)), torch.zeros(1, 2, 16, 8, 12)], dim=1)
    context = network_input("negative_positive", (2, 16, 64))

    def denoise(x, step):
        v = run(transformer, torch.cat([torch.cat([x, image], dim=2)] * 2), context, step.timestep)
        negative, positive = v.chunk(2)
        return step.clean_from_velocity(x, negative + 6 * (positive - negative))

    with torch.no_grad(), diffusers_host.attach(transformer, reference_adapter.injector(reference_tokens)):
        latents = sample(denoise, network_input("init_latents", (1, 3, 16, 8, 12)), make_steps(5), "ddim")
    assert relative_error(latents, golden["ddim5.latents"]) <= 1e-5


def test_attaching_and_removing_leaves_the_transformer_as_it_was(transformer, reference_adapter, reference_tokens):
    before = {key: value.clone() for key, value in transformer.state_dict().items()}
    plain = reference_run(transformer)
    with torch.no_grad():
        injector = reference_adapter.injector(reference_tokens)
    handle = diffusers_host.attach(transformer, injector)
    changed = reference_run(transformer)
    handle.remove()
    handle.remove()
    assert not torch.equal(changed, plain)
    assert torch.equal(reference_run(transformer), plain)
    again = diffusers_host.attach(transformer, injector)
    assert torch.equal(reference_run(transformer), changed)
    again.remove()
    assert all(torch.equal(value, before[key]) for key, value in transformer.state_dict().items())
    assert not any(block._forward_hooks for block in transformer.transformer_blocks)


def test_identities_attached_together_read_the_same_hidden_states(transformer, reference_adapter, reference_tokens):
    with torch.no_grad():
        whole = reference_adapter.injector(reference_tokens)
        half = reference_adapter.injector(reference_tokens, strength=0.5)
    with diffusers_host.attach(transformer, half, half):
        twice = reference_run(transformer)
    with diffusers_host.attach(transformer, whole):
        assert relative_error(twice, reference_run(transformer)) < 1e-5


def test_host_names_are_read_back(reference, transformer):
    renamed = {host_name(key): value for key, value in reference.items() if host_name(key)}
    again = diffusers_host.load_transformer(renamed, config=SIZES)
    assert all(torch.equal(value, transformer.state_dict()[key]) for key, value in again.state_dict().items())


def test_sizes_come_from_shapes_and_config(reference):
    config = transformer_config(open_checkpoint(reference), SIZES)
    assert config == TransformerConfig(num_layers=2, text_embed_dim=64, **SIZES)
    assert config.latent_shape == (16, 3, 8, 12) and config.video_tokens == 72
    assert config.describe_size() == "9 frames of 96x64"


def test_without_a_config_the_defaults_must_fit_the_position_table(reference):
    with pytest.raises(ValueError, match="position table has 88 rows.*no config.json beside the weights"):
        diffusers_host.load_transformer(reference)
    with pytest.raises(ValueError, match="position table has 88 rows.*its config"):
        diffusers_host.load_transformer(reference, config={**SIZES, "sample_frames": 13})


def test_config_and_weights_must_agree(reference):
    with pytest.raises(ValueError, match="num_layers is 2 in the weights, 42 in the config"):
        diffusers_host.load_transformer(reference, config={**SIZES, "num_layers": 42})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("transformer_blocks.1.ff.net.2.weight"),
            "1 tensors of the CogVideoX transformer are missing",
        ),
        (lambda s: s.update({"extra": torch.ones(1)}), "1 unexpected tensors: extra"),
        (
            lambda s: s.update({"norm_final.weight": torch.ones(7)}),
            r"norm_final.weight is \[7\] instead of \[3072\]",
        ),
        (lambda s: s.pop("patch_embed.pos_embedding"), "no learned position table.*2B and 1.5 do not fit"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.ones(3072, 256)}), "is a CogVideoX 1.5 model"),
        (
            lambda s: s.pop("time_embedding.linear_2.weight"),
            "is incomplete: 'time_embedding.linear_2.weight'",
        ),
    ],
)
def test_what_does_not_fit_is_named(reference, change, message):
    state = dict(reference)
    change(state)
    with pytest.raises(ValueError, match=message):
        diffusers_host.load_transformer(state, config=SIZES)


@pytest.mark.parametrize(
    ("key", "family"), [("down_blocks.0.lora_A", "a LoRA"), ("decoder.conv_in.conv.weight", "a VAE")]
)
def test_other_families_are_named(key, family):
    with pytest.raises(ValueError, match=f"holds no CogVideoX transformer: it looks like {family}"):
        diffusers_host.load_transformer({key: torch.ones(2, 2)})


def test_an_adapter_of_another_model_is_refused(transformer):
    adapter = make_adapter()
    with torch.no_grad():
        injector = adapter.injector(adapter.encode(*inputs_of(adapter)))
    with pytest.raises(ValueError, match="made for a transformer of width 192, this model has 3072"):
        diffusers_host.attach(transformer, injector)
    with torch.no_grad():
        three = make_adapter(injected_layers=3)
        injector = three.injector(three.encode(*inputs_of(three)))
    with pytest.raises(ValueError, match="3 injected layers .* 2 blocks"):
        diffusers_host.attach(transformer, injector)
