"""What the small encoders share: the transformer layer of texts and faces, and the tokens of both face encoders."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..face.encoder import prepare_pixels


class TokenLayer(nn.Module):
    """Pre-norm self-attention without a mask, then a feed-forward of twice the width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_in = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # [B,N,D]
        tokens = tokens + self.to_out(self._attend(self.norm_in(tokens)))
        return tokens + self.narrow(F.gelu(self.widen(self.norm_out(tokens))))

    def _attend(self, tokens: Tensor) -> Tensor:
        q, k, v = rearrange(self.to_qkv(tokens), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        # Written out: on CPUs the backward of the fused kernel is slower for so few tokens.
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
        return rearrange(weights @ v, "b h n d -> b n (h d)")


class FaceTokens(nn.Module):
    """What both face encoders have in common: convolutions make a grid of features, transformer layers its tokens.

    A subclass has a `config` and `convolve`, and calls `make_layers` after it has made its convolutions.
    """

    def make_layers(self) -> None:
        """Makes the class token, the positions and the layers, whose values follow the present random state."""
        config = self.config
        self.class_token = nn.Parameter(0.1 * torch.randn(1, 1, config.width))
        self.positions = nn.Parameter(0.1 * torch.randn(1, config.grid**2, config.width))
        self.layers = nn.ModuleList(TokenLayer(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def convolve(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,C,g,g]
        """The features of normalised pixels on a grid."""
        raise NotImplementedError

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
        pixels = prepare_pixels(pixels, self.image_size, weight.dtype).to(weight.device)
        grid = self.convolve(pixels).flatten(2).transpose(1, 2)  # [B,C,g,g] -> [B,P-1,C]
        grid = grid + self.positions.to(grid.dtype)
        tokens = torch.cat([weight.to(grid.dtype).expand(len(grid), -1, -1), grid], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)

    def forward(self, pixels: Tensor) -> Tensor:  # [B,3,S,S] -> [B,P,C]
        return self.encode(pixels)
