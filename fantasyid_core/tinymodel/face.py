"""The face encoder of FantasyID-Tiny: a reference picture -> features, instead of EVA-CLIP's.

`train_encoders` pre-trains it, and it is then trained together with the DiT. The interface is
`face.encoder.FaceEncoder`'s: class token first, then a square grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..face.encoder import prepare_pixels
from .tokens import TokenLayer


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


class TinyFaceEncoder(nn.Module):
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
            self.class_token = nn.Parameter(0.1 * torch.randn(1, 1, config.width))
            self.positions = nn.Parameter(0.1 * torch.randn(1, config.grid**2, config.width))
            self.layers = nn.ModuleList(TokenLayer(config.width, config.heads) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.width)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def image_size(self) -> int:
        """Side of the square picture that it sees, in pixels."""
        return self.config.image_size

    @property
    def width(self) -> int:
        """Channels of each token."""
        return self.config.width

    @property
    def tokens(self) -> int:
        """P, the number of tokens, the class token included."""
        return 1 + self.config.grid**2

    def encode(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,P,C]
        """Features of square RGB pictures in 0..1 of any size. Raises ValueError as `prepare_pixels` does."""
        weight = self.class_token
        hidden = prepare_pixels(pixels, self.image_size, weight.dtype).to(weight.device)
        for place, conv in enumerate(self.stem):
            hidden = conv(F.silu(hidden) if place else hidden)
        grid = hidden.flatten(2).transpose(1, 2) + self.positions  # [B,C,g,g] -> [B,P-1,C]
        tokens = torch.cat([weight.expand(len(grid), -1, -1), grid], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)

    def forward(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,P,C]
        return self.encode(pixels)
