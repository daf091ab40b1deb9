"""Videos longer than the model's own, and continued ones: the identity in every window, and the beginning held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jobfolder import write_people

from fantasyid_core import pipeline
from fantasyid_core.config import TransformerConfig
from fantasyid_core.host.diffusers.others import as_pixels
from fantasyid_core.machine.networks import ADAPTER
from fantasyid_core.pipeline import Inputs, Run, Settings, decode, generate, make_latents
from fantasyid_core.tools.random_model import write_random_model


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    sizes = TransformerConfig.tiny(sample_width=4, sample_height=4, sample_frames=5)
    return Inputs(write_random_model(folder / "model", 0, sizes), write_people(folder, 1)[0])


def test_a_longer_video_is_sampled_in_windows_that_each_show_the_person(inputs, monkeypatch):
    settings = Settings("she smiles", "", 3, 2, device="cpu", frames=13)  # 4 latent frames in windows of 2
    calls = []
    original = pipeline.make_denoiser

    def watched(transformer, *rest):
        denoise = original(transformer, *rest)

        def call(x, step):
            hooked = sum(bool(block._forward_hooks) for block in transformer.transformer_blocks)
            calls.append((x.shape[1], hooked))
            return denoise(x, step)

        return call

    monkeypatch.setattr(pipeline, "make_denoiser", watched)
    frames = generate(inputs, settings)
    assert frames.shape == (16, 32, 32, 3)  # the VAE decodes an even number of latent frames so
    assert calls == [(2, 2)] * (3 * 2)  # three windows in each step, the identity in each
    assert np.array_equal(frames, generate(inputs, settings))
    without = generate(inputs, replace(settings, strength=0.0))
    changed = np.abs(frames.astype(float) - without).reshape(4, -1).max(axis=1)
    assert (changed > 0).all()  # in every part of the video
    own = make_latents(Run(inputs, replace(settings, frames=None)))
    assert torch.equal(make_latents(Run(inputs, replace(settings, frames=5))), own)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A model of 33 frames, which holds 5 of them in a continuation, and a video of it."""
    folder = tmp_path_factory.mktemp("longer")
    sizes = TransformerConfig.tiny(sample_width=4, sample_height=4, sample_frames=33)
    inputs = Inputs(write_random_model(folder / "model", 0, sizes), write_people(folder, 1)[0])
    settings = Settings("she smiles", "", 3, 2, device="cpu")
    return inputs, settings, generate(inputs, settings)


def test_a_continuation_begins_with_the_last_frames_and_goes_on(longer):
    inputs, settings, before = longer
    run = Run(inputs._replace(after=before), settings)
    latents = make_latents(run)
    with torch.inference_mode():
        begin = run.vae.encode(as_pixels(before[-5:])).latent_dist.mean * run.vae.config.scaling_factor
    assert torch.allclose(latents[:, :2], begin.transpose(1, 2), atol=1e-4)
    frames = decode(run, latents)
    assert frames.shape == (33 + 28, 32, 32, 3) and np.array_equal(frames[:33], before)
    again = generate(inputs, settings)
    assert not np.array_equal(frames[33:], again[5:])  # the same seed goes on from another beginning


def test_the_identity_is_in_a_continuation_too(longer):
    inputs, settings, before = longer
    inputs = inputs._replace(after=before)
    shown, without = (make_latents(Run(inputs, replace(settings, strength=strength))) for strength in (1.0, 0.0))
    assert torch.equal(shown[:, :2], without[:, :2])
    assert all(not torch.equal(shown[:, frame], without[:, frame]) for frame in range(2, 9))


def test_a_continuation_may_be_longer_than_one_window(longer):
    inputs, settings, before = longer
    frames = generate(inputs._replace(after=before), replace(settings, frames=49))
    assert len(frames) == 33 + 49 - 5


def test_what_cannot_be_continued_stops_before_anything_is_loaded(longer, tmp_path):
    inputs, settings, before = longer
    for after, error, message in (
        (before[:4], ValueError, "at least 5 frames to continue, got 4"),
        (before[:, :16], ValueError, "of 32 x 32 pixels, the model's own size, to continue, got 32 x 16"),
        (tmp_path / "absent.mp4", FileNotFoundError, "There is no video at .*absent.mp4"),
    ):
        run = Run(inputs._replace(after=after), settings)
        with pytest.raises(error, match=message):
            make_latents(run)
        assert ADAPTER not in run.networks


def test_windows_with_a_cache_or_an_odd_length_are_refused(inputs):
    with pytest.raises(ValueError, match="would mix up the windows"):
        Settings("a", frames=97, cache="balanced")
    with pytest.raises(ValueError, match="Expected 5 frames, the model's own length, or more by 8 each.*got 12"):
        generate(inputs, Settings("a", device="cpu", frames=12))
