"""A face encoder of a million parameters that keeps positions: convolutions on a grid, then self-attention.

Glasses are thin, beards are soft and hair is an outline, so the encoder must keep positions. A token stands for 8 x 8
pixels of the reference, and `experiments.train_reading` trains every token to tell what lies there. The interface is
`TinyFaceEncoder`'s: class token first, then the grid row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .tokens import FaceTokens

_RESIDUAL = 0.3  # how much a new block adds, so that many of them begin as little more than none


@dataclass(frozen=True)
class GridFaceConfig:
    """image_size: side of the picture that it sees, halved once by regrouping pixels and once by every stage.

    widths, blocks: channels of each stage and how many residual blocks follow its convolution.
    """

    image_size: int = 64
    widths: tuple[int, ...] = (80, 128)
    blocks: tuple[int, ...] = (2, 2)
    layers: int = 2
    heads: int = 4

    def __post_init__(self):
        if not self.widths or len(self.widths) != len(self.blocks):
            raise ValueError(f"Expected as many blocks as widths, at least one, got {self.blocks} and {self.widths}.")

    @property
    def name(self) -> str:
        return "FantasyID-Tiny face encoder that keeps places"

    @property
    def width(self) -> int:
        return self.widths[-1]

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.image_size >> (len(self.widths) + 1)

    @classmethod
    def tiny(cls, **changes) -> GridFaceConfig:
        return replace(cls(image_size=16, widths=(4, 8), blocks=(1, 1), layers=1, heads=2), **changes)


class GridFaceEncoder(FaceTokens):
    """`encode`: RGB pictures 0..1 -> features. Built twice with one seed it is the same."""

    def __init__(self, config: GridFaceConfig | None = None, seed: int = 0):
        super().__init__()
        self.config = config = config or GridFaceConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inner = (12, *config.widths[:-1])  # three colours of 2 x 2 pixels
            self.stages = nn.ModuleList(
                Stage(*sizes) for sizes in zip(inner, config.widths, config.blocks, strict=True)
            )
            self.make_layers()

    def convolve(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,C,g,g]
        hidden = F.pixel_unshuffle(pixels, 2).contiguous(memory_format=torch.channels_last)
        for place, stage in enumerate(self.stages):
            hidden = stage(F.silu(hidden) if place else hidden)
        return hidden


class Stage(nn.Module):
    """A convolution that halves the side, then residual blocks: [B,Cin,s,s] -> [B,C,s/2,s/2]."""

    def __init__(self, inner: int, outer: int, blocks: int):
        super().__init__()
        self.halve = nn.Conv2d(inner, outer, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(outer) for _ in range(blocks))

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.halve(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(norm(x)))), the norm over the channels of each place."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv_out.weight.mul_(_RESIDUAL)
            self.conv_out.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        normed = self.norm(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # BCHW, channels last in memory
        return hidden + self.conv_out(F.silu(self.conv_in(normed)))
