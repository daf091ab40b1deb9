"""Inputs that fit by their type and mean nothing, cancelled work, and FantasyID-Tiny with the host's own nodes."""

from __future__ import annotations

import pytest
import torch
from comfy_process import Interrupted, NodeError
from tiny_video import node, release_video, video

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


@pytest.fixture(scope="module", autouse=True)
def extras(host, pack, comfyui):
    for name in ("nodes_easycache", "nodes_model_advanced", "nodes_mask"):
        path = comfyui / "comfy_extras" / f"{name}.py"
        host._load(path, "comfy_extras")


def said(host) -> list[str]:
    """The texts that the last run has put on nodes."""
    return [data.decode("utf-8", "replace") for _, data in host.events if isinstance(data, bytes)]


# Masks


@pytest.mark.parametrize("value, size, empty", [(0.0, 64, True), (0.0, 512, True), (1.0, 64, False)])
def test_an_empty_mask_is_said_on_the_node(host, value, size, empty):
    prompt = video(1)
    prompt["k"] = node("SolidMask", value=value, width=size, height=size)
    prompt["a"]["inputs"]["mask"] = ["k", 0]
    host.run(prompt, cached=True)
    assert any("mask is empty" in text for text in said(host)) == empty


def test_an_empty_or_broken_mask_beside_a_host():
    from fantasyid_core.config import TransformerConfig
    from fantasyid_core.identity.steering.control import Control
    from fantasyid_core.identity.steering.regions import token_mask

    assert "connect another mask, or none" in Control(mask=torch.zeros(3, 8, 8)).notes()[0]
    assert Control(mask=torch.eye(8)).notes() == () and Control().notes() == ()
    broken = torch.ones(4, 4)
    broken[0, 0] = float("nan")
    with pytest.raises(ValueError, match="got 1 NaN or infinite ones of 16"):
        token_mask(broken, TransformerConfig.tiny())


# FantasyID-Tiny with the host's own nodes


@pytest.mark.parametrize("kind, threshold", [("EasyCache", 0.02), ("LazyCache", 0.2)])
def test_the_hosts_caches_take_the_small_model(host, decoded, kind, threshold):
    plain, cached, other = video(8), video(8), video(8)
    settings = {"reuse_threshold": threshold, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}
    cached["x"] = node(kind, model=["a", 0], **settings)
    cached["s"]["inputs"]["model"] = ["x", 0]
    other["s"]["inputs"]["seed"] = 1
    (ours,), (theirs,), (noise,) = (decoded(each, cached=True) for each in (plain, cached, other))
    reused, seeds = (ours - theirs).abs().mean(), (ours - noise).abs().mean()
    assert 0 < reused < 0.6 * seeds  # something is left out, and less changes than by another noise


def ksampler(prompt, model):
    inputs = {"positive": ["c", 0], "negative": ["c", 1], "latent_image": ["c", 2], "seed": 0, "steps": 4, "cfg": 3.0}
    prompt["s"] = node("KSampler", model=[model, 0], **inputs, sampler_name="dpmpp_2m", scheduler="simple", denoise=1.0)
    return prompt


def test_the_hosts_sampler_says_what_it_lacks_and_works_with_it(host, decoded):
    decoded(ksampler(video(), "a"), cached=True)
    assert any(
        "FantasyID Sampler, or put ModelSamplingDiscrete (v_prediction, with zsnr)" in each for each in said(host)
    )
    prompt = ksampler(video(), "y")
    prompt["y"] = node("ModelSamplingDiscrete", model=["a", 0], sampling="v_prediction", zsnr=True)
    (frames,) = decoded(prompt, cached=True)
    assert not any("noise level" in each for each in said(host))
    assert frames.shape == (9, 64, 64, 3) and frames.std() > 0.05


# Another model's parts


@pytest.fixture
def release(small_host_models):
    return release_video()


def test_the_release_itself_runs(host, release):
    host.run(release)


