"""The official sampler on the host: its guidance, memory management and progress, our loop.

The host's own samplers start this model at a wrong noise level (they scale the noise by sigma although
the model works in variance-preserving space), hence a Sampler of our own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...options import DPM, SOLVERS
from ...sampling import OfficialNoise, Step, make_steps
from ...sampling import sample as run_solver
from ...sampling.continuation import held
from ...sampling.windows import latent_frames_for, windowed
from .corrections import check_latent, check_text, native_sizes
from .listening import blocks_listening


def initial_noise(shape, seed: int) -> Tensor:
    """The official starting latent of `seed` in the host's layout [B, C, T, H, W] (drawn as [B, T, C, H, W])."""
    batch, channels, frames, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    return OfficialNoise((batch, frames, channels, height, width), generator).initial().transpose(1, 2)


def sample(
    model,
    noise: Tensor | None,
    positive,
    negative,
    steps: int = 50,
    cfg: float = 6.0,
    solver: str = DPM,
    seed: int = 0,
    callback=None,
    step_noise=None,
    frames: int = 0,
    begin: Tensor | None = None,
) -> Tensor:
    """Denoises `noise` [B, C, T, H, W] as the official pipeline; returns latents as the host's VAE takes them.

    noise None draws it from `seed` first, as the official pipeline does; the noise of each "dpm" step comes
    from the same generator, or from `step_noise(index)`. A given `noise` leaves the generator untouched (as
    latents given to the official pipeline do), so it should not come from the same seed.
    callback(step, D, x, total) is called after every step.
    frames: of a video longer than the model's own, in blended windows (`sampling.windows`); 0 is the model's own.
    begin: latents [B, C, T', H, W] as the host's VAE makes them, which the video begins with (`continuation`).
    Raises ValueError for another size, length, token count, solver or a patched noise schedule.
    """
    import comfy.sample

    sizes = native_sizes(model)
    if solver not in SOLVERS:
        raise ValueError(f"Expected a solver among {', '.join(SOLVERS)}, got {solver!r}.")
    check_text_of(sizes, positive, negative)
    own = sizes.latent_frames
    total = latent_frames_for(frames, own, sizes.temporal_compression_ratio) if frames else own
    channels, _, height, width = sizes.latent_shape
    shape = (1, channels, total, height, width) if noise is None else noise.shape
    check_latent(sizes, shape, total)
    draws = OfficialNoise((shape[0], total, channels, height, width), torch.Generator().manual_seed(seed))
    if noise is None:
        noise = draws.initial().transpose(1, 2)
    plan = make_steps(steps)
    sigmas = _sigmas(model, plan)
    if begin is not None:
        begin = model.model.process_latent_in(begin.float())
    video = _Video(noise, own, begin)
    sampler = _exact_sampler(plan, solver, step_noise or (lambda index: draws(index).transpose(1, 2)), video)
    # The host is told of one window, by which it prepares the conditions and counts the memory.
    window = noise[:, :, :own]
    return comfy.sample.sample_custom(
        model, window, cfg, sampler, sigmas, positive, negative, torch.zeros_like(window), callback=callback, seed=seed
    )


class _Video(NamedTuple):
    """What is sampled: noise of its whole length, the latent frames of a window, and what it begins with."""

    noise: Tensor  # [B, C, T, H, W]
    window: int
    begin: Tensor | None  # [B, C, T', H, W], in the model's scale

    def around(self, denoise, x: Tensor):
        """`denoise` of windows -> of the whole video; x: on the device and in the dtype of sampling."""
        begin = None if self.begin is None else self.begin.to(x)
        return held(windowed(denoise, self.noise.shape[2], self.window, dim=2), begin, dim=2)


def _sigmas(model, plan: list[Step]) -> Tensor:
    """The host's noise level of every step, and zero."""
    import comfy.model_sampling

    sampling = model.get_model_object("model_sampling")
    if not isinstance(sampling, comfy.model_sampling.V_PREDICTION_DDPM):
        raise ValueError(
            "The model's noise schedule was replaced (by a ModelSampling node?). The FantasyID sampler is exact "
            "for the model's own; connect the model without that node."
        )
    return torch.cat([sampling.sigmas[[step.timestep for step in plan]].float().cpu(), torch.zeros(1)])


def is_exact(sampler) -> bool:
    """Whether `sampler` is the official sampler of `sample`, not one of the host's."""
    return getattr(sampler, "is_exact", False)


def start_note(sampler, model_sampling) -> str:
    """A sentence when `sampler` starts a model with this `model_sampling` at a wrong noise level, else ""."""
    import comfy.model_sampling

    if is_exact(sampler) or not isinstance(model_sampling, comfy.model_sampling.V_PREDICTION_DDPM):
        return ""
    return (
        "This sampler starts the model at a wrong noise level, so the video will not be what it was trained for. Use "
        "FantasyID Sampler, or put ModelSamplingDiscrete (v_prediction, with zsnr) in front of this node."
    )


def _exact_sampler(plan: list[Step], solver: str, step_noise, video: _Video):
    import comfy.samplers

    class ExactSampler(comfy.samplers.Sampler):
        is_exact = True

        def sample(
            self,
            guider,
            sigmas,
            extra_args,
            callback,
            noise,
            latent_image=None,
            denoise_mask=None,
            disable_pbar=False,
        ):
            denoise = video.around(_denoiser(guider, sigmas, extra_args), noise)
            draw = lambda index: step_noise(index).to(noise)  # noqa: E731
            on_step = _on_step(callback, len(plan), disable_pbar)
            with blocks_listening(guider.inner_model.diffusion_model):
                return run_solver(denoise, video.noise.to(noise), plan, solver, draw, on_step)

    return ExactSampler()


def _denoiser(guider, sigmas: Tensor, extra_args: dict):
    import comfy.model_management

    def denoise(x: Tensor, step: Step) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        sigma = sigmas[step.index]
        clean = guider(x, sigma * x.new_ones([x.shape[0]]), **extra_args)
        if step.alpha == 0:
            # The host's table ends at a large finite sigma; at true zero signal D = -v, without any x.
            scale = (1 + sigma.double() ** 2).sqrt()
            clean = ((clean.double() - x.double() / scale) * (scale / sigma.double())).to(x)
        return clean

    return denoise


def _on_step(callback, total: int, disable_pbar: bool):
    from tqdm.auto import trange

    bar = trange(total, disable=disable_pbar)

    def on_step(index: int, x: Tensor, clean: Tensor) -> None:
        bar.update()
        if callback is not None:
            callback(index, clean, x, total)
        if index == total - 1:
            bar.close()

    return on_step


def check_text_of(sizes, *conditionings) -> None:
    """Raises ValueError unless the prompts have the number and the width of tokens of a model of `sizes`."""
    for conditioning in conditionings:
        for embedding, _ in conditioning:
            check_text(sizes, embedding.shape[1])
            if embedding.shape[-1] != sizes.text_embed_dim:
                raise ValueError(
                    f"Expected prompt embeddings of width {sizes.text_embed_dim}, got {embedding.shape[-1]}: the text "
                    "encoder belongs to another model. Take T5-XXL (Load CLIP, type cogvideox); for FantasyID-Tiny the "
                    "CLIP that FantasyID Load Model gives out."
                )
