"""The ConsisID variant against the official code: identity tokens, injection, the whole transformer, five steps."""

from __future__ import annotations

import pytest
import torch
from consisidgolden import expected, full_size_features, full_size_state, tiny_config, tiny_features, tiny_state
from golden import network_input, relative_error

from fantasyid_core import load_adapter
from fantasyid_core.config import AdapterConfig
from fantasyid_core.face import FaceFeatures
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.sampling import make_steps, sample

CLOSE = 1e-5


@pytest.fixture(scope="module")
def full_size():
    """The adapter in its real size, with one injected layer."""
    return load_adapter(full_size_state())


@pytest.fixture(scope="module")
def full_tokens(full_size):
    return full_size.encode(full_size_features())


@pytest.fixture(scope="module")
def transformer():
    return diffusers_host.load_transformer(tiny_state(), config=tiny_config())


def tiny_adapter(interval: int = 2, **changes):
    return load_adapter(tiny_state(interval), config=tiny_config(cross_attn_interval=interval, **changes))


def test_sizes_come_from_the_shapes(full_size):
    assert full_size.config == AdapterConfig.consisid(injected_layers=1, interval=None)
    assert full_size.topology is None
    assert full_size.config.id_tokens == 32


def test_identity_tokens_in_full_size_are_the_official_ones(full_tokens):
    assert full_tokens.shape == (1, 32, 2048)
    assert relative_error(full_tokens, expected()["tokens.full"]) <= CLOSE


def test_the_cross_attention_in_full_size_is_the_official_one(full_size, full_tokens):
    hidden = network_input("hidden_states", (1, 24, 3072))
    wanted = expected()["cross_attention.0.full"]
    assert relative_error(full_size.layers[0](expected()["tokens.full"], hidden), wanted) <= CLOSE
    assert relative_error(full_size.injector(full_tokens)(0, hidden), wanted) <= CLOSE  # folded


def test_while_sampling_no_more_than_16_percent_of_the_injected_weights_stay(full_size, full_tokens):
    injector = full_size.injector(full_tokens)
    kept = sum(value.numel() for value in injector._layers[0].parameters())
    assert kept <= 0.16 * sum(value.numel() for value in full_size.layers[0].parameters())


@pytest.mark.parametrize(
    ("interval", "scale", "name"), [(1, 1.0, "interval1"), (2, 1.0, "interval2"), (2, 0.7, "scale0.7")]
)
def test_the_whole_transformer_is_the_official_one(transformer, interval, scale, name):
    adapter = tiny_adapter(interval, local_face_scale=scale)
    tokens = adapter.encode(tiny_features())
    assert relative_error(tokens, expected()["tokens.tiny"]) <= CLOSE
    rotary = diffusers_host.rotary_table(diffusers_host.transformer_sizes(transformer), "cpu")
    with torch.inference_mode(), diffusers_host.attach(transformer, adapter.injector(tokens)):
        made = transformer(
            network_input("x", (2, 3, 32, 8, 12)), network_input("context", (2, 16, 64)), torch.tensor([500, 500]),
            image_rotary_emb=rotary, return_dict=False,
        )[0]  # fmt: skip
    assert relative_error(made, expected()[f"transformer.{name}"]) <= CLOSE


def test_five_ddim_steps_are_the_official_ones(transformer):
    adapter = tiny_adapter()
    rotary = diffusers_host.rotary_table(diffusers_host.transformer_sizes(transformer), "cpu")
    image = torch.zeros(1, 3, 16, 8, 12)
    image[:, :1] = network_input("image_latents", (1, 1, 16, 8, 12))
    context = network_input("negative_positive", (2, 16, 64))

    def denoise(x, step):
        seen = torch.cat([x, image], dim=2).repeat(2, 1, 1, 1, 1)
        time = torch.full((2,), step.timestep)
        v = transformer(seen, context, time, image_rotary_emb=rotary, return_dict=False)[0]
        negative, positive = v.chunk(2)
        return step.clean_from_velocity(x, negative + 6 * (positive - negative))

    with torch.inference_mode(), diffusers_host.attach(transformer, adapter.injector(adapter.encode(tiny_features()))):
        made = sample(denoise, network_input("init_latents", (1, 3, 16, 8, 12)), make_steps(5), "ddim", None)
    assert relative_error(made, expected()["ddim5.latents"]) <= CLOSE


def test_the_states_count_in_their_order():
    adapter, features = tiny_adapter(), tiny_features()
    turned = FaceFeatures(features.states[::-1], features.vector)
    assert relative_error(adapter.encode(turned), expected()["tokens.tiny"]) > 1e-3


def test_a_batch_of_people_is_encoded_as_one_by_one():
    adapter, features = tiny_adapter(), tiny_features()
    both = FaceFeatures(
        tuple(torch.cat([state, state.flip(1)]) for state in features.states),
        torch.cat([features.vector, -features.vector]),
    )
    tokens = adapter.encode(both)
    assert tokens.shape == (2, 32, 256)
    assert relative_error(tokens[:1], adapter.encode(features)) <= CLOSE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f.states[-1], None), "reads 5 states .* got the features of one state and no vector"),
        (lambda f: (FaceFeatures(f.states[:4], f.vector), None), "got 4 states"),
        (lambda f: (FaceFeatures(f.states), None), "got 5 states and no vector"),
        (
            lambda f: (FaceFeatures([s[..., :60] for s in f.states], f.vector), None),
            r"\[B, 17, 64\], got \[1, 17, 60\]",
        ),
        (lambda f: (FaceFeatures(f.states, f.vector[:, :512]), None), r"expected \[B, 560\], .* got \[1, 512\]"),
        (lambda f: (FaceFeatures(f.states, f.vector * torch.nan), None), "Identity vector: expected finite numbers"),
        (lambda f: (FaceFeatures([s * torch.nan for s in f.states], f.vector), None), "Face features: expected finite"),
        (lambda f: (f, torch.zeros(5023, 3)), "ConsisID reads no 3D face"),
    ],
)
def test_what_is_no_such_face_is_refused(change, message):
    face, vertices = change(tiny_features())
    with pytest.raises(ValueError, match=message):
        tiny_adapter().encode(face, vertices)


def test_no_states_are_refused():
    with pytest.raises(ValueError, match="Expected at least one state"):
        FaceFeatures(())


def test_features_of_the_last_state_serve_fantasyid(tiny_adapter):
    from small import inputs_of

    feats, vertices = inputs_of(tiny_adapter)
    both = FaceFeatures((feats * 2, feats))
    assert torch.equal(tiny_adapter.encode(both, vertices), tiny_adapter.encode(feats, vertices))
    with pytest.raises(ValueError, match="Expected vertices .* of a 3D face, got none"):
        tiny_adapter.encode(both)
