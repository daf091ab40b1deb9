"""The VAE of FantasyID-Tiny: causal, any length and size, linear at first."""

from __future__ import annotations

import pytest
import torch

from fantasyid_core.experiments.basis import begin_with_components
from fantasyid_core.experiments.codec_scores import correlation, latent_statistics, psnr, vae_scores
from fantasyid_core.tinymodel.vae import TinyVae, VaeConfig, patches, unpatched
from fantasyid_core.training.muon import Muon, orthogonal


@pytest.fixture(scope="module")
def vae() -> TinyVae:
    """Every weight random, so that no path is silent."""
    torch.manual_seed(0)
    made = TinyVae(VaeConfig.tiny())
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    made.latents_mean.normal_()
    made.latents_std.uniform_(0.5, 2)
    return made.eval().requires_grad_(False)


def video(frames: int, height: int = 16, width: int = 24, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (9, 3), (13, 4)])
def test_four_frames_and_four_pixels_share_a_latent(vae, frames, latents):
    pictures = video(frames)
    codes = vae.encode(pictures)
    assert codes.shape == (2, 16, latents, 4, 6)
    decoded = vae.decode(codes)
    assert decoded.shape == pictures.shape and 0 <= decoded.min() and decoded.max() <= 1


def test_pictures_with_channels_last_give_the_same_latents(vae):
    pictures = video(5)
    assert torch.equal(vae.encode(pictures.permute(0, 2, 3, 4, 1)), vae.encode(pictures))


def test_latents_do_not_look_ahead(vae):
    pictures = video(9)
    changed = pictures.clone()
    changed[:, :, 5:] = 1 - changed[:, :, 5:]
    before, after = vae.encode(pictures), vae.encode(changed)
    torch.testing.assert_close(after[:, :, :2], before[:, :, :2])
    assert (after[:, :, 2] - before[:, :, 2]).abs().max() > 0.1
    torch.testing.assert_close(vae.encode(pictures[:, :, :1]), before[:, :, :1])


