"""Continuing a video: the first frames of the new one are the last frames of the other, and are held while sampling.

In every step the prediction of the clean latent is replaced there by what the VAE makes of those frames, so the latent
takes the way from noise to them. The other frames see them at the same level of noise, and go on from their motion.
"""

from __future__ import annotations

from torch import Tensor

from .solvers import Denoise, Step


def held_latents(native: int) -> int:
    """How many latent frames of a video of `native` ones are held: a quarter, at least one."""
    return max(1, native // 4)


def repeated_frames(latents: int, compression: int = 4) -> int:
    """How many frames `latents` held latent frames stand for: the first for one, every other one for `compression`."""
    return (latents - 1) * compression + 1


def last_frames(frames, size: tuple[int, int], native: int, compression: int = 4):
    """The frames with which the continuation of `frames` [T,H,W,3] begins, for a model of this size (H, W) and length.

    Raises ValueError for frames of another size, or too few.
    """
    needed = repeated_frames(held_latents(native), compression)
    shape = tuple(getattr(frames, "shape", ()))
    if len(shape) != 4 or shape[1:3] != tuple(size):
        found = f"{shape[2]} x {shape[1]} pixels" if len(shape) == 4 else f"the shape {list(shape)}"
        raise ValueError(
            f"Expected a video of {size[1]} x {size[0]} pixels, the model's own size, to continue, got {found}. Give a "
            "video that this model has made, or resize it."
        )
    if shape[0] < needed:
        raise ValueError(
            f"Expected a video of at least {needed} frames to continue, got {shape[0]}. Give a longer one."
        )
    return frames[-needed:]


def held(denoise: Denoise, begin: Tensor | None, dim: int = 1) -> Denoise:
    """`denoise` with `begin` as the first frames along `dim`, in the latents' own scale; None changes nothing."""
    if begin is None:
        return denoise

    def denoise_rest(x: Tensor, step: Step) -> Tensor:
        clean = denoise(x, step)
        clean.narrow(dim, 0, begin.shape[dim]).copy_(begin)
        return clean

    return denoise_rest
