"""ConsisID's identity branch: five states of the picture encoder and one vector -> 32 identity tokens.

    vector -> five tokens [5] ───────────────┬───────────────────┐
    learned queries [32] ────────────────────┴-> latents [37]    │
    state i -> mapping i -> its tokens [P] ──────> context [5+P] ┴-> two layers of attention, for each of five states
    latents[:32] -> projection -> identity tokens [32]

The network of ConsisID-preview (arXiv 2411.17440), called Local Facial Extractor there. Choices of the release that
the weights depend on: keys and values come from the concatenated context and latents, and the five identity tokens
among the latents are updated, too, although only the 32 queries are returned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig


class LocalFacialExtractor(nn.Module):
    """Five states [B, P, vit_width] and vectors [B, vector_width] -> identity tokens [B, face_tokens, id_width]."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        width = config.vit_width
        self.vector_tokens = config.vector_tokens
        self.vector_mapping = mapping(config.vector_width, width, width * config.vector_tokens, operations)
        self.latents = nn.Parameter(torch.zeros(1, config.face_tokens, width))
        self.mappings = nn.ModuleList(mapping(width, width, width, operations) for _ in range(config.identity_states))
        self.layers = nn.ModuleList(ExtractorLayer(config, operations) for _ in range(config.extractor_depth))
        self.projection = nn.Parameter(torch.zeros(width, config.id_width))

    @property
    def telling_matrix(self) -> Tensor:
        """Weights that tell one adapter from another."""
        return self.projection

    def forward(self, states: Sequence[Tensor], vector: Tensor) -> Tensor:
        identity = self.vector_mapping(vector).unflatten(-1, (self.vector_tokens, -1))  # [B, 5, C]
        queries = self.latents.to(identity).expand(len(identity), -1, -1)
        latents = torch.cat([queries, identity], dim=1)
        per_state = len(self.layers) // len(self.mappings)
        for index, (state, to_tokens) in enumerate(zip(states, self.mappings, strict=True)):
            context = torch.cat([identity, to_tokens(state)], dim=1)  # [B, 5+P, C]
            for layer in self.layers[index * per_state : (index + 1) * per_state]:
                latents = layer(context, latents)
        return latents[:, : queries.shape[1]] @ self.projection.to(latents)


class ExtractorLayer(nn.Module):
    """Latents attend to the context and to each other; a feed-forward network follows. Both are residual."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        width, inner = config.vit_width, config.vit_width * config.feed_forward_ratio
        self.attention = ExtractorAttention(config, operations)
        self.feed_forward = nn.Sequential(
            operations.LayerNorm(width),
            operations.Linear(width, inner, bias=False),
            nn.GELU(),
            operations.Linear(inner, width, bias=False),
        )

    def forward(self, context: Tensor, latents: Tensor) -> Tensor:  # [B, 5+P, C], [B, 37, C] -> [B, 37, C]
        latents = latents + self.attention(context, latents)
        return latents + self.feed_forward(latents)


class ExtractorAttention(nn.Module):
    """Attention with queries from the latents, and keys and values from the concatenated context and latents."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        width, inner = config.vit_width, config.extractor_heads * config.extractor_head_dim
        self.heads = config.extractor_heads
        self.context_norm = operations.LayerNorm(width)
        self.latent_norm = operations.LayerNorm(width)
        self.to_q = operations.Linear(width, inner, bias=False)
        self.to_kv = operations.Linear(width, 2 * inner, bias=False)
        self.to_out = operations.Linear(inner, width, bias=False)

    def forward(self, context: Tensor, latents: Tensor) -> Tensor:  # [B, 5+P, C], [B, 37, C] -> [B, 37, C]
        latents = self.latent_norm(latents)
        seen = torch.cat([self.context_norm(context), latents], dim=1)
        q = rearrange(self.to_q(latents), "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.to_kv(seen), "b n (s h d) -> s b h n d", s=2, h=self.heads)
        return self.to_out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))


def mapping(width_in: int, width: int, width_out: int, operations=nn) -> nn.Sequential:
    """Three linear layers, the first two with norm and leaky ReLU."""
    return nn.Sequential(
        operations.Linear(width_in, width),
        operations.LayerNorm(width),
        nn.LeakyReLU(),
        operations.Linear(width, width),
        operations.LayerNorm(width),
        nn.LeakyReLU(),
        operations.Linear(width, width_out),
    )