def test_decoded_pictures_do_not_look_ahead_but_back(vae):
    codes = torch.randn(1, 16, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = vae.raw_pictures(codes)
    torch.testing.assert_close(vae.raw_pictures(codes[:, :, :1]), whole[:, :, :1])
    torch.testing.assert_close(vae.raw_pictures(codes[:, :, :2]), whole[:, :, :5])
    changed = codes.clone()
    changed[:, :, 0] += 1
    assert (vae.raw_pictures(changed)[:, :, 1:5] - whole[:, :, 1:5]).abs().max() > 1e-3


def test_a_video_of_a_batch_is_that_video_alone(vae):
    pictures = video(9)
    torch.testing.assert_close(vae.encode(pictures)[1:], vae.encode(pictures[1:]))
    codes = vae.encode(pictures)
    torch.testing.assert_close(vae.decode(codes)[1:], vae.decode(codes[1:]))


def test_encode_and_decode_apply_the_same_statistics(vae):
    pictures = video(5)
    raw = vae.raw_latents(pictures)
    normal = (raw - vae.latents_mean.view(1, -1, 1, 1, 1)) / vae.latents_std.view(1, -1, 1, 1, 1)
    torch.testing.assert_close(vae.encode(pictures), normal)
    torch.testing.assert_close(vae.decode(normal), vae.raw_pictures(raw).clamp(0, 1))
    assert vae.scaling_factor == 1.0


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.rand(1, 3, 4, 16, 16), r"T = 4 k \+ 1.*got \[1, 3, 4, 16, 16\]"),
        (torch.rand(1, 3, 5, 12, 16), r"sides that 8 divides"),
        (torch.rand(1, 4, 5, 16, 16), r"RGB pictures"),
        (torch.rand(3, 5, 16, 16), r"RGB pictures"),
        (torch.rand(0, 3, 5, 16, 16), r"RGB pictures"),
        (torch.zeros(1, 3, 1, 16, 16, dtype=torch.uint8), r"floats in 0..1, got torch.uint8.*Divide"),
        (torch.full((1, 3, 1, 16, 16), 200.0), r"in 0..1, got 200..200"),
        (torch.full((1, 3, 1, 16, 16), float("nan")), r"in 0..1, got nan"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(vae, pictures, message):
    with pytest.raises(ValueError, match=message):
        vae.encode(pictures)


@pytest.mark.parametrize("shape", [(1, 8, 1, 4, 4), (16, 1, 4, 4), (1, 16, 0, 4, 4)])
def test_latents_that_do_not_fit_are_refused(vae, shape):
    with pytest.raises(ValueError, match=r"Expected latents \[B, 16, L, h, w\]"):
        vae.decode(torch.zeros(shape))


def test_patches_keep_every_pixel_in_its_place():
    config = VaeConfig()
    pixels = video(9)
    first, groups = patches(pixels, config)
    assert first.shape == (2, 48, 4, 6) and groups.shape == (2, 2, 192, 4, 6)
    assert torch.equal(unpatched(first, groups.flatten(0, 1), config), pixels)
    frame, colour, y, x = 6, 1, 9, 14  # the second frame of the second group
    channel = 1 * 48 + colour * 16 + (y % 4) * 4 + x % 4
    assert torch.equal(groups[:, 1, channel, y // 4, x // 4], pixels[:, colour, frame, y, x])


def low_rank_clips(rank: int) -> torch.Tensor:
    """Clips whose patches are combinations of few: [24,3,5,16,16]."""
    generator = torch.Generator().manual_seed(0)
    config = VaeConfig()
    first = torch.randn(24 * 16, rank, generator=generator) @ torch.randn(rank, 48, generator=generator)
    groups = torch.randn(24 * 16, rank, generator=generator) @ torch.randn(rank, 192, generator=generator)
    first, groups = (rows.view(24, 4, 4, -1).permute(0, 3, 1, 2) * 0.02 for rows in (first, groups))
    return (unpatched(first, groups, config) + 0.5).clamp(0, 1)


def test_the_linear_beginning_keeps_what_has_few_components():
    clips = low_rank_clips(16)
    vae = TinyVae(VaeConfig.tiny())
    begin_with_components(vae, clips)
    assert psnr(vae.decode(vae.encode(clips)), clips).min() > 55
    deviations = vae.encode(clips).std((0, 2, 3, 4))
    assert deviations.max() / deviations.min() < 2.5  # every channel carries an equal part


def test_the_linear_beginning_codes_a_still_picture_alike_in_all_frames():
    picture = torch.rand(32, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(picture[:, :, 0], 5, 1, 2)[:, :, None]
    clips = smooth.expand(-1, -1, 5, -1, -1) + 0.01 * torch.rand(32, 3, 5, 16, 16)
    vae = TinyVae(VaeConfig.tiny())
    begin_with_components(vae, clips)
    latents = vae.encode(clips)
    assert correlation(latents[:, :, 0].reshape(1, -1), latents[:, :, 1].reshape(1, -1)).item() > 0.9


def test_muon_steps_are_nearly_orthogonal_and_go_downhill():
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert 0.6 < values.min() and values.max() < 1.3
    torch.testing.assert_close(orthogonal(matrix.T), orthogonal(matrix).T)
    assert not orthogonal(torch.zeros(3, 4)).any()

    weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 3))
    goal = torch.ones(4, 2, 3, 3)
    optimizer = Muon([weight], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        (weight - goal).square().sum().backward()
        optimizer.step()
    assert (weight - goal).square().mean() < 0.1


def test_scores_have_their_closed_forms():
    truth = torch.zeros(2, 3, 2, 8, 8)
    assert psnr(truth + 0.1, truth).tolist() == pytest.approx([20, 20], abs=1e-4)
    rows = torch.tensor([[1.0, 2, 3], [1, 1, 1]])
    assert correlation(rows, -rows).tolist() == pytest.approx([-1, 0], abs=1e-5)
    noise = torch.randn(20, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = latent_statistics(noise)
    assert found.mean < 0.05 and found.deviation == pytest.approx((1, 1), abs=0.05)
    assert found.kurtosis == pytest.approx(3, abs=0.1) and abs(found.neighbours) < 0.02


def test_scores_tell_a_good_code_from_a_bad_one():
    clips = low_rank_clips(16)
    good, bad = TinyVae(VaeConfig.tiny()), TinyVae(VaeConfig.tiny())
    begin_with_components(good, clips)
    scores, others = vae_scores(good, clips), vae_scores(bad, clips)
    assert scores.passes and scores.motion > 0.99 and scores.psnr_noisy < scores.psnr and scores.clips == 24
    assert not others.passes
