"""The transformer layer that the text and the face encoder share."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


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
