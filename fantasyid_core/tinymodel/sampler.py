"""Samples videos with FantasyID-Tiny without a host: vertices, a reference, a prompt and a seed -> frames.

sample = TinySampler()
frames = sample(vertices, references, "turns the head to the left, blue background", seed=1)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..host import diffusers as diffusers_host
from ..host.diffusers.mechanisms import Clock, attached
from ..sampling import OfficialNoise, Step, alphas_cumprod, make_steps, sample
from ..sampling.windows import latent_frames_for, windowed
from ..weights.adapter import load_adapter
from .loading import SHIPPED
from .models import TinyCodec, TinyModels, tiny_models

if TYPE_CHECKING:
    from ..identity.adapter import IdentityAdapter

ADAPTER_FILE, TRANSFORMER_FOLDER = "adapter.safetensors", "transformer"
STEPS = 1
"""Of DDIM. Its clips follow from prompt and person, so the first prediction is all there is to say; more steps add the
grain of a network that learned little about slightly noisy latents."""


@dataclass(eq=False)
class TinyNetworks:
    """All five networks of FantasyID-Tiny; frozen, in float32."""

    small: TinyModels
    transformer: nn.Module
    adapter: IdentityAdapter


def load_networks(folder: str | os.PathLike | None = None) -> TinyNetworks:
    """Those of a folder, by default of the shipped one. FileNotFoundError and ValueError as their loaders."""
    folder = Path(folder or SHIPPED)
    return TinyNetworks(
        tiny_models(folder),
        diffusers_host.load_transformer(folder / TRANSFORMER_FOLDER).eval(),
        load_adapter(folder / ADAPTER_FILE),
    )


class TinySampler:
    """A sampler as `people.instruments` takes them. steps: DDIM steps. cfg: guidance by the prompt; 1 is none.

    One seed is the same noise for everybody. `strength` 0 leaves the identity out. frames: of videos longer than the
    model's own, in windows. mechanism: options of `mechanisms.attached`, which make sampling faster or smaller.
    """

    def __init__(
        self,
        networks: TinyNetworks | None = None,
        steps: int = STEPS,
        cfg: float = 1.0,
        strength: float = 1.0,
        frames: int | None = None,
        mechanism: Mapping | None = None,
    ):
        self.networks = networks or load_networks()
        self.frames, self.mechanism = frames, {"cache": None, "steps": steps, **(mechanism or {})}
        self.strength, self._cfg, self._steps = strength, cfg, make_steps(steps, alphas_cumprod())
        self._codec = TinyCodec(self.networks.small.vae)

    def __call__(self, vertices: np.ndarray, references: np.ndarray, prompt: str, seed: int) -> np.ndarray:
        """vertices [V,3] in metres, references uint8 [R,S,S,3] (the first counts) -> frames uint8 [T,H,W,3]."""
        return self.many([(vertices, references, prompt, seed)])[0]

    def many(self, requests: Sequence[tuple]) -> np.ndarray:
        """Several at once, each (vertices, references, prompt, seed): uint8 [N,T,H,W,3]."""
        vertices, references, prompts, seeds = zip(*requests, strict=True)
        return self.make(self.identity(np.stack(vertices), np.stack([each[0] for each in references])), prompts, seeds)

    @torch.inference_mode()
    def identity(self, vertices: np.ndarray, faces: np.ndarray) -> Tensor:  # [N,V,3], uint8 [N,S,S,3]
        """Identity tokens [N, tokens, C] of people."""
        pixels = torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float() / 255
        return self.networks.adapter.encode(
            self.networks.small.face_encoder(pixels), torch.from_numpy(np.asarray(vertices, np.float32))
        )

    @torch.inference_mode()
    def make(self, tokens: Tensor, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Clips uint8 [N,T,H,W,3] of people by their tokens, one prompt and one seed for each."""
        return self.decode(self.latents(tokens, prompts, seeds))

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [N,L,C,h,w] -> clips uint8 [N,T,H,W,3]."""
        return (self._codec.decode(latents).clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    @torch.inference_mode()
    def latents(self, tokens: Tensor, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """The latents [N,L,C,h,w] of the clips that `make` decodes."""
        transformer, text = self.networks.transformer, self.networks.small.text_encoder
        sizes = diffusers_host.transformer_sizes(transformer)
        channels, frames, height, width = sizes.latent_shape
        total = latent_frames_for(self.frames, frames) if self.frames else frames
        draws = [
            OfficialNoise((1, total, channels, height, width), torch.Generator().manual_seed(seed)) for seed in seeds
        ]
        noise = torch.cat([each.initial() for each in draws])
        guided = self._cfg > 1
        texts = text(list(prompts))
        if guided:
            texts = torch.cat([text([""] * len(prompts)), texts])
            tokens = torch.cat([tokens, tokens])
        empty = torch.zeros(len(texts), frames, sizes.in_channels - channels, height, width)
        rotary, clock = diffusers_host.rotary_table(sizes, torch.device("cpu")), Clock()

        def denoise(x: Tensor, step: Step) -> Tensor:
            seen = torch.cat([torch.cat([x, x]) if guided else x, empty], dim=2)
            clock.timestep = step.timestep
            # Passed by name, because some mechanisms look them up by their names.
            given = {"hidden_states": seen, "encoder_hidden_states": texts}
            given["timestep"] = torch.full((len(texts),), step.timestep)
            v = transformer(**given, image_rotary_emb=rotary, return_dict=False)[0]
            if guided:
                negative, positive = v.chunk(2)
                v = negative + self._cfg * (positive - negative)
            return step.clean_from_velocity(x, v)

        injector = self.networks.adapter.injector(tokens, self.strength)
        with attached(transformer, injector, **self.mechanism, clock=clock):
            return sample(windowed(denoise, total, frames), noise, self._steps, "ddim", None)
