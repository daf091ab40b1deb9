"""Small seeded adapters of the paper variant."""

from __future__ import annotations

import torch
from small import seed_module

from fantasyid_core.config import AdapterConfig
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.shape.head import synthetic_head, synthetic_topology


def untrained_adapter(seed: int = 0, **changes) -> IdentityAdapter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return IdentityAdapter(AdapterConfig.paper_tiny(**changes), synthetic_topology())


def trained_adapter(seed: int = 0, **changes) -> IdentityAdapter:
    """With seeded weights everywhere, those that start at zero included."""
    return seed_module(untrained_adapter(**changes), seed).requires_grad_(False).eval()


def heads(count: int, seed: int = 0) -> torch.Tensor:
    """Synthetic heads of different sizes, [n, V, 3] in metres."""
    scale = 1 + 0.1 * torch.randn(count, 1, 3, generator=torch.Generator().manual_seed(seed))
    return synthetic_head()[0] * scale
