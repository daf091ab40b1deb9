"""Videos longer than the model's own: windows of its length over more latent frames, blended in every step.

The learned table of positions has one length (13 latent frames for the release), so each window is a whole video for
the model: it has the identity, and the first picture at its first frame. The model was not trained for this. A window's
predictions for its first and last frames have the smallest weight, because a window's beginning is pulled towards the
first picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...sampling import Step

OVERLAP = 0.5
"""Share of a window that its neighbours have, too, at least."""


def latent_frames_for(frames: int, native: int, compression: int = 4) -> int:
    """Latent frames of a video of `frames` frames. Raises ValueError for another length than k * compression + 1, and
    for less than the model's own `native` latent frames."""
    own = (native - 1) * compression + 1
    if frames < own or (frames - 1) % compression:
        near = max(own, round((frames - 1) / compression) * compression + 1)
        raise ValueError(
            f"Expected {own} frames, the model's own length, or more by {compression} each ({own + compression}, "
            f"{own + 2 * compression}, ...), got {frames}. The nearest is {near}."
        )
    return (frames - 1) // compression + 1


def window_starts(total: int, length: int) -> list[int]:
    """The first frames of windows of `length` frames that cover `total`, evenly and with `OVERLAP`."""
    if total <= length:
        return [0]
    stride = max(1, int(length * (1 - OVERLAP)))
    count = -(-(total - length) // stride) + 1
    return [round(index * (total - length) / (count - 1)) for index in range(count)]


def window_weights(length: int) -> Tensor:
    """[length]: what each frame of a window counts, most in the middle, never nothing."""
    place = torch.arange(length, dtype=torch.float32)
    return torch.minimum(place, length - 1 - place) + 1


def windowed(denoise: Callable[[Tensor, Step], Tensor], total: int, length: int) -> Callable[[Tensor, Step], Tensor]:
    """`denoise` of [B, length, ...] -> the same of [B, total, ...]; itself where the lengths are equal."""
    if total == length:
        return denoise
    starts, weights = window_starts(total, length), window_weights(length)

    def denoise_all(x: Tensor, step: Step) -> Tensor:
        clean, weight = torch.zeros_like(x), x.new_zeros(total)
        share = weights.to(x)
        for start in starts:
            frames = slice(start, start + length)
            clean[:, frames] += denoise(x[:, frames], step) * share.view(1, -1, 1, 1, 1)
            weight[frames] += share
        return clean / weight.view(1, -1, 1, 1, 1)

    return denoise_all
