"""Fusion transformer: vertex tokens and face tokens attend to each other (paper section 3.2, L = 6)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig


class FusionTransformer(nn.Sequential):
    """[B, N, vertex_width] -> the same; pre-norm self-attention layers."""

    def __init__(self, config: AdapterConfig, operations=nn):
        width, heads = config.vertex_width, config.fusion_heads
        super().__init__(*(FusionLayer(width, heads, operations) for _ in range(config.fusion_layers)))


class FusionLayer(nn.Module):
    """x + Attention(LN(x)), then x + MLP(LN(x)); Q, K, V without bias, MLP twice as wide."""

    def __init__(self, width: int, heads: int, operations=nn):
        super().__init__()
        self.heads = heads
        self.attention_norm = operations.LayerNorm(width)
        self.to_qkv = operations.Linear(width, 3 * width, bias=False)
        self.to_out = operations.Linear(width, width)
        self.mlp_norm = operations.LayerNorm(width)
        self.mlp_in = operations.Linear(width, 2 * width)
        self.mlp_out = operations.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:  # [B, N, C]
        q, k, v = rearrange(self.to_qkv(self.attention_norm(x)), "b n (s h d) -> s b h n d", s=3, h=self.heads)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.to_out(rearrange(attended, "b h n d -> b n (h d)"))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))
