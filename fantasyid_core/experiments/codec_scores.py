"""Scores of a codec's reconstructions: peak signal-to-noise ratio and the correlation of changes in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..tinymodel.vae import TinyVae

GATE_PSNR = 30.0
GATE_MOTION = 0.8
NOISE = 0.1  # of a latent's deviation, in the score that tells how smooth the code is


@dataclass(frozen=True)
class VaeScores:
    """Means over the clips, and their standard deviations from clip to clip as `..._spread`.

    psnr: dB, of a clip's mean squared error; of its first frame, of the others, and with noise on the latents.
    motion: correlation of the differences of consecutive frames with the true ones, over all clips together.
    motion_clip: the same within every clip, then averaged; clips in which little moves pull it down.
    """

    clips: int
    psnr: float
    psnr_spread: float
    psnr_first: float
    psnr_later: float
    psnr_noisy: float
    motion: float
    motion_clip: float
    motion_clip_spread: float

    @property
    def passes(self) -> bool:
        return self.psnr >= GATE_PSNR and self.motion >= GATE_MOTION


@dataclass(frozen=True)
class LatentStatistics:
    """Of normalised latents: largest |mean| of a channel, smallest and largest deviation of one, largest value,
    kurtosis (a Gaussian's is 3), mean correlation of neighbours in space and of consecutive latent frames."""

    mean: float
    deviation: tuple[float, float]
    largest: float
    kurtosis: float
    neighbours: float
    frames: float


@torch.no_grad()
def vae_scores(vae: TinyVae, pixels: Tensor) -> VaeScores:  # [N,3,T,H,W] in 0..1, T > 1
    """Scores of `vae` on clips."""
    latents = encode_all(vae, pixels)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noisy = latents + NOISE * latents.std((0, 2, 3, 4), keepdim=True) * noise
    decoded = decode_all(vae, latents)
    ratios = psnr(decoded, pixels)
    within = correlation(differences(decoded), differences(pixels))
    return VaeScores(
        clips=len(pixels),
        psnr=ratios.mean().item(),
        psnr_spread=ratios.std(correction=0).item(),
        psnr_first=psnr(decoded[:, :, :1], pixels[:, :, :1]).mean().item(),
        psnr_later=psnr(decoded[:, :, 1:], pixels[:, :, 1:]).mean().item(),
        psnr_noisy=psnr(decode_all(vae, noisy), pixels).mean().item(),
        motion=correlation(differences(decoded).view(1, -1), differences(pixels).view(1, -1)).item(),
        motion_clip=within.mean().item(),
        motion_clip_spread=within.std(correction=0).item(),
    )


def latent_statistics(latents: Tensor) -> LatentStatistics:  # [N,C,L,h,w]
    """Statistics of the latents that a diffusion model has to learn."""
    means, deviations = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
    standard = (latents - means[:, None, None, None]) / deviations[:, None, None, None]
    across = (standard[..., 1:] * standard[..., :-1]).mean().item()
    down = (standard[..., 1:, :] * standard[..., :-1, :]).mean().item()
    return LatentStatistics(
        mean=means.abs().max().item(),
        deviation=(deviations.min().item(), deviations.max().item()),
        largest=latents.abs().max().item(),
        kurtosis=standard.pow(4).mean().item(),
        neighbours=(across + down) / 2,
        frames=(standard[:, :, 1:] * standard[:, :, :-1]).mean().item(),
    )


def encode_all(vae: TinyVae, pixels: Tensor, batch: int = 8) -> Tensor:  # [N,3,T,H,W] -> [N,C,L,h,w]
    return torch.cat([vae.encode(part) for part in pixels.split(batch)])


def decode_all(vae: TinyVae, latents: Tensor, batch: int = 8) -> Tensor:  # [N,C,L,h,w] -> [N,3,T,H,W]
    return torch.cat([vae.decode(part) for part in latents.split(batch)])


def psnr(ours: Tensor, truth: Tensor) -> Tensor:  # [N,...] in 0..1 -> [N] dB
    return -10 * torch.log10((ours - truth).square().flatten(1).mean(1).clamp_min(1e-12))


def differences(pixels: Tensor) -> Tensor:  # [N,3,T,H,W] -> [N,3*(T-1)*H*W]
    """The differences of consecutive frames."""
    return (pixels[:, :, 1:] - pixels[:, :, :-1]).flatten(1)


def correlation(ours: Tensor, truth: Tensor) -> Tensor:  # [N,M] -> [N]
    """Pearson's, row by row; 0 where a row is constant."""
    ours, truth = (rows - rows.mean(1, keepdim=True) for rows in (ours, truth))
    return torch.cosine_similarity(ours, truth, dim=1, eps=1e-12)
