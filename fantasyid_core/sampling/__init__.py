"""From noise to a video: `solvers`, `windows` (longer than the model's own length), `continuation` (of a video)."""

from .solvers import (
    TRAIN_STEPS,
    Denoise,
    OfficialNoise,
    OnStep,
    Step,
    alphas_cumprod,
    make_steps,
    sample,
    sample_ddim,
    sample_dpm,
)

__all__ = [
    "TRAIN_STEPS",
    "Denoise",
    "OfficialNoise",
    "OnStep",
    "Step",
    "alphas_cumprod",
    "make_steps",
    "sample",
    "sample_ddim",
    "sample_dpm",
]
