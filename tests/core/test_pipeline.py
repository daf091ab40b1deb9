"""The whole path on the small model folder, against diffusers' own image-to-video pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fantasyid_core import pipeline
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face.align import crop_face
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.face.picture import load_picture
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.host.diffusers import others as diffusers_models
from fantasyid_core.pipeline import Inputs, Run, Settings, generate, make_latents, prompt_ids, run
from fantasyid_core.request import PersonRequest
from fantasyid_core.shape import save_shape, synthetic_head
from fantasyid_core.tools.random_model import write_random_model

PROMPT = "a person (smiling:1.3) walks through a forest"
NEGATIVE = "blurred"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    rows, columns = np.mgrid[0:120, 0:160]
    picture = np.stack([rows * 2, columns, (rows + columns) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(folder / "face.png")
    save_shape(synthetic_head(3)[0], folder / "face.ply")
    # The picture shows no face: the centre square is one without being looked for.
    person = PersonRequest(folder / "face.png", folder / "face.ply", FaceRequest("none"))
    return Inputs(write_random_model(folder / "model"), person)


def settings(**changes) -> Settings:
    return Settings(**{"prompt": PROMPT, "negative": NEGATIVE, "steps": 4, "seed": 7, "device": "cpu", **changes})


def with_person(inputs: Inputs, **changes) -> Inputs:
    return inputs._replace(person=replace(inputs.person, **changes))


def relative(a, b) -> float:
    return float((a - b).norm() / b.norm())


def official_pipeline(folder, scheduler):
    import diffusers

    return diffusers.CogVideoXImageToVideoPipeline(
        tokenizer=diffusers_models.load_tokenizer(folder),
        text_encoder=diffusers_models.load_text_encoder(folder),
        vae=diffusers_models.load_vae(folder),
        transformer=diffusers_host.load_transformer(folder),
        scheduler=getattr(diffusers, scheduler).from_pretrained(folder / "scheduler"),
    )


@pytest.mark.parametrize(
    ("solver", "scheduler", "cfg"),
    [
        ("dpm", "CogVideoXDPMScheduler", 6.0),
        ("ddim", "CogVideoXDDIMScheduler", 6.0),
        ("dpm", "CogVideoXDPMScheduler", 1.0),
    ],
)
def test_without_identity_it_is_the_official_pipeline(inputs, solver, scheduler, cfg):
    official = official_pipeline(inputs.model, scheduler)
    arguments = dict(
        image=Image.fromarray(crop_face(load_picture(inputs.person.photos)).crop),
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        num_frames=9,
        num_inference_steps=5,
        guidance_scale=cfg,
    )
    expected = official(**arguments, generator=torch.Generator().manual_seed(7), output_type="latent").frames
    run = Run(inputs, settings(steps=5, strength=0.0, solver=solver, cfg=cfg))
    latents = make_latents(run)
    assert relative(latents, expected) <= 1e-5
    video = official(**arguments, generator=torch.Generator().manual_seed(7), output_type="np").frames[0]
    frames = pipeline.decode(run, latents)
    assert frames.shape == (9, 64, 96, 3) and frames.dtype == np.uint8
    assert np.abs(frames - video * 255).max() <= 0.51  # half a level is the rounding to 8 bits


def test_identity_changes_the_video_and_equal_runs_are_equal(inputs):
    first = generate(inputs, settings())
    assert np.array_equal(first, generate(inputs, settings()))
    assert first.std() > 5  # there is something to see
    without = generate(inputs, settings(strength=0.0))
    assert np.abs(first.astype(float) - without).max() > 1
    assert not np.array_equal(first, generate(inputs, settings(seed=8)))
    assert not np.array_equal(first, generate(inputs, settings(prompt="a cat")))


def test_picture_and_shape_reach_the_video(inputs):
    base = make_latents(Run(inputs, settings(steps=1)))
    vertices, _ = synthetic_head(3)
    deeper = make_latents(Run(with_person(inputs, shape=vertices * torch.tensor([1, 1, 1.5])), settings(steps=1)))
    assert relative(deeper, base) > 1e-6
    picture = load_picture(inputs.person.photos)[:, ::-1].copy()
    assert relative(make_latents(Run(with_person(inputs, photos=picture), settings(steps=1))), base) > 1e-3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_no_hooks(inputs, monkeypatch, error):
    transformer = diffusers_host.load_transformer(inputs.model)
    monkeypatch.setattr(diffusers_host, "load_transformer", lambda *_, **__: transformer)
    hooked = []

    def stop(stage, done, total):
        if stage == "sampling" and done == 2:
            hooked.append(sum(len(block._forward_hooks) for block in transformer.transformer_blocks))
            raise error("stop")

    with pytest.raises(error):
        generate(inputs, settings(), stop)
    assert hooked == [2]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_progress_names_every_stage_when_it_begins(inputs):
    calls = []
    generate(inputs, settings(steps=2), lambda *call: calls.append(call))
    stages = ["adapter", "picture", "3D face", "identity", "prompt", "image latent", "transformer"]
    expected = [call for stage in stages for call in ((stage, 0, 1), (stage, 1, 1))]
    expected += [("sampling", 0, 2), ("sampling", 1, 2), ("sampling", 2, 2), ("frames", 0, 1), ("frames", 1, 1)]
    assert calls == expected


def test_encoding_networks_are_gone_while_sampling(inputs):
    import gc

    from transformers import T5EncoderModel

    from fantasyid_core.face.encoder import FaceEncoder
    from fantasyid_core.identity.network.release import ReleaseEncoder

    def encoders():
        gc.collect()
        kinds = (T5EncoderModel, FaceEncoder, ReleaseEncoder)
        return {id(x): type(x).__name__ for x in gc.get_objects() if type(x) in kinds}

    def look(stage, done, total):
        if stage == "sampling" and done == 1:
            alive.update(encoders())

    alive: dict[int, str] = {}
    others = encoders()  # other tests keep some of their own
    make_latents(Run(inputs, settings(steps=1), look))
    assert alive.keys() <= others.keys(), set(alive.values())


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_changes_nothing(inputs, offload):
    expected = generate(inputs, settings(steps=2))
    run = Run(inputs, settings(steps=2))
    run.offload = offload  # a run on the CPU has none of its own; the moves are the same with one device
    assert np.array_equal(pipeline.decode(run, make_latents(run)), expected)


def test_tiling_decodes_the_same_size(inputs):
    latents = torch.randn(1, 3, 16, 8, 12, generator=torch.Generator().manual_seed(0))
    whole = pipeline.decode(Run(inputs, settings()), latents)
    tiled = pipeline.decode(Run(inputs, settings(tiling=True)), latents)
    assert tiled.shape == whole.shape and not np.array_equal(tiled, whole)


def test_bfloat16_stays_near_float32(inputs):
    whole = make_latents(Run(inputs, settings(solver="ddim", steps=2)))
    half = make_latents(Run(inputs, settings(solver="ddim", steps=2, dtype=torch.bfloat16)))
    assert half.dtype == torch.float32
    assert 1e-5 < relative(half, whole) < 0.1


def test_a_long_prompt_is_cut_with_a_warning(inputs):
    tokenizer = diffusers_models.load_tokenizer(inputs.model)
    with pytest.warns(UserWarning, match="12 tokens, the model reads 8.*left out: hijk"):
        ids = prompt_ids(tokenizer, ["abc", "abcdefghijk"], 8)
    assert ids.shape == (2, 8)
    assert ids[1, -1] == tokenizer.eos_token_id and ids[0, 4:].tolist() == [0] * 4


def test_the_identity_networks_in_their_full_size_make_a_video(reference_topology, golden, tmp_path):
    sizes = AdapterConfig(injected_layers=2, dit_width=192, vertex_counts=reference_topology.vertex_counts)
    folder = write_random_model(tmp_path / "model", 0, None, sizes, reference_topology)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 180, 3), np.uint8)).save(photo)
    samples = Inputs(folder, PersonRequest(photo, golden["vertices"][0], FaceRequest("none")))
    frames = generate(samples, settings(steps=1))
    assert frames.shape == (9, 64, 96, 3) and frames.std() > 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": float("nan")}, "strength must be a finite number"),
        ({"steps": 0}, "1 to 1000 sampling steps, got 0"),
        ({"cfg": float("inf")}, "Guidance must be a finite number"),
        ({"cfg": 0.5}, "at least 1 .*got 0.5"),
        ({"solver": "euler"}, "solver among dpm, ddim, got 'euler'"),
        ({"offload": "disk"}, "offload mode among none, model, sequential"),
        ({"dtype": torch.int8}, "floating-point dtype"),
        ({"seed": -1}, "seed of 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_an_overflow_in_half_precision_is_an_error(inputs, monkeypatch):
    vae = diffusers_models.load_vae(inputs.model)
    vae.decoder.conv_out.conv.bias.data.fill_(float("nan"))
    monkeypatch.setattr(diffusers_models, "load_vae", lambda *_: vae)
    with pytest.raises(RuntimeError, match="The VAE made NaN.*choose bf16 or fp32"):
        generate(inputs, settings(steps=1))


def test_a_text_encoder_of_another_width_is_refused(inputs):
    sizes = TransformerConfig.tiny(text_embed_dim=4096)
    with pytest.raises(ValueError, match="226 text tokens of width 4096, text_encoder/ gives 226 of width 64"):
        pipeline._check_text(sizes, torch.zeros(2, 226, 64))


def test_8_bits_are_stored_before_the_card_gets_the_weights(inputs, monkeypatch):
    """Otherwise the card would hold the wide weights beside the narrow ones."""
    place, seen = run.on_device, []

    def spy(network, *arguments, **options):
        if hasattr(network, "transformer_blocks"):
            seen.append(network.transformer_blocks[0].attn1.to_q.weight.dtype)
        return place(network, *arguments, **options)

    monkeypatch.setattr(run, "on_device", spy)
    video = Run(inputs, settings(steps=1, storage="fp8"))
    make_latents(video)
    assert seen == [torch.float8_e4m3fn]
    assert video.transformer.transformer_blocks[0].attn1.to_q.weight.dtype == torch.float32  # as before
