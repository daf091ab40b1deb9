"""FantasyID on diffusers: its CogVideoX transformer, and identity added by one forward hook per injected block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from ..checkpoint import open_checkpoint
from ..config import TransformerConfig
from ..identity.injection import Injector
from ..transformer import transformer_config, transformer_keys
from ..weights import check_float, check_keys


def load_transformer(source, config: Mapping | None = None, dtype: torch.dtype = torch.float32):
    """diffusers' CogVideoXTransformer3DModel with the weights of `source`; FantasyID's own are left unread.

    source: release folder, transformer folder, file (either naming) or state dict; config: official keys that
    override config.json. Raises FileNotFoundError or ValueError saying what was expected and found.
    """
    check_float(dtype)
    checkpoint = open_checkpoint(source)
    keys = transformer_keys(checkpoint)
    sizes = transformer_config(checkpoint, config)
    with torch.device("meta"):
        model = build_transformer(sizes)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    check_keys(checkpoint, keys, shapes, "CogVideoX transformer")
    state = {name: checkpoint.read(key).to(dtype) for key, name in keys.items()}
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


class Attachment:
    """Identity attached to a transformer; `remove()` leaves the transformer as it was."""

    def __init__(self, hooks: list):
        self._hooks = hooks

    def remove(self) -> None:
        """Takes the identity off; may be called more than once."""
        while self._hooks:
            self._hooks.pop().remove()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_) -> None:
        self.remove()


def attach(transformer, *injectors: Injector) -> Attachment:
    """Adds one or several identities after the injected blocks of `transformer`.

    Injectors given together read the same hidden states, so their order does not matter. Gradients reach the
    adapters of injectors that were made with gradients on; with the transformer's gradient checkpointing, which
    computes the blocks again, the identities must stay attached until the end of the backward pass.
    Raises ValueError when an adapter does not belong to this transformer.
    """
    blocks = transformer.transformer_blocks
    grid = transformer_sizes(transformer).frame_grid
    parts = defaultdict(list)
    for injector in injectors:
        layers = injector.layer_of_block(len(blocks))
        injector.check_width(transformer.patch_embed.proj.weight.shape[0], grid)
        for block, layer in layers.items():
            parts[block].append((injector, layer))
    return Attachment([blocks[block].register_forward_hook(_hook(parts[block])) for block in parts])


def _hook(parts: list[tuple[Injector, int]]):
    def add_identities(_module, _inputs, output):
        hidden, text = output  # [B, N, D], [B, text, D]
        if len(parts) == 1:
            return parts[0][0].add(parts[0][1], hidden), text
        return hidden + sum(injector(layer, hidden) for injector, layer in parts), text

    return add_identities