@pytest.mark.parametrize("change, words", [
    (("c", "vae", ["tiny", 3]), "VideoConditioning: Expected the VAE of the connected model, with 16 .* with 32"),
    (("d", "vae", ["tiny", 3]), "DecodeVideo: Expected video latents .* the VAE that belongs to its model"),
    (("s", "positive", ["t", 0]), "Sampler: Expected the positive prompt from FantasyID Video Conditioning"),
    (("s", "negative", ["n", 0]), "Sampler: Expected the negative prompt from FantasyID Video Conditioning"),
    (("t", "clip", ["tiny", 2]), "Sampler: Expected prompts? (of 226 tokens|embeddings of width)"),
])  # fmt: skip
def test_parts_of_another_model_and_prompts_without_a_picture_are_refused(host, release, change, words):
    name, input_name, source = change
    release[name]["inputs"][input_name] = source
    with pytest.raises(NodeError, match=words):
        host.run(release)


def test_a_host_sampler_says_that_the_first_picture_is_missing(host, release):
    prompt = ksampler(release, "y")
    prompt["y"] = node("ModelSamplingDiscrete", model=["a", 0], sampling="v_prediction", zsnr=True)
    prompt["s"]["inputs"].update(positive=["t", 0], steps=1)
    host.run(prompt)
    assert any("hold no first picture" in each and "(positive)" in each for each in said(host))


def test_a_search_looks_at_its_vae_before_it_samples(host, pack):
    best = __import__(pack.__name__ + ".fantasyid_core.host.comfy.best", fromlist=["best_video"])
    assert best.consecutive_seeds(2**64 - 2, 4) == [2**64 - 2, 2**64 - 1, 0, 1]
    for seed in best.consecutive_seeds(2**64 - 1, 2):
        torch.Generator().manual_seed(seed)


# Cancel


def test_cropping_many_photos_stops_when_it_is_cancelled(host, monkeypatch):
    """The cancel comes with the second photo; no further photo is looked at."""
    import comfy.model_management

    prompt = {
        "p": node("FantasyID_SamplePerson", seed=1_000_000_000, picture=0),
        "b": node("RepeatImageBatch", image=["p", 2], amount=40),
        "f": node(
            "FantasyID_CropFace", image=["b", 0], detector="mediapipe", which_face="largest", number=0, padding=0.0
        ),
    }
    seen = []

    def stop(value, total, preview):
        seen.append((value, total))
        if total == 40 and value == 2:
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(host, "on_progress", stop)
    with pytest.raises(Interrupted, match="node f"):
        host.run(prompt)
    assert [each for each in seen if each[1] == 40] == [(1, 40), (2, 40)]


def test_a_network_asks_before_each_of_its_layers(host):
    import comfy.model_management

    from fantasyid_core.host.comfy.listening import module_listening

    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    host.events.clear()
    with module_listening(layers, layers, 3), torch.no_grad():
        layers(torch.zeros(1, 2))
        comfy.model_management.interrupt_current_processing()
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            layers(torch.zeros(1, 2))
    assert ("progress", {"value": 1, "max": 3, "preview": None}) in host.events
    assert not any(layer._forward_pre_hooks or layer._forward_hooks for layer in layers.modules())


def test_decoding_shows_how_far_it_is(host, release):
    host.run(release)
    frames = 3  # latent frames of the small release: one batch of the host's decoder
    assert [data["value"] for event, data in host.events if event == "progress"][-1] == max(frames // 2, 1)


# Names


def test_a_workflow_from_windows_finds_its_lora(host, pack):
    """The file is found, and is said to be none."""
    folder = host.models_dir / "loras" / "style"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.safetensors").write_bytes(b"x")
    prompt = video(1)
    prompt["l"] = node("FantasyID_LoadLoRA", model=["m", 0], lora="style\\x.safetensors", strength=1.0)
    prompt["a"]["inputs"]["model"] = ["l", 0]
    with pytest.raises(NodeError, match="FantasyID_LoadLoRA: .*x.safetensors"):
        host.run(prompt)
    (folder / "x.safetensors").unlink()


def test_a_name_that_is_too_long_is_refused(host, pack):
    prompt = {"p": video()["p"]}
    prompt["f"] = node("FantasyID_SaveShape", shape=["p", 1], filename_prefix="a" * 300, format=".ply")
    with pytest.raises(NodeError, match="Expected a file name of at most 244 bytes .* got 300"):
        host.run(prompt)
