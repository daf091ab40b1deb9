"""The settings of the VAE's training: a frozen dataclass whose field names are the keys of the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..files.settings import above, ratio, read_settings, settings_from
from ..tinymodel.vae import VaeConfig

CONFIGS = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class VaeTraining:
    """people: how many, with one clip each. Steps learn from `crops` squares of `crop` pixels out of as many clips,
    the last `whole` (a share of the steps) from fewer whole pictures instead.

    muon_lr: of the convolutions; adam_lr: of all else. Both rise over `warmup` steps and fall along a cosine to 0.
    average: decay of the averaged weights, which are the result. noise: latents get noise of a deviation drawn from
    0..noise for every crop. loss = absolute x |error| + squared x error^2 + motion x (error of differences in time)^2
    + edges x |error of differences in space| + deviation x (second moments of the latent channels - 1)^2.
    """

    seed: int = 0
    people: int = 6000
    steps: int = 12000
    crops: int = 6
    crop: int = 32
    whole: float = 0.1
    muon_lr: float = 0.02
    adam_lr: float = 3e-4
    warmup: int = 50
    average: float = 0.998
    clip: float = 1.0
    noise: float = 0.1
    absolute: float = 0.2
    squared: float = 20.0
    motion: float = 8.0
    edges: float = 0.05
    deviation: float = 0.01
    checkpoint_minutes: float = 2.0
    output: str = "output/tiny_vae"
    vae: VaeConfig = field(default_factory=VaeConfig)

    def __post_init__(self):
        for name in ("people", "steps", "crops", "checkpoint_minutes", "muon_lr", "adam_lr"):
            above(name, getattr(self, name), 0)
        if self.crop % 8 or not 8 <= self.crop <= 64:
            raise ValueError(f"crop: expected 8 to 64 pixels, a multiple of 8, got {self.crop}.")
        for name in ("whole", "average"):
            ratio(name, getattr(self, name))


def load_settings(source: str | Path | Mapping) -> VaeTraining:
    """From a YAML file, the name of a shipped config ("tiny_vae"), or a mapping; errors as `read_settings`."""
    if isinstance(source, Mapping):
        return settings_from(VaeTraining, source)
    return read_settings(VaeTraining, source, CONFIGS)
