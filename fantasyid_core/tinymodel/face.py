"""The face encoder of FantasyID-Tiny: a reference picture -> features, instead of EVA-CLIP's.

`train_encoders` pre-trains it, and it is then trained together with the DiT. The interface is
`face.encoder.FaceEncoder`'s: class token first, then a square grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .tokens import FaceTokens


@dataclass(frozen=True)
class FaceConfig:
    """image_size: side of the picture that it sees; every one of `stem` (widths) halves it."""

    image_size: int = 64
    stem: tuple[int, ...] = (32, 64)
    width: int = 128
    layers: int = 2
    heads: int = 4

    @property
    def name(self) -> str:
        return "FantasyID-Tiny face encoder"

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.image_size >> (len(self.stem) + 1)

    @classmethod
    def tiny(cls, **changes) -> FaceConfig:
        return replace(cls(image_size=16, stem=(4,), width=8, layers=1, heads=2), **changes)


class TinyFaceEncoder(FaceTokens):
    """`encode`: RGB pictures 0..1 -> features. Built twice with one seed it is the same."""

    def __init__(self, config: FaceConfig | None = None, seed: int = 0):
        super().__init__()
        self.config = config = config or FaceConfig()
        widths = (3, *config.stem, config.width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.ModuleList(
                nn.Conv2d(inner, outer, 3, stride=2, padding=1)
                for inner, outer in zip(widths[:-1], widths[1:], strict=True)
            )
            self.make_layers()

    def convolve(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,C,g,g]
        for place, conv in enumerate(self.stem):
            pixels = conv(F.silu(pixels) if place else pixels)
        return pixels
