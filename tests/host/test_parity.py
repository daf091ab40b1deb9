"""The real ComfyUI against the official code and diffusers: transformer, sampler, prompts, VAE."""

from __future__ import annotations

import pytest
import torch
from golden import TRANSFORMER_SIZES as SIZES
from golden import network_input, relative_error, without_second_layer
from small import make_transformer_state

from fantasyid_core import load_adapter
from fantasyid_core.config import TransformerConfig
from fantasyid_core.files.keymaps import host_name
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.sampling import OfficialNoise


@pytest.fixture(scope="module")
def comfy_host(host):
    """This project's ComfyUI side, in a process that runs ComfyUI."""
    from fantasyid_core.host import comfy

    return comfy


@pytest.fixture(scope="module")
def model(comfy_host, reference):
    return comfy_host.load_model(reference, config=SIZES, dtype=torch.float32)


def velocity(patched, x, context, timestep):
    """One call of the host's model; x [B, C + image channels, T, H, W] -> v, undoing the host's conversion."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([patched, *patched.get_nested_additional_models()])
    patched.pre_run()
    sigma = patched.get_model_object("model_sampling").sigmas[timestep].double()
    clean = patched.model.apply_model(
        x[:, :16], sigma.float().expand(x.shape[0]), c_concat=x[:, 16:], c_crossattn=context,
        transformer_options={"wrappers": patched.wrappers},
    )  # fmt: skip
    patched.cleanup()
    scale = (sigma**2 + 1).sqrt()
    return (x[:, :16].double() / scale - clean.double()) * scale / sigma


def reference_velocity(patched):
    x = network_input("x", (2, 3, 32, 8, 12)).transpose(1, 2)
    with torch.inference_mode():
        return velocity(patched, x, network_input("context", (2, 16, 64)), 500).transpose(1, 2)


def test_injection_after_every_block_is_the_official_one(
    comfy_host, model, reference_adapter, reference_tokens, golden
):
    patched = comfy_host.attach(model, reference_adapter, reference_tokens)
    assert relative_error(reference_velocity(patched), golden["transformer.interval1"]) <= 1e-5


def test_injection_after_every_second_block_is_the_official_one(
    comfy_host, reference, reference_topology, model, reference_tokens, golden
):
    adapter = load_adapter(without_second_layer(reference), reference_topology)
    assert adapter.config.interval == 2
    patched = comfy_host.attach(model, adapter, reference_tokens)
    assert relative_error(reference_velocity(patched), golden["transformer.interval2"]) <= 1e-5


def golden_conditioning():
    image = network_input("image_latents", (1, 1, 16, 8, 12)).transpose(1, 2) / 0.7  # the host scales it once
    context = network_input("negative_positive", (2, 16, 64))
    return [[[part, {"concat_latent_image": image}]] for part in (context[1:], context[:1])]


def test_five_ddim_steps_are_the_official_ones(comfy_host, model, reference_adapter, reference_tokens, golden):
    patched = comfy_host.attach(model, reference_adapter, reference_tokens)
    noise = network_input("init_latents", (1, 3, 16, 8, 12)).transpose(1, 2)
    with torch.inference_mode():
        latents = comfy_host.sample(patched, noise, *golden_conditioning(), steps=5, cfg=6.0, solver="ddim")
    assert relative_error(latents.transpose(1, 2) * 0.7, golden["ddim5.latents"]) <= 1e-5


def test_models_of_the_hosts_own_loader_are_corrected(
    comfy_host, reference, reference_adapter, reference_tokens, golden
):
    import comfy.sd

    # The host builds its table for 49 frames of 720x480; the small reference is put in place afterwards.
    state = {host_name(key): value for key, value in reference.items() if host_name(key)}
    table = state["patch_embed.pos_embedding"]
    state["patch_embed.pos_embedding"] = torch.zeros(1, 226 + 17550, 3072)
    stock = comfy.sd.load_diffusion_model_state_dict(state, model_options={"dtype": torch.float32})
    embed = stock.model.diffusion_model.patch_embed
    embed.pos_embedding = table
    for name, value in SIZES.items():
        setattr(embed, name, value)
    patched = comfy_host.attach(stock, reference_adapter, reference_tokens)
    assert relative_error(reference_velocity(patched), golden["transformer.interval1"]) <= 1e-5
    assert not embed._forward_hooks


@pytest.fixture(scope="module")
def small(comfy_host):
    """A small transformer on both hosts."""
    sizes = TransformerConfig.tiny(max_text_seq_length=16)
    state = make_transformer_state(sizes)
    config = {name: getattr(sizes, name) for name in TransformerConfig.__dataclass_fields__}
    return comfy_host.load_model(state, config=config), diffusers_host.load_transformer(state, config=config)


@pytest.mark.parametrize("solver", ["dpm", "ddim"])
def test_fifty_steps_equal_the_official_loop_with_diffusers_scheduler(comfy_host, small, solver):
    """Same noise, 50 steps, guidance 6: the host's model and our sampler against diffusers' model and scheduler."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    model, transformer = small
    generator = torch.Generator().manual_seed(3)
    noise, image = (torch.randn(shape, generator=generator) for shape in ((1, 3, 16, 8, 12), (1, 1, 16, 8, 12)))
    context = torch.randn(2, 16, 64, generator=generator)
    conditioning = [[[part, {"concat_latent_image": image.transpose(1, 2)}]] for part in (context[1:], context[:1])]
    with torch.inference_mode():
        ours = comfy_host.sample(model, noise.transpose(1, 2), *conditioning, steps=50, solver=solver, seed=4)

    factor = model.model.latent_format.scale_factor
    padded = torch.cat([image * factor, torch.zeros(1, 2, 16, 8, 12)], dim=1)
    rotary = diffusers_host.rotary_table(diffusers_host.transformer_sizes(transformer), "cpu")
    kind = CogVideoXDPMScheduler if solver == "dpm" else CogVideoXDDIMScheduler
    scheduler = kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True,
                     timestep_spacing="trailing", prediction_type="v_prediction", snr_shift_scale=1.0)  # fmt: skip
    scheduler.set_timesteps(50)
    x, previous, draws = noise, None, torch.Generator().manual_seed(4)
    with torch.inference_mode():
        for i, t in enumerate(scheduler.timesteps):
            pair = torch.cat([torch.cat([x, padded], dim=2)] * 2)
            v = transformer(hidden_states=pair, encoder_hidden_states=context, timestep=t.expand(2),
                            image_rotary_emb=rotary, return_dict=False)[0]  # fmt: skip
            v = v[:1] + 6 * (v[1:] - v[:1])
            if solver == "ddim":
                x = scheduler.step(v, t, x, return_dict=False)[0]
            else:
                before = scheduler.timesteps[i - 1] if i else None
                x, previous = scheduler.step(v, previous, t, before, x, generator=draws, return_dict=False)
    assert relative_error(ours.transpose(1, 2) * factor, x) <= 1e-5


