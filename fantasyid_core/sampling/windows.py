"""Videos longer than the model's own: windows of its length over more latent frames, blended in every step.

The learned table of positions has one length (13 latent frames for the release), so each window is a whole video for
the model: it has the identity, and the first picture at its first frame. The model was not trained for this.

The first latent frame of a video stands for one picture, every other one for four. Therefore a later window's first
frame does not count: it only tells the window what comes before. The other frames count most in the middle of their
window and almost nothing at its ends, so that no frame shows where a window begins or ends. How well that works is
measured by `python -m fantasyid_core.experiments.seams`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .solvers import Step

OVERLAP = 0.5
"""Share of a window that its neighbours have, too, at least."""

Window = Callable[[Tensor, Step], Tensor]


def latent_frames_for(frames: int, native: int, compression: int = 4) -> int:
    """Latent frames of a video of `frames` frames.

    The VAE decodes pairs of latent frames after the first three, so there are `native`, the model's own number, or an
    even number more. Raises ValueError for another length.
    """
    own, pair = (native - 1) * compression + 1, 2 * compression
    if frames < own or (frames - own) % pair:
        near = max(own, round((frames - own) / pair) * pair + own)
        raise ValueError(
            f"Expected {own} frames, the model's own length, or more by {pair} each ({own + pair}, {own + 2 * pair}, "
            f"...), got {frames}. The nearest is {near}."
        )
    return (frames - 1) // compression + 1


def window_starts(total: int, length: int) -> list[int]:
    """The first frames of windows of `length` frames that cover `total`, evenly and with `OVERLAP`."""
    if total <= length:
        return [0]
    stride = max(1, int(length * (1 - OVERLAP)))
    count = -(-(total - length) // stride) + 1
    return [round(index * (total - length) / (count - 1)) for index in range(count)]


def window_weights(length: int, is_first: bool = True) -> Tensor:
    """[length]: the share of each frame of a window, a squared sine; nothing for the first frame of a later one."""
    if is_first or length == 1:
        return torch.sin(math.pi * (torch.arange(length) + 0.5) / length).square()
    return torch.cat([torch.zeros(1), window_weights(length - 1)])


def windowed(denoise: Window, total: int, length: int, dim: int = 1) -> Window:
    """`denoise` of latents with `length` frames along `dim` -> the same of `total` frames; itself where both are
    equal."""
    if total == length:
        return denoise
    starts = window_starts(total, length)
    shares = [window_weights(length, start == 0) for start in starts]
    whole = torch.zeros(total)
    for start, share in zip(starts, shares, strict=True):
        whole[start : start + length] += share

    def denoise_all(x: Tensor, step: Step) -> Tensor:
        clean = torch.zeros_like(x)
        for start, share in zip(starts, shares, strict=True):
            part = share / whole[start : start + length]
            part = part.view(-1, *(1,) * (x.ndim - 1 - dim)).to(x)
            window = x.narrow(dim, start, length)
            clean.narrow(dim, start, length).add_(denoise(window, step) * part)
        return clean

    return denoise_all
