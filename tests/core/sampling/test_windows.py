"""Windows over longer videos: every frame covered, no frame that shows where a window ends, and what is held."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fantasyid_core.sampling import make_steps, sample
from fantasyid_core.sampling.continuation import held, held_latents, last_frames, repeated_frames
from fantasyid_core.sampling.windows import latent_frames_for, window_starts, window_weights, windowed

STEP = make_steps(1)[0]


@pytest.mark.parametrize(("frames", "latents"), [(49, 13), (57, 15), (97, 25), (145, 37)])
def test_windows_cover_every_frame_with_overlap(frames, latents):
    assert latent_frames_for(frames, 13) == latents
    starts = window_starts(latents, 13)
    assert starts[0] == 0 and starts[-1] + 13 == latents
    assert all(0 < after - before <= 7 for before, after in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("frames", [1, 45, 50, 53, 96])
def test_lengths_that_windows_cannot_cover_are_refused(frames):
    """53 frames would be 14 latent frames, of which the VAE makes 56: it decodes pairs after the first three."""
    with pytest.raises(ValueError, match=r"Expected 49 frames, .* got \d+. The nearest is (49|57|97)"):
        latent_frames_for(frames, 13)


@pytest.mark.parametrize("dim", [1, 2])
def test_blending_keeps_what_all_windows_agree_on(dim):
    seen = []

    def denoise(x, step):
        seen.append(x.shape[dim])
        return 2 * x

    x = torch.randn(1, 9, 9, 3, 3)
    assert torch.allclose(windowed(denoise, 9, 4, dim)(x, STEP), 2 * x, atol=1e-6)
    assert set(seen) == {4}
    assert windowed(denoise, 4, 4, dim) is denoise  # its own length: nothing between


def test_the_first_frame_of_a_later_window_does_not_count():
    """It stands for one picture in the model's training, and for four in the video."""
    numbers = iter(range(1, 100))

    def denoise(x, step):
        clean = torch.full_like(x, float(next(numbers)))
        clean[:, 0] = torch.nan if clean[0, 0, 0, 0, 0] > 1 else 1.0
        return torch.nan_to_num(clean, nan=1e6)

    clean = windowed(denoise, 25, 13)(torch.zeros(1, 25, 1, 1, 1), STEP).flatten()
    assert clean.max() <= 3 and (clean[1:] >= clean[:-1] - 1e-6).all()
    assert clean[0] == 1 and clean[-1] == 3


def test_weights_are_smooth_and_small_at_the_ends():
    weights = window_weights(13)
    assert torch.allclose(weights, weights.flip(0)) and weights.argmax() == 6
    assert weights[0] < 0.02 and weights[6] == 1
    later = window_weights(13, is_first=False)
    assert later[0] == 0 and (later[1:] > 0).all() and later[1] < 0.02
    assert window_weights(2, is_first=False).tolist() == [0, 1]


def test_a_continuation_begins_with_what_is_held():
    begin = torch.randn(1, 3, 2, 4, 4)

    def denoise(x, step):
        return torch.full_like(x, float(x[:, :3].mean()))

    for solver in ("ddim", "dpm"):
        x = torch.randn(1, 13, 2, 4, 4)
        video = sample(held(denoise, begin), x, make_steps(4), solver, lambda _: torch.randn(1, 13, 2, 4, 4))
        assert torch.allclose(video[:, :3], begin, atol=1e-5) and not torch.allclose(video[:, 3:6], begin)
    assert held(denoise, None) is denoise


def test_the_held_frames_have_the_noise_of_their_step():
    """What the model sees there is sqrt(a) begin + sqrt(1 - a) n in every step, as in training."""
    begin, noise, seen = torch.ones(1, 3, 1, 1, 1), torch.randn(1, 13, 1, 1, 1), []

    def denoise(x, step):
        seen.append((step.alpha, x[:, :3]))
        return torch.zeros_like(x)

    sample(held(denoise, begin), noise, make_steps(5), "ddim")
    for alpha, x in seen:
        assert torch.allclose(x, alpha**0.5 * begin + (1 - alpha) ** 0.5 * noise[:, :3], atol=1e-5)


@pytest.mark.parametrize(("native", "latents", "frames"), [(13, 3, 9), (8, 2, 5), (3, 1, 1), (2, 1, 1)])
def test_a_continuation_repeats_whole_latent_frames(native, latents, frames):
    assert held_latents(native) == latents and repeated_frames(latents) == frames
    video = np.arange(20)[:, None, None, None] * np.ones((1, 8, 12, 3))
    assert last_frames(video, (8, 12), native)[:, 0, 0, 0].tolist() == list(range(20 - frames, 20))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((20, 8, 10, 3)), "Expected a video of 12 x 8 pixels.*got 10 x 8 pixels"),
        (np.zeros((8, 8, 12, 3)), "at least 9 frames to continue, got 8"),
        (np.zeros((8, 12, 3)), r"got the shape \[8, 12, 3\]"),
    ],
)
def test_videos_that_cannot_be_continued_are_refused(video, message):
    with pytest.raises(ValueError, match=message):
        last_frames(video, (8, 12), 13)
