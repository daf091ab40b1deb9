"""Videos longer than the model's own: every frame covered, every window a whole video with the identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jobfolder import write_model, write_people

from fantasyid_core import pipeline
from fantasyid_core.host.diffusers.windows import latent_frames_for, window_starts, window_weights, windowed
from fantasyid_core.pipeline import Inputs, Run, Settings, generate, make_latents
from fantasyid_core.sampling import make_steps


@pytest.mark.parametrize(("frames", "latents"), [(49, 13), (97, 25), (145, 37), (53, 14)])
def test_windows_cover_every_frame_with_overlap(frames, latents):
    assert latent_frames_for(frames, 13) == latents
    starts = window_starts(latents, 13)
    assert starts[0] == 0 and starts[-1] + 13 == latents
    assert all(0 < after - before <= 7 for before, after in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("frames", [1, 45, 50, 96])
def test_lengths_that_windows_cannot_cover_are_refused(frames):
    with pytest.raises(ValueError, match=r"Expected 49 frames, .* got \d+. The nearest is (49|97)"):
        latent_frames_for(frames, 13)


def test_blending_keeps_what_all_windows_agree_on():
    seen = []

    def denoise(x, step):
        seen.append(x.shape[1])
        return 2 * x

    x = torch.randn(1, 9, 2, 3, 3)
    step = make_steps(1)[0]
    assert torch.allclose(windowed(denoise, 9, 4)(x, step), 2 * x, atol=1e-6)
    assert set(seen) == {4}
    assert windowed(denoise, 4, 4) is denoise  # its own length: nothing between
    assert window_weights(5).tolist() == [1, 2, 3, 2, 1]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    return Inputs(write_model(folder / "model"), write_people(folder, 1)[0])


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
    assert frames.shape == (16, 64, 64, 3)  # the VAE decodes an even number of latent frames so
    assert calls == [(2, 2)] * (3 * 2)  # three windows in each step, the identity in each
    assert np.array_equal(frames, generate(inputs, settings))
    without = generate(inputs, replace(settings, strength=0.0))
    changed = np.abs(frames.astype(float) - without).reshape(4, -1).max(axis=1)
    assert (changed > 0).all()  # in every part of the video
    own = make_latents(Run(inputs, replace(settings, frames=None)))
    assert torch.equal(make_latents(Run(inputs, replace(settings, frames=5))), own)


def test_windows_with_a_cache_or_an_odd_length_are_refused(inputs):
    with pytest.raises(ValueError, match="would mix up the windows"):
        Settings("a", frames=97, cache="balanced")
    with pytest.raises(ValueError, match="Expected 5 frames, the model's own length, or more by 4 each.*got 12"):
        generate(inputs, Settings("a", device="cpu", frames=12))
