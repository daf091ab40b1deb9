"""The training loss: the v-prediction of CogVideoX, with the sampler's own noise levels.

With a = alpha-bar of a timestep (`sampling.alphas_cumprod`: scaled-linear betas, zero terminal SNR, snr_shift_scale),
x0 the clean latent and n standard normal noise:

    x_t = sqrt(a) x0 + sqrt(1-a) n          v = sqrt(a) n - sqrt(1-a) x0          loss = mean (v^ - v)^2

The official CogVideoX training writes the same loss by way of the clean latent: from the prediction v^ it forms
x0^ = sqrt(a) x_t - sqrt(1-a) v^ and weights (x0^ - x0)^2 by 1 / (1-a). Since x0 = sqrt(a) x_t - sqrt(1-a) v,

    x0^ - x0 = -sqrt(1-a) (v^ - v),   so   (x0^ - x0)^2 / (1-a) = (v^ - v)^2 .

1-a is above 0 at every timestep (8.5e-4 at the first), and 1 at the last, where x_t is pure noise and v = -x0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..sampling import TRAIN_STEPS
from .config import ConditionSettings, IdentitySettings


class Draws(NamedTuple):
    """All random values of one micro-batch, drawn on the CPU so that they are equal on every device."""

    times: Tensor  # [B] int64, 0..999
    noise: Tensor  # [B,T,C,h,w]
    picture_noise: Tensor  # [B] standard deviation of the noise on the condition picture
    keeps_picture: Tensor  # [B] bool
    keeps_text: Tensor  # [B] bool
    keeps_identity: Tensor  # [B] bool
    keeps_face: Tensor  # [B] bool
    keeps_vertices: Tensor  # [B] bool


def draw(
    shape: tuple[int, ...],
    identity: IdentitySettings,
    condition: ConditionSettings,
    generator: torch.Generator,
    early_share: float = 0.0,
    together: int = 1,
) -> Draws:
    """The random numbers for latents of `shape` [B,T,C,h,w].

    Draws the same number of random values for every setting. Groups of `together` clips share them. Timesteps are
    uniform; the share `early_share` of the clips has a timestep of the last tenth instead, where sampling begins.
    """
    batch = shape[0] // together
    shape = (batch, *shape[1:])
    times = torch.randint(TRAIN_STEPS, (batch,), generator=generator)
    noise = torch.randn(shape, generator=generator)
    spread = torch.randn(batch, generator=generator) * condition.noise_std + condition.noise_mean
    ratios = (
        *(condition.dropout, identity.null_text, identity.null_identity),
        *(identity.null_face, identity.null_vertices),
    )
    keeps = [torch.rand(batch, generator=generator) >= ratio for ratio in ratios]
    is_early = torch.rand(batch, generator=generator) < early_share
    early = torch.randint(TRAIN_STEPS * 9 // 10, TRAIN_STEPS, (batch,), generator=generator)
    times = torch.where(is_early, early, times)
    return Draws(*(each.repeat_interleave(together, dim=0) for each in (times, noise, spread.exp(), *keeps)))


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:  # [B,...], [B,...], [B]
    """x_t = sqrt(a) x0 + sqrt(1-a) n."""
    a = _beside(alpha, clean)
    return a.sqrt() * clean + (1 - a).sqrt() * noise


def velocity(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:  # [B,...], [B,...], [B]
    """v = sqrt(a) n - sqrt(1-a) x0."""
    a = _beside(alpha, clean)
    return a.sqrt() * noise - (1 - a).sqrt() * clean


def velocity_loss(predicted: Tensor, clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Mean squared error of the predicted v, per clip: [B,...] -> [B], in float32 or wider."""
    wide = torch.promote_types(predicted.dtype, torch.float32)
    return (predicted.to(wide) - velocity(clean, noise, alpha)).square().flatten(1).mean(dim=1)


TWIN_FLOOR = 0.01
"""Mean square by which the latents (about 1) of twins have to differ to count fully; less may not be visible at all."""


def clean_from_velocity(noisy: Tensor, velocity: Tensor, alpha: Tensor) -> Tensor:  # [B,...], [B,...], [B]
    """x0 = sqrt(a) x_t - sqrt(1-a) v."""
    a = _beside(alpha, noisy)
    return a.sqrt() * noisy - (1 - a).sqrt() * velocity


def twin_loss(predicted: Tensor, clean: Tensor, alpha: Tensor, floor: float = TWIN_FLOOR) -> Tensor:
    """Error of the difference of the predicted v between each clip and its twin: [2B,...] -> [2B], in float32 or wider.

    |dv^ - dv|^2 / (|dx0|^2 + floor) with means as |.|^2. Noise and timestep of twins are equal, so
    dv = -sqrt(1-a) dx0. A model that ignores the difference has the loss 1 - a, however large the changed part of the
    picture is. A model that follows the difference with the slope s has the loss (1-a) (1-s)^2.
    """
    wide = torch.promote_types(predicted.dtype, torch.float32)
    change, truth = (each.to(wide).unflatten(0, (-1, 2)).diff(dim=1)[:, 0] for each in (predicted, clean))
    wrong = change + (1 - _beside(alpha[::2], truth)).sqrt() * truth
    wrong, size = (each.square().flatten(1).mean(dim=1) for each in (wrong, truth))
    return (wrong / (size + floor)).repeat_interleave(2)


def _beside(alpha: Tensor, latents: Tensor) -> Tensor:
    return alpha.to(latents).view(-1, *[1] * (latents.ndim - 1))
