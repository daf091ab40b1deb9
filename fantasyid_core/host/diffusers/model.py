"""diffusers' CogVideoX transformer, loaded from a release, and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from ...config import TransformerConfig
from ...files.checkpoint import open_checkpoint
from ...weights.adapter import check_float, check_keys
from ...weights.transformer import transformer_config, transformer_keys


def load_transformer(source, config: Mapping | None = None, dtype: torch.dtype = torch.float32):
    """diffusers' CogVideoXTransformer3DModel with the weights of `source`; FantasyID's own are left unread.

    source: release folder, transformer folder, file (either naming) or state dict; config: official keys that
    override config.json. Weights that keep their dtype lie in the file, which must not be written to meanwhile.
    Raises FileNotFoundError or ValueError saying what was expected and found.
    """
    check_float(dtype)
    checkpoint = open_checkpoint(source)
    keys = transformer_keys(checkpoint)
    sizes = transformer_config(checkpoint, config)
    with torch.device("meta"):
        model = build_transformer(sizes)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    check_keys(checkpoint, keys, shapes, "CogVideoX transformer")
    state = {name: checkpoint.map(key, dtype) for key, name in keys.items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def build_transformer(sizes: TransformerConfig):
    """An uninitialised CogVideoXTransformer3DModel with rotary and learned positions."""
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(
        **asdict(sizes), use_rotary_positional_embeddings=True, use_learned_positional_embeddings=True
    )


def transformer_sizes(transformer) -> TransformerConfig:
    """The sizes of a loaded transformer."""
    names = TransformerConfig.__dataclass_fields__
    return TransformerConfig(**{name: transformer.config[name] for name in names})


def rotary_table(sizes: TransformerConfig, device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [N, head_dim] of the model's own size, where the official crop is the whole grid."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    height, width = sizes.sample_height // sizes.patch_size, sizes.sample_width // sizes.patch_size
    return get_3d_rotary_pos_embed(
        embed_dim=sizes.attention_head_dim,
        crops_coords=((0, 0), (height, width)),
        grid_size=(height, width),
        temporal_size=sizes.latent_frames,
        device=device,
    )
