"""Videos longer than the model's own in ComfyUI, and continued ones: those of the diffusers host, with the identity."""

# ruff: noqa: F811 (fixtures imported from other modules)
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from golden import relative_error
from small import inputs_of, make_adapter, make_transformer_state
from test_parity import comfy_host, vaes  # noqa: F401 (fixtures)

from fantasyid_core.config import TransformerConfig
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.host.diffusers.denoise import make_denoiser
from fantasyid_core.host.diffusers.others import as_pixels
from fantasyid_core.sampling import OfficialNoise, make_steps, sample
from fantasyid_core.sampling.continuation import held
from fantasyid_core.sampling.windows import windowed

SIZES = TransformerConfig.tiny(max_text_seq_length=16, sample_frames=17)  # 5 latent frames
OWN, TOTAL, FRAMES, STEPS, CFG = SIZES.latent_frames, 9, 33, 4, 6.0
DRAW = torch.Generator().manual_seed(3)
IMAGE, BEGIN = torch.randn(1, 16, 1, 8, 12, generator=DRAW), torch.randn(1, 16, 2, 8, 12, generator=DRAW)
CONTEXT = torch.randn(2, 16, 64, generator=DRAW)  # negative, positive
CONDITIONING = [[[part, {"concat_latent_image": IMAGE}]] for part in (CONTEXT[1:], CONTEXT[:1])]
API_FORM = Path(__file__).with_name("photo_to_video_api.json")
CONDITION, SAMPLER, DECODE = "15", "16", "17"


@pytest.fixture(scope="module")
def both(comfy_host):
    """The same transformer and identity on both hosts: the host's model, diffusers' transformer, adapter, tokens."""
    state, adapter = make_transformer_state(SIZES), make_adapter()
    config = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))
    model = comfy_host.load_model(state, config=config)
    return model, diffusers_host.load_transformer(state, config=config), adapter, tokens


def in_diffusers(both, solver, seed, total=TOTAL, begin=None):
    """Latents [1, C, T, H, W] in the host's scale."""
    model, transformer, adapter, tokens = both
    factor = model.model.latent_format.scale_factor
    image = torch.zeros(1, OWN, 16, 8, 12)
    image[:, :1] = IMAGE.transpose(1, 2) * factor
    draws = OfficialNoise((1, total, 16, 8, 12), torch.Generator().manual_seed(seed))
    denoise = windowed(make_denoiser(transformer, CONTEXT, image, CFG, torch.float32), total, OWN)
    begin = None if begin is None else begin.transpose(1, 2) * factor
    with torch.inference_mode(), diffusers_host.attach(transformer, adapter.injector(tokens)):
        latents = sample(held(denoise, begin), draws.initial(), make_steps(STEPS), solver, draws)
    return latents.transpose(1, 2) / factor


@pytest.mark.parametrize("solver", ["dpm", "ddim"])
def test_windows_are_those_of_the_diffusers_host(comfy_host, both, solver):
    model, _, adapter, tokens = both
    patched = comfy_host.attach(model, adapter, tokens)
    settings = {"steps": STEPS, "cfg": CFG, "solver": solver, "seed": 5, "frames": FRAMES}
    with torch.inference_mode():
        found = comfy_host.sample(patched, None, *CONDITIONING, **settings)
        plain = comfy_host.sample(model, None, *CONDITIONING, **settings)
    assert found.shape == (1, 16, TOTAL, 8, 12)
    assert relative_error(found, in_diffusers(both, solver, 5)) <= 1e-4
    changed = (found - plain).abs().amax(dim=(0, 1, 3, 4))
    assert (changed > 1e-3).all()  # the identity is in every frame
    assert not patched.get_additional_models()  # nothing stays


