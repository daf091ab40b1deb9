"""Samples videos of held-out clips as users will, because the loss does not show their quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..sampling import OfficialNoise, Step, make_steps, sample
from ..videofile import save_video
from .batches import Batch, ClipSource, generator
from .config import ValidationSettings
from .task import Task

_GAP = 2  # pixels between the pictures that stand side by side


class Validation:
    """Samples the same held-out clips from the same noise each time, so that videos of two steps can be compared."""

    def __init__(
        self, source: ClipSource, task: Task, alphas: Tensor, latent_shape: tuple, settings: ValidationSettings
    ):
        self._task, self._settings = task, settings
        self._steps = make_steps(settings.steps, alphas)
        channels, frames, height, width = latent_shape
        self._shape = (1, frames, channels, height, width)
        count = min(settings.clips, len(source))
        self._batches = [source.batch([i], generator(0, "validation", i)) for i in range(count)]

    @torch.no_grad()
    def run(self, denoiser, folder: Path, is_main: bool = True) -> list[Path]:
        """Writes <folder>/<number>.mp4 for every clip, the reference beside the video; returns the paths.

        Every process has to call it, for the denoiser may be spread over all of them; the main one writes.
        """
        training = denoiser.training
        denoiser.eval()
        paths = []
        try:
            for number, batch in enumerate(self._batches):
                video = self._task.decode(self._sample(denoiser, batch, number))[0]
                paths.append(folder / f"{number:02d}.mp4")
                if is_main:
                    save_video(beside_reference(batch, video), paths[-1], self._settings.fps)
        finally:
            denoiser.train(training)
        return paths

    def _sample(self, denoiser, batch: Batch, number: int) -> Tensor:
        draws = OfficialNoise(self._shape, torch.Generator().manual_seed(number))
        seen = self._task.sampling_inputs(batch, torch.zeros(self._shape))
        device, cfg = seen.times.device, self._settings.cfg

        def denoise(x: Tensor, step: Step) -> Tensor:
            times = torch.full_like(seen.times, step.timestep)
            v = denoiser(seen._replace(noisy=x, times=times))
            if cfg > 1:
                negative = denoiser(seen._replace(noisy=x, times=times, texts=[""] * len(batch)))
                v = negative + cfg * (v - negative)
            return step.clean_from_velocity(x, v)

        return sample(
            denoise,
            draws.initial().to(device),
            self._steps,
            self._settings.solver,
            lambda index: draws(index).to(device),
        )


def beside_reference(batch: Batch, video: np.ndarray) -> np.ndarray:
    """The reference, scaled to the video's height, to the left of every picture: uint8 [F,H,W',3]."""
    from PIL import Image

    height = video.shape[1]
    face = np.asarray(Image.fromarray(batch.references[0]).resize((height, height), Image.Resampling.LANCZOS))
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    return np.stack([np.concatenate([face, gap, frame], axis=1) for frame in video])
