"""One step of the transformer for both halves of guidance, in the letters of `sampling`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...sampling import Step
from .mechanisms import Clock
from .model import rotary_table, transformer_sizes
from .parallel import ALONE, Layout, both_halves


def make_denoiser(
    transformer,
    prompts: Tensor,  # [2, text, C]: negative, positive; [1, text, C] without guidance
    image_latent: Tensor,  # [1, T, 16, h, w]
    cfg: float,
    dtype: torch.dtype,
    clock: Clock | None = None,
    layout: Layout = ALONE,
) -> Callable[[Tensor, Step], Tensor]:
    """denoise(x [1, T, 16, h, w], step) -> D, the guided prediction of the clean latent, in float32.

    layout: the processes among which `parallel` splits the halves of guidance.
    """
    clock = clock or Clock()
    device = image_latent.device
    rotary = rotary_table(transformer_sizes(transformer), device)
    guided = len(prompts) == 2
    prompts = prompts.to(device)
    if layout.half is not None:
        prompts = prompts[layout.half : layout.half + 1]
    batch = len(prompts)

    def denoise(x: Tensor, step: Step) -> Tensor:
        clock.timestep = step.timestep
        # Passed by name, because mechanisms that skip one half of guidance look it up by its name.
        given = {
            "hidden_states": torch.cat([x, image_latent], dim=2).to(dtype).repeat(batch, 1, 1, 1, 1),
            "encoder_hidden_states": prompts,
            "timestep": torch.full((batch,), step.timestep, device=device),
        }
        v = transformer(**given, image_rotary_emb=rotary, return_dict=False)[0].float()
        if layout.half is not None:
            v = both_halves(v, layout)
        if guided:
            negative, positive = v.chunk(2)
            v = negative + cfg * (positive - negative)
        return step.clean_from_velocity(x, v)

    return denoise
