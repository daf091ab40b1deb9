"""Sampling as the official pipeline does it: CogVideoXDPMScheduler and DDIM, in the letters of the papers.

x is the latent in variance-preserving space, a = alpha-bar of the current timestep, a' of the next,
s = sqrt((1-a)/a), D the guided prediction of the clean latent. The noise schedule ends at zero
signal (zero-SNR rescaling), so the first step is exact only if it uses D = -v and drops x.

A host gives `denoise(x, step) -> D`; the loops do not depend on a model. Latents are [B, T, C, H, W] or
[B, C, T, H, W]; the loops work with both. The latent stays in its dtype (float32 in both hosts; the
official code rounds it to bfloat16 after every step).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..options import DPM, SOLVERS

TRAIN_STEPS = 1000

Denoise = Callable[[Tensor, "Step"], Tensor]
OnStep = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Step:
    """One step: its index, timestep (0..999), alpha-bar here and at the next step (1 after the last)."""

    index: int
    timestep: int
    alpha: float
    next_alpha: float

    @property
    def sigma(self) -> float:
        """Noise-to-signal ratio s; infinite at zero signal."""
        return math.sqrt((1 - self.alpha) / self.alpha) if self.alpha > 0 else math.inf

    @property
    def next_sigma(self) -> float:
        return math.sqrt((1 - self.next_alpha) / self.next_alpha)

    def clean_from_velocity(self, x: Tensor, v: Tensor) -> Tensor:
        """D = sqrt(a) x - sqrt(1-a) v, the v-prediction of CogVideoX."""
        return math.sqrt(self.alpha) * x - math.sqrt(1 - self.alpha) * v


def alphas_cumprod(
    beta_start: float = 0.00085, beta_end: float = 0.012, snr_shift_scale: float = 1.0, zero_snr: bool = True
) -> Tensor:
    """Alpha-bar of the 1000 training timesteps, float64 [1000] (`scaled_linear` betas, zero-SNR rescaled).

    Source: official scheduler_config.json; zero-SNR: Lin et al., arXiv 2305.08891, algorithm 1.
    """
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)
    alphas = alphas / (snr_shift_scale + (1 - snr_shift_scale) * alphas)
    if not zero_snr:
        return alphas
    root = alphas.sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


def make_steps(count: int, alphas: Tensor | None = None) -> list[Step]:
    """`count` steps with trailing timesteps (999 first); ValueError for a count outside 1..1000.

    For counts that divide 1000 these are diffusers' steps. For others diffusers' DPM and DDIM jump to
    t - 1000 // count, which is not their own next timestep (the noise level then drifts from the
    latent's); here each step ends where the next one begins.
    """
    if not 1 <= count <= TRAIN_STEPS:
        raise ValueError(f"Expected 1 to {TRAIN_STEPS} sampling steps, got {count}. The official number is 50.")
    alphas = alphas_cumprod() if alphas is None else alphas
    times = [round(TRAIN_STEPS - i * TRAIN_STEPS / count) - 1 for i in range(count)]
    levels = [float(alphas[t]) for t in times] + [1.0]
    return [Step(i, t, levels[i], levels[i + 1]) for i, t in enumerate(times)]


def sample(
    denoise: Denoise,
    noise: Tensor,
    steps: list[Step],
    solver: str = DPM,
    draw_noise: Callable[[int], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Denoises `noise` over `steps` with `solver` ("dpm" as the official pipeline, or "ddim").

    draw_noise(index) gives the standard normal noise of a step, like `noise` in shape (only "dpm");
    on_step(index, x, D) is called after every step and may raise to stop. Raises RuntimeError in the first step
    whose D is not finite: the video would be black.
    """
    if solver not in SOLVERS:
        raise ValueError(f"Expected a solver among {', '.join(SOLVERS)}, got {solver!r}.")
    denoise = _finite(denoise, len(steps))
    if solver == "ddim":
        return sample_ddim(denoise, noise, steps, on_step)
    if draw_noise is None:
        raise ValueError("The dpm solver needs draw_noise, the noise of each step.")
    return sample_dpm(denoise, noise, steps, draw_noise, on_step)


