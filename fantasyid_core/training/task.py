"""The loss of a batch: turns clips of a source into inputs of the denoiser, and compares its output with v."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..files.pixels import to_video
from ..pipeline import stretch
from .batches import Batch, generator
from .config import TrainingConfig
from .denoiser import Seen
from .models import TrainedModels
from .objective import Draws, add_noise, draw, twin_loss, velocity_loss


class Task:
    """The loss of a batch under `config`, on `device`. Its random numbers follow from (seed, micro-batch, process)."""

    def __init__(self, models: TrainedModels, config: TrainingConfig, device: torch.device):
        self._codec, self._sizes = models.codec.to(device), models.sizes
        self._alphas = models.alphas.to(torch.float32)
        self._config, self._device = config, device
        self._encodes_each_step = config.data.latents == "each step"

    def losses(self, denoiser, batch: Batch, micro_batch: int, process: int = 0, stills: bool = False) -> Tensor:
        """v-prediction loss of every clip, float32 [B], with gradients. `denoiser` is the wrapped module.

        stills: of the first latent frames alone, which are pictures. Of twins, with the error in how they differ,
        wherever the vertices that tell them apart are not left out.
        """
        draws_of = torch.Generator().manual_seed(
            int(generator(self._config.seed, "noise", micro_batch, process).integers(2**62))
        )
        clean = self._latents(batch, draws_of)
        clean = clean[:, :1] if stills else clean
        config = self._config
        together = 2 if config.data.twins else 1
        draws = draw(tuple(clean.shape), config.identity, config.condition, draws_of, config.early_share, together)
        alpha, noise = self._alphas[draws.times].to(self._device), draws.noise.to(self._device)
        seen = self._seen(batch, draws, add_noise(clean, noise, alpha), draws_of)
        predicted = denoiser(seen)
        loss = velocity_loss(predicted, clean, noise, alpha)
        if not (config.data.twins and config.twin_weight):
            return loss
        told = (seen.keeps_identity & seen.keeps_vertices).to(loss)
        return loss + config.twin_weight * told * twin_loss(predicted, clean, alpha)

    def sampling_inputs(self, batch: Batch, noisy: Tensor, texts: list[str] | None = None) -> Seen:
        """The denoiser's inputs for sampling: nothing is left out, and the picture has no noise; `times` are zeros."""
        batch_size = len(batch)
        everything = torch.ones(batch_size, dtype=torch.bool)
        draws = Draws(torch.zeros(batch_size, dtype=torch.long), noisy, torch.zeros(batch_size), *[everything] * 5)
        identity = self._config.identity
        if identity.null_face == 1:
            draws = draws._replace(keeps_face=~everything)
        if identity.null_vertices == 1:
            draws = draws._replace(keeps_vertices=~everything)
        seen = self._seen(batch, draws, noisy, torch.Generator().manual_seed(0), sampling=True)
        return seen if texts is None else seen._replace(texts=texts)

    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [B,T,C,h,w] -> pictures uint8 [B,F,H,W,3]."""
        return (self._codec.decode(latents) * 255).round().to("cpu", torch.uint8).numpy()

    def _latents(self, batch: Batch, draws_of: torch.Generator) -> Tensor:  # -> [B,T,C,h,w] float32
        if batch.latents is not None:
            latents = torch.from_numpy(batch.latents).to(self._device, torch.float32)
        else:
            latents = self._codec.encode(to_video(batch.pictures).to(self._device), draws_of)
        channels, frames, height, width = self._sizes.latent_shape
        if tuple(latents.shape[1:]) != (frames, channels, height, width):
            raise ValueError(
                f"The clips make latents [T,C,h,w] = {list(latents.shape[1:])}, the transformer needs "
                f"{[frames, channels, height, width]} ({self._sizes.describe_size()}). Set data.frames and data.size "
                "to the model's, or use the codec that belongs to it."
            )
        return latents

    def _seen(
        self, batch: Batch, draws: Draws, noisy: Tensor, draws_of: torch.Generator, sampling: bool = False
    ) -> Seen:
        faces = torch.from_numpy(batch.references).permute(0, 3, 1, 2).float() / 255
        texts = [text if keep else "" for text, keep in zip(batch.texts, draws.keeps_text.tolist(), strict=True)]
        return Seen(
            noisy=noisy,
            picture=self._picture(batch, draws, noisy, draws_of, sampling),
            times=draws.times.to(self._device),
            texts=texts,
            faces=faces.to(self._device),
            vertices=torch.from_numpy(batch.vertices).to(self._device),
            keeps_identity=draws.keeps_identity.to(self._device),
            keeps_face=draws.keeps_face.to(self._device),
            keeps_vertices=draws.keeps_vertices.to(self._device),
        )

    def _picture(self, batch: Batch, draws: Draws, noisy: Tensor, draws_of: torch.Generator, sampling: bool) -> Tensor:
        """The condition picture as the latent of the first frame, zeros after it: [B,T,C,h,w] as `noisy`."""
        video = torch.zeros(noisy.shape, device=self._device)
        if self._config.condition.picture == "none":
            return video
        pixels = self._condition_pixels(batch)  # [B,3,1,H,W]
        noise = torch.randn(pixels.shape, generator=draws_of) * draws.picture_noise.view(-1, 1, 1, 1, 1)
        posterior_draws = None if sampling or not self._encodes_each_step else draws_of
        latents = self._codec.encode((pixels + noise).to(self._device), posterior_draws)
        keeps = draws.keeps_picture.to(self._device).view(-1, 1, 1, 1, 1)
        video[:, :1] = torch.where(keeps, latents, torch.zeros_like(latents))
        return video

    def _condition_pixels(self, batch: Batch) -> Tensor:
        if self._config.condition.picture == "first frame":
            return to_video(batch.first[:, None])
        # As FantasyID: the square crop is stretched to the video's size.
        height, width = batch.first.shape[1:3]
        if batch.references.shape[1:3] == (height, width):
            return to_video(batch.references[:, None])
        return torch.cat([stretch(crop, width, height) for crop in batch.references]).unsqueeze(2)
