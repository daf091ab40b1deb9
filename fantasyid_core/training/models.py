"""The networks of a run: their interface for the trainer, and a new adapter that fits the transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..config import PAPER, RELEASE, AdapterConfig, TransformerConfig
from ..host import diffusers as diffusers_host
from ..identity.adapter import IdentityAdapter
from ..shape.topology.topology import Topology
from .config import ModelSettings


class VideoCodec(Protocol):
    """Pictures to latents and back; frozen. Latents are scaled as the transformer has them."""

    def encode(self, pixels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Pixels [B,3,F,H,W] in -1..1 -> latents [B,T,C,h,w] float32: the mean, or with `noise` a sample."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B,T,C,h,w] -> pixels [B,F,H,W,3] in 0..1, float32."""

    def to(self, device: torch.device) -> VideoCodec: ...

    @property
    def fingerprint(self) -> str:
        """Tells codecs apart, for the cache of latents."""


@dataclass(eq=False)
class TrainedModels:
    """transformer: CogVideoXTransformer3DModel; text_encoder: list of texts -> [B, text, C]; face_encoder: pixels
    [B,3,S,S] in 0..1 -> features [B,P,C]; alphas: alpha-bar of the 1000 timesteps."""

    codec: VideoCodec
    transformer: nn.Module
    adapter: IdentityAdapter
    text_encoder: nn.Module
    face_encoder: nn.Module
    alphas: Tensor  # [1000] float64

    @property
    def sizes(self) -> TransformerConfig:
        return diffusers_host.transformer_sizes(self.transformer)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks that can learn, by name."""
        return {
            "transformer": self.transformer,
            "adapter": self.adapter,
            "text_encoder": self.text_encoder,
            "face_encoder": self.face_encoder,
        }


def new_adapter(settings: ModelSettings, sizes: TransformerConfig, topology: Topology) -> IdentityAdapter:
    """An untrained adapter that changes nothing, because its output projections start at zero."""
    adapter = IdentityAdapter(adapter_sizes(settings, sizes, topology), topology)
    if adapter.config.variant == RELEASE:
        for name, parameter in adapter.named_parameters():
            if name.endswith(("projection", "query")):  # the two that the release creates without values
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        for layer in adapter.layers:
            nn.init.zeros_(layer.to_out.weight)
    return adapter


def adapter_sizes(settings: ModelSettings, sizes: TransformerConfig, topology: Topology) -> AdapterConfig:
    """Sizes of a new adapter for this transformer and mesh; ValueError for keys that are no sizes."""
    unknown = sorted(set(settings.sizes) - set(AdapterConfig.__dataclass_fields__))
    if unknown:
        known = ", ".join(AdapterConfig.__dataclass_fields__)
        raise ValueError(f"model.sizes: {', '.join(unknown)} is no size of an adapter; known are {known}.")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.sizes.items()}
    interval = given.get("interval") or 1
    fitting = {
        "interval": interval,
        "dit_width": sizes.width,
        "injected_layers": -(-sizes.num_layers // interval),
        "vertex_counts": topology.vertex_counts,
        "grid": sizes.frame_grid,
    }
    make = AdapterConfig.paper if settings.variant == PAPER else AdapterConfig
    return make(**{**fitting, **given})
