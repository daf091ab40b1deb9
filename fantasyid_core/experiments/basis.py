"""Initialises the VAE's linear maps: principal components of patches, half whitened and spread over the channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..tinymodel.vae import TinyVae, patches

WHITENING = 0.5
"""Components are divided by this power of their deviation. A half loses least of a Gaussian source when noise of one
size is added to every latent and the power is limited: fine detail is lifted, and noise still costs less there."""


@torch.no_grad()
def begin_with_components(vae: TinyVae, pixels: Tensor) -> None:  # [B,3,T,H,W] in 0..1
    """Sets the linear maps of `vae` so that the untrained VAE is the best linear one for these clips."""
    first, groups = patches(2 * pixels - 1, vae.config)
    first, groups = _rows(first[:, None]), _rows(groups)
    count = vae.config.latent_channels
    start = _Components(first, count)
    later = _Components(groups, count)
    later.follow(start, vae.config.group)
    spread = _hadamard(count)
    _set(vae.first_in, vae.first_out, start, spread)
    _set(vae.group_in, vae.group_out, later, spread)


class _Components:
    """mean [D], axes [D,C], deviations [C], by falling deviation."""

    def __init__(self, rows: Tensor, count: int):
        self.mean = rows.mean(0)
        variances, axes = torch.linalg.eigh(torch.cov(rows.double().T))
        self.axes = axes[:, -count:].flip(1).float()
        self.deviations = variances[-count:].flip(0).clamp_min(1e-8).sqrt().float()

    def follow(self, other: _Components, group: int) -> None:
        """Reorders and turns the axes so that a still picture has nearly the latents of the first frame."""
        means = self.axes.unflatten(0, (group, -1)).mean(0)  # [48,C]: what each says of the mean of the frames
        likeness = other.axes.T @ means  # [C of the other, C]
        free = likeness.clone()
        order = torch.zeros(len(likeness), dtype=torch.long)
        for _ in order:
            place = int(free.abs().argmax())
            row, column = divmod(place, free.shape[1])
            order[row] = column
            free[row], free[:, column] = 0, 0
        signs = likeness[torch.arange(len(order)), order].sign()
        self.axes = self.axes[:, order] * torch.where(signs == 0, 1.0, signs)
        self.deviations = self.deviations[order]


def _set(inward: nn.Conv2d, outward: nn.Conv2d, parts: _Components, spread: Tensor) -> None:
    power = parts.deviations ** (1 - WHITENING)
    gains = parts.deviations**-WHITENING / power.square().mean().sqrt()
    into = spread @ (parts.axes * gains).T  # [C,D]
    back = (parts.axes / gains) @ spread.T  # [D,C]
    inward.weight.copy_(into[:, :, None, None])
    inward.bias.copy_(-into @ parts.mean)
    outward.weight.copy_(back[:, :, None, None])
    outward.bias.copy_(parts.mean)


def _hadamard(count: int) -> Tensor:
    """An orthogonal matrix that gives each latent channel an equal share of every component."""
    matrix = torch.ones(1, 1)
    while len(matrix) < count:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / len(matrix) ** 0.5


def _rows(parts: Tensor) -> Tensor:  # [B,L,D,h,w] -> [N,D]
    return parts.permute(0, 1, 3, 4, 2).flatten(0, 3)
