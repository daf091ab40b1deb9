"""The preset "tiny": a DiT of the CogVideoX class, from nothing, between the small networks of `tinymodel`.

Its mesh is that of the project's own heads. `model.preset` changes sizes of the DiT (keys of `TransformerConfig`),
`model.sizes` those of the adapter, `model.folder` says where the small networks' weights are, as `train_encoders`
writes them (default: the VAE that comes along, and encoders that have learned nothing yet).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ..config import PAPER, TransformerConfig
from ..files.network import load_strictly
from ..host import diffusers as diffusers_host
from ..identity.adapter import IdentityAdapter
from ..sampling import alphas_cumprod
from ..shape.ownhead.mesh import head_mesh
from ..shape.topology.meshtopology import mesh_topology
from ..shape.topology.topology import Topology, load_topology
from ..tinymodel.face import TinyFaceEncoder
from ..tinymodel.loading import load_vae
from ..tinymodel.models import TinyCodec, TinyModels, tiny_models
from ..tinymodel.sampler import ADAPTER_FILE, TRANSFORMER_FOLDER
from ..tinymodel.text import TextEncoder
from ..weights.adapter import load_adapter
from .activation import quicken_gelu
from .config import ModelSettings, config_to_dict
from .models import TrainedModels, new_adapter
from .portraits import load_portraits

# Three heads, because ComfyUI's class needs a width divisible by 3. 64 pixels are 16 latents or 8 tokens per side.
DIT = TransformerConfig(
    num_layers=5,
    num_attention_heads=3,
    time_embed_dim=128,
    sample_width=16,
    sample_height=16,
    sample_frames=9,
    spatial_interpolation_scale=1.0,
)
# The mesh is pooled three times, so that few tokens remain and every vertex is in the receptive field of one.
VERTEX_COUNTS = (2236, 560, 160, 48)
# The paper's adapter, as wide as this DiT. It has fewer face tokens than the encoder, whose tokens form a grid.
ADAPTER = {
    "attention_heads": 4,
    "attention_head_dim": 32,
    "abstractor_width": 64,
    "abstractor_depth": 1,
    "face_tokens": 36,
    "vertex_width": 96,
    "spiral_widths": [32, 64, 96],
    "shape_components": 24,  # as many as our heads have parameters
    "fusion_layers": 2,
    "fusion_heads": 4,
    "reducer_widths": [96, 96, 96, 192],
}
SNR_SHIFT = 1.0  # the host's schedule for CogVideoX-5B, so that its stock samplers fit


def build_preset(settings: ModelSettings, dtype: torch.dtype, seed: int) -> TrainedModels:
    """The networks of a tiny run; the VAE is trained and frozen, the rest begins with the values of `seed`.

    Raises FileNotFoundError without the VAE's weights; ValueError for sizes that do not exist or fit.
    """
    small = _small_networks(settings.folder, seed)
    sizes = transformer_sizes(settings, small)
    transformer = diffusers_host.build_transformer(sizes)
    quicken_gelu(transformer)
    goes_on = settings.adapter == "folder"
    models = TrainedModels(
        codec=TinyCodec(small.vae),
        transformer=transformer,
        adapter=(
            _packaged_adapter(settings, sizes)
            if goes_on
            else new_adapter(adapter_settings(settings, small), sizes, heads_topology(settings))
        ),
        text_encoder=small.text_encoder,
        face_encoder=small.face_encoder,
        alphas=alphas_cumprod(snr_shift_scale=SNR_SHIFT),
    )
    if goes_on:
        packaged = diffusers_host.load_transformer(Path(settings.folder) / TRANSFORMER_FOLDER)
        load_strictly(transformer, packaged.state_dict(), f"{settings.folder} (transformer)")
    elif settings.portraits:
        load_portraits(models, settings.portraits, settings.topology)
    return models


def _packaged_adapter(settings: ModelSettings, sizes: TransformerConfig) -> IdentityAdapter:
    """The adapter of a packaged folder with the mesh topology that it was trained with.

    Its spirals are part of what it has learned: on those of another topology, even one of the same mesh, its tokens
    are wrong. Raises ValueError for another topology (`model.topology`), variant and sizes than the file's.
    """
    adapter = load_adapter(Path(settings.folder) / ADAPTER_FILE, settings.topology, torch.float32)
    theirs = {"variant": adapter.config.variant, **config_to_dict(adapter.config)}
    asked = {"variant": settings.variant, "dit_width": sizes.width, **settings.sizes}
    for name, value in asked.items():
        if name not in theirs:
            raise ValueError(f"model.sizes: {name} is no size of an adapter; known are {', '.join(theirs)}.")
        if theirs[name] != (list(value) if isinstance(value, tuple) else value):
            raise ValueError(
                f"The adapter in {settings.folder} has {name} {theirs[name]}, the config asks for {value}. Ask for "
                "what it has, or set model.adapter to new."
            )
    return adapter


def _small_networks(folder: str | None, seed: int) -> TinyModels:
    """The small networks of a folder, or the shipped VAE with untrained encoders."""
    if folder:
        return tiny_models(folder, seed)
    return TinyModels(load_vae(), TextEncoder(seed=seed), TinyFaceEncoder(seed=seed))


def transformer_sizes(settings: ModelSettings, small: TinyModels) -> TransformerConfig:
    """Sizes of the DiT; what it reads of texts and latents follows from the small networks."""
    unknown = sorted(set(settings.preset) - set(TransformerConfig.__dataclass_fields__))
    if unknown:
        known = ", ".join(TransformerConfig.__dataclass_fields__)
        raise ValueError(f"model.preset: {', '.join(unknown)} is no size of the transformer; known are {known}.")
    text, channels = small.text_encoder.config, small.vae.config.latent_channels
    fitting = {
        "text_embed_dim": text.embed,
        "max_text_seq_length": text.tokens,
        "out_channels": channels,
        "in_channels": 2 * channels,
    }
    return replace(DIT, **{**fitting, **settings.preset})


def adapter_settings(settings: ModelSettings, small: TinyModels) -> ModelSettings:
    """The settings with this preset's sizes of the adapter below the user's."""
    face = small.face_encoder
    fitting = {"vit_width": face.width, "vit_tokens": face.tokens}
    own = ADAPTER if settings.variant == PAPER else {}
    return replace(settings, sizes={**own, **fitting, **settings.sizes})


def heads_topology(settings: ModelSettings) -> Topology:
    """The mesh of the project's own heads with its coarser levels, or the one that `model.topology` names."""
    if settings.topology:
        return load_topology(settings.topology)
    mesh = head_mesh()
    return mesh_topology(mesh.template, mesh.faces, VERTEX_COUNTS)