def _finite(denoise: Denoise, count: int) -> Denoise:
    def checked(x: Tensor, step: Step) -> Tensor:
        D = denoise(x, step)
        if not torch.isfinite(D).all():
            raise RuntimeError(
                f"In step {step.index + 1} of {count} the model gave numbers that are not finite (NaN or infinite), so "
                "the video would be black. fp16 is too narrow for CogVideoX: load the model in bf16 or fp32. If it is, "
                "leave out LoRAs and whatever speeds up the attention, one after the other."
            )
        return D

    return checked


def sample_ddim(denoise: Denoise, x: Tensor, steps: list[Step], on_step: OnStep | None = None) -> Tensor:
    """DDIM, eta 0: x' = A x + (sqrt(a') - sqrt(a) A) D with A = sqrt((1-a')/(1-a))."""
    for step in steps:
        D = denoise(x, step)
        A = math.sqrt((1 - step.next_alpha) / (1 - step.alpha))
        x = A * x + (math.sqrt(step.next_alpha) - math.sqrt(step.alpha) * A) * D
        if on_step:
            on_step(step.index, x, D)
    return x


def sample_dpm(
    denoise: Denoise,
    x: Tensor,
    steps: list[Step],
    draw_noise: Callable[[int], Tensor],
    on_step: OnStep | None = None,
) -> Tensor:
    """SDE-DPM-Solver++(2M) as CogVideoXDPMScheduler: midpoint, eta 1, first order at both ends."""
    previous_D, previous_sigma = None, math.nan
    for step in steps:
        D = denoise(x, step)
        if step.next_alpha == 1:
            x = D
        else:
            mixed = D if previous_D is None else _extrapolate(D, previous_D, previous_sigma, step)
            x = _dpm_update(x, mixed, draw_noise(step.index), step)
        previous_D, previous_sigma = D, step.sigma
        if on_step:
            on_step(step.index, x, D)
    return x


def _extrapolate(D: Tensor, previous_D: Tensor, previous_sigma: float, step: Step) -> Tensor:
    """D~ = (1 + 1/2r) D - 1/2r D_prev, r the ratio of successive steps in log s (infinite after zero signal)."""
    r = math.log(previous_sigma / step.sigma) / math.log(step.sigma / step.next_sigma)
    return (1 + 0.5 / r) * D - (0.5 / r) * previous_D


def _dpm_update(x: Tensor, D: Tensor, noise: Tensor, step: Step) -> Tensor:
    """x' = sqrt((1-a')/(1-a)) q x + sqrt(a') (1-q^2) D + sqrt(1-a') sqrt(1-q^2) n with q = s'/s."""
    a, a1 = step.alpha, step.next_alpha
    q = step.next_sigma / step.sigma
    kept = math.sqrt((1 - a1) / (1 - a)) * q
    return kept * x + math.sqrt(a1) * (1 - q * q) * D + math.sqrt(1 - a1) * math.sqrt(1 - q * q) * noise


class OfficialNoise:
    """The official pipeline's random numbers: initial latent, then the draws of each step, one generator.

    Shape [B, T, C, H, W]. The scheduler draws once in the first step and twice in every later one, of
    which the second is used; drawing alike makes equal seeds give equal videos.
    """

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype = torch.float32):
        self.shape, self.generator, self.dtype = shape, generator, dtype

    def initial(self) -> Tensor:
        return self._draw()

    def __call__(self, index: int) -> Tensor:
        first = self._draw()
        return first if index == 0 else self._draw()

    def _draw(self) -> Tensor:
        return torch.randn(self.shape, generator=self.generator, device=self.generator.device, dtype=self.dtype)
