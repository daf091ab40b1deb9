"""Small seeded networks for tests."""

from __future__ import annotations

import torch

from fantasyid_core.config import AdapterConfig
from fantasyid_core.files.keymaps import release_name
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.shape.head import synthetic_head, synthetic_topology


def seed_module(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Fills every parameter: matrices scaled by their inputs, norms near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim <= 1:
                value.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            else:
                value.copy_(noise / value[0].numel() ** 0.5)
    return module


def make_adapter(seed: int = 0, **changes) -> IdentityAdapter:
    return seed_module(IdentityAdapter(AdapterConfig.tiny(**changes), synthetic_topology()), seed).eval()


def release_state(adapter: IdentityAdapter) -> dict[str, torch.Tensor]:
    """The adapter's weights under the release's names."""
    return {release_name(key): value for key, value in adapter.state_dict().items()}


def inputs_of(adapter: IdentityAdapter, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """ViT features and vertices that fit the adapter."""
    config = adapter.config
    generator = torch.Generator().manual_seed(7)
    feats = torch.randn(batch, config.vit_tokens, config.vit_width, generator=generator)
    return feats, synthetic_head()[0].expand(batch, -1, -1)


def make_transformer_state(sizes, seed: int = 1) -> dict[str, torch.Tensor]:
    """A seeded CogVideoX transformer of `sizes` under diffusers' names; its position table has text rows too."""
    from fantasyid_core.host.diffusers.model import build_transformer

    state = seed_module(build_transformer(sizes), seed).state_dict()
    table = state["patch_embed.pos_embedding"]
    state["patch_embed.pos_embedding"] = 0.3 * torch.randn(table.shape, generator=torch.Generator().manual_seed(seed))
    return state