def test_a_continuation_is_that_of_the_diffusers_host(comfy_host, both):
    model, _, adapter, tokens = both
    patched = comfy_host.attach(model, adapter, tokens)
    settings = {"steps": STEPS, "cfg": CFG, "seed": 6}
    with torch.inference_mode():
        found = comfy_host.sample(patched, None, *CONDITIONING, **settings, begin=BEGIN)
        longer = comfy_host.sample(patched, None, *CONDITIONING, **settings, begin=BEGIN, frames=FRAMES)
    assert torch.allclose(found[:, :, :2], BEGIN, atol=1e-5) and torch.allclose(longer[:, :, :2], BEGIN, atol=1e-5)
    assert relative_error(found, in_diffusers(both, "dpm", 6, OWN, BEGIN)) <= 1e-4
    assert relative_error(longer, in_diffusers(both, "dpm", 6, TOTAL, BEGIN)) <= 1e-4


@pytest.mark.parametrize("count", [5, 9])
def test_frames_are_encoded_as_in_diffusers(comfy_host, vaes, count):
    from fantasyid_core.host.comfy.vae import encode_frames

    ours, theirs = vaes
    frames = torch.randint(0, 256, (count, 64, 96, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.inference_mode():
        expected = theirs.encode(as_pixels(frames.numpy())).latent_dist.mode()
        assert relative_error(encode_frames(ours, frames / 255), expected) <= 1e-5


def test_longer_videos_are_refused_where_they_cannot_be_made(comfy_host, both):
    from test_company import cached

    from fantasyid_core.host.comfy.video import sample_latent

    model, _, adapter, tokens = both
    latent = {"samples": torch.zeros(1, *SIZES.latent_shape)}
    settings = {"steps": 1, "cfg": CFG, "solver": "dpm", "seed": 0}
    mask = torch.zeros(OWN, 64, 96)
    mask[0] = 1
    moving = comfy_host.attach(model, adapter, tokens, mask=mask)
    for patched, frames, message in (
        (model, 20, "Expected 17 frames, the model's own length, or more by 8 each.*got 20"),
        (moving, FRAMES, "Expected a mask of one picture for a video longer"),
        (cached("EasyCache")(model), FRAMES, "would mix up the windows of a longer video"),
    ):
        with pytest.raises(ValueError, match=message):
            sample_latent(patched, *CONDITIONING, latent, **settings, frames=frames)
    with torch.inference_mode():  # of the model's own length all of that works
        assert sample_latent(moving, *CONDITIONING, latent, **settings, frames=17)["samples"].shape[2] == OWN


@pytest.fixture
def prompt(small_host_models) -> dict:
    """The small model of 9 frames in one step."""
    prompt = json.loads(API_FORM.read_text(encoding="utf-8"))
    prompt["3"]["inputs"]["encoder"] = "eva.safetensors"
    prompt["9"]["inputs"]["detector"] = "none"
    prompt[SAMPLER]["inputs"]["steps"] = 1
    return prompt


def test_the_nodes_make_a_longer_video_and_continue_it(host, prompt, decoded):
    prompt[SAMPLER]["inputs"]["frames"] = 17
    for name, kind, source in (("30", CONDITION, [DECODE, 0]), ("32", DECODE, [DECODE, 0])):
        prompt[name] = {**prompt[kind], "inputs": {**prompt[kind]["inputs"], "video": source}}
    into = {"positive": ["30", 0], "negative": ["30", 1], "latent": ["30", 2], "frames": 0}
    prompt["31"] = {**prompt[SAMPLER], "inputs": {**prompt[SAMPLER]["inputs"], **into}}
    prompt["32"]["inputs"]["latent"] = ["31", 0]
    prompt["33"] = {"class_type": "PreviewImage", "inputs": {"images": ["32", 0]}}
    first, second = decoded(prompt)
    assert len(first) == 17 and len(second) == 17 + 9 - 1 and torch.equal(second[:17], first)


def test_a_video_that_is_not_continued_is_not_put_in_front(host, prompt):
    from comfy_process import NodeError

    prompt[DECODE]["inputs"]["video"] = ["30", 0]
    prompt["30"] = {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 9, "color": 0}}
    with pytest.raises(NodeError, match="Expected the latent of a video that continues another"):
        host.run(prompt)