def test_equal_seeds_give_equal_noise_on_both_hosts(comfy_host):
    official = OfficialNoise((1, 3, 16, 8, 12), torch.Generator().manual_seed(9)).initial()
    assert torch.equal(comfy_host.initial_noise((1, 16, 3, 8, 12), 9).transpose(1, 2), official)


def test_without_noise_it_is_drawn_from_the_seed(comfy_host, small):
    model, _ = small
    conditioning = [[[torch.ones(1, 16, 64), {}]]] * 2
    with torch.inference_mode():
        first = comfy_host.sample(model, None, *conditioning, steps=2, seed=5)
        assert torch.equal(first, comfy_host.sample(model, None, *conditioning, steps=2, seed=5))
        assert not torch.equal(first, comfy_host.sample(model, None, *conditioning, steps=2, seed=6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": torch.zeros(1, 16, 4, 8, 12)}, r"Expected latents \[B, 16, 3, 8, 12\] \(9 frames of 96x64\)"),
        ({"noise": torch.zeros(1, 16, 3, 8, 10)}, "this one size"),
        ({"positive": [[torch.zeros(1, 17, 64), {}]]}, "Expected prompts of 16 tokens, got 17"),
        ({"negative": [[torch.zeros(1, 16, 65), {}]]}, "embeddings of width 64, got 65"),
        ({"solver": "euler"}, "dpm, ddim, got 'euler'"),
        ({"steps": 0}, "1 to 1000 sampling steps, got 0"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(comfy_host, small, change, message):
    conditioning = [[torch.ones(1, 16, 64), {}]]
    arguments = {"noise": torch.zeros(1, 16, 3, 8, 12), "positive": conditioning, "negative": conditioning, **change}
    with pytest.raises(ValueError, match=message):
        comfy_host.sample(small[0], **arguments)


def test_a_replaced_noise_schedule_is_refused(comfy_host, small):
    import comfy.model_sampling

    class Replaced(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
        pass

    patched = small[0].clone()
    patched.add_object_patch("model_sampling", Replaced(small[0].model.model_config, zsnr=True))
    with pytest.raises(ValueError, match="noise schedule was replaced"):
        comfy_host.sample(patched, None, [[torch.ones(1, 16, 64), {}]], [[torch.ones(1, 16, 64), {}]], steps=2)


def test_another_model_family_is_refused(comfy_host, small, tiny_adapter):
    class Other:
        class model:
            diffusion_model = torch.nn.Linear(2, 2)

        def clone(self):
            return self

    with pytest.raises(ValueError, match="Expected a CogVideoX-5B-I2V 1.0 model .* got Linear"):
        comfy_host.attach(Other(), tiny_adapter, torch.zeros(1, 8, 32))


@pytest.fixture(scope="module")
def vaes(host, tmp_path_factory):
    """The same small seeded VAE in diffusers and in the host."""
    import functools

    import comfy.ldm.cogvideo.vae
    import comfy.sd
    from diffusers import AutoencoderKLCogVideoX

    channels = (32, 32, 32, 32)
    torch.manual_seed(0)
    theirs = AutoencoderKLCogVideoX(
        block_out_channels=channels, down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4, layers_per_block=1, latent_channels=16,
    ).eval()  # fmt: skip
    original = comfy.ldm.cogvideo.vae.AutoencoderKLCogVideoX
    comfy.ldm.cogvideo.vae.AutoencoderKLCogVideoX = functools.partial(
        original, block_out_channels=channels, layers_per_block=1
    )
    try:
        ours = comfy.sd.VAE(sd=theirs.state_dict())
    finally:
        comfy.ldm.cogvideo.vae.AutoencoderKLCogVideoX = original
    return ours, theirs


def test_decoding_is_diffusers_to_the_bit(comfy_host, vaes):
    ours, theirs = vaes
    latents = torch.randn(1, 16, 5, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs.decode(latents).sample  # [1, 3, 17, 64, 96]
        frames = comfy_host.decode_video(ours, latents)
    assert frames.shape == (17, 64, 96, 3)
    assert torch.equal(frames, ((expected + 1) / 2).clamp(0, 1)[0].permute(1, 2, 3, 0))


def test_tiled_decoding_is_close_and_covers_everything(comfy_host, vaes):
    latents = torch.randn(1, 16, 2, 20, 28, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = comfy_host.decode_video(vaes[0], latents)
        tiled = comfy_host.decode_video(vaes[0], latents, tile=128)
    assert tiled.shape == whole.shape
    # Not equal: the decoder normalises over the whole picture.
    assert relative_error(tiled - 0.5, whole - 0.5) < 0.35
    assert torch.corrcoef(torch.stack([tiled.flatten(), whole.flatten()]))[0, 1] > 0.9


def test_one_tile_is_the_whole_picture(comfy_host, vaes):
    latents = torch.randn(1, 16, 2, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = comfy_host.decode_video(vaes[0], latents)
        assert torch.equal(comfy_host.decode_video(vaes[0], latents, tile=256), whole)


def test_the_crop_is_stretched_and_encoded_as_officially(comfy_host, vaes):
    from diffusers.video_processor import VideoProcessor
    from PIL import Image

    ours, theirs = vaes
    picture = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8).numpy()
    sizes = TransformerConfig.tiny()
    pixels = VideoProcessor(vae_scale_factor=8).preprocess(Image.fromarray(picture), height=64, width=96)
    with torch.inference_mode():
        expected = theirs.encode(pixels.unsqueeze(2)).latent_dist.mode()
        latent = comfy_host.encode_crop(ours, torch.from_numpy(picture).float().unsqueeze(0) / 255, sizes)
    assert latent.shape == (1, 16, 1, 8, 12)
    assert relative_error(latent, expected) <= 1e-5


def test_the_preview_shows_the_colours(comfy_host, vaes):
    from fantasyid_core.host.comfy.preview import preview_image

    with torch.inference_mode():
        to_rgb = comfy_host.preview_map(vaes[0])
        grey = vaes[0].encode(torch.full((1, 64, 96, 3), 0.5))
        shown = preview_image(grey, to_rgb)
    assert to_rgb.shape == (17, 3) and torch.isfinite(to_rgb).all()
    assert comfy_host.preview_map(vaes[0]) is to_rgb  # fitted once
    assert shown.shape == (8, 12, 3) and 0 <= shown.min() <= shown.max() <= 1


@pytest.mark.parametrize("latents", [torch.zeros(1, 16, 8, 12), torch.zeros(1, 4, 2, 8, 12)])
def test_other_latents_are_refused(comfy_host, vaes, latents):
    with pytest.raises(ValueError, match=r"Expected video latents \[B, 16, T, h, w\]"):
        comfy_host.decode_video(vaes[0], latents)


def test_small_tiles_and_other_vaes_are_refused(comfy_host, vaes):
    with pytest.raises(ValueError, match="at least 128 pixels, got 64"):
        comfy_host.decode_video(vaes[0], torch.zeros(1, 16, 2, 8, 12), tile=64)
    with pytest.raises(ValueError, match="Expected the CogVideoX VAE, got Linear"):
        comfy_host.preview_map(type("V", (), {"first_stage_model": torch.nn.Linear(1, 1)}))


@pytest.fixture(scope="module")
def text_encoders(host):
    """The same small seeded T5 in transformers and behind the host's CLIP object."""
    import comfy.sd
    import comfy.supported_models_base
    from comfy.text_encoders import cogvideo
    from transformers import T5Config, T5EncoderModel

    settings = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 32128}
    torch.manual_seed(0)
    theirs = T5EncoderModel(T5Config(**settings, feed_forward_proj="gated-gelu", dense_act_fn="gelu_new")).eval()
    # The host tells T5-XXL by its size, so the CLIP object of type cogvideox is put together by hand.
    target = comfy.supported_models_base.ClipTarget(cogvideo.CogVideoXTokenizer, cogvideo.cogvideo_te())
    options = {"t5xxl_model_config": settings, "dtype": torch.float32}
    return comfy.sd.CLIP(target, state_dict=[theirs.state_dict()], model_options=options), theirs


PROMPTS = [
    "A woman walks through the rain, smiling.",
    "",
    "(a (very:1.4) red) coat, embedding:nothing \\(literal\\) [x] {y}",
    "line\nbreak   and   spaces — «unicode» 你好",
    "word " * 400,
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=["plain", "empty", "parentheses", "spaces", "long"])
def test_prompts_are_encoded_as_officially(comfy_host, text_encoders, prompt):
    clip, theirs = text_encoders
    ids = clip.tokenizer.clip_t5xxl.tokenizer(
        prompt, padding="max_length", max_length=226, truncation=True, add_special_tokens=True, return_tensors="pt"
    ).input_ids
    with torch.inference_mode():
        expected = theirs(ids)[0]
        ((embedding, _),) = comfy_host.encode_prompt(clip, prompt)
    assert embedding.shape == (1, 226, 64)
    assert relative_error(embedding, expected) <= 1e-5


def test_the_cut_part_of_a_long_prompt_is_said(comfy_host, text_encoders, caplog):
    comfy_host.encode_prompt(text_encoders[0], "word " * 300 + "unreachable ending")
    assert "longer than 225 tokens" in caplog.text and "unreachable ending" in caplog.text


def test_other_text_encoders_are_refused(comfy_host):
    with pytest.raises(ValueError, match="Expected the T5-XXL text encoder of CogVideoX"):
        comfy_host.encode_prompt(type("C", (), {"tokenizer": object()}), "x")
