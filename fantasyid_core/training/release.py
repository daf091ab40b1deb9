"""The networks of a run that starts from the official release folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import TransformerConfig
from ..face.encoder import load_face_encoder
from ..files.checkpoint import open_checkpoint
from ..host import diffusers as diffusers_host
from ..host.diffusers import others as diffusers_models
from ..identity.adapter import IdentityAdapter
from ..machine.folder import check_folder, find_face_encoder
from ..pipeline import prompt_ids
from ..shape.topology.topology import load_topology
from ..weights.adapter import load_adapter
from ..weights.transformer import transformer_config
from .config import ModelSettings
from .models import TrainedModels, new_adapter


def build_release(settings: ModelSettings, dtype: torch.dtype) -> TrainedModels:
    check_folder(settings.folder)
    folder = Path(settings.folder)
    transformer = diffusers_host.load_transformer(folder, dtype=dtype)
    sizes = diffusers_host.transformer_sizes(transformer)
    return TrainedModels(
        codec=VaeCodec(diffusers_models.load_vae(folder, dtype)),
        transformer=transformer,
        adapter=_adapter(settings, folder, sizes),
        text_encoder=T5Texts(
            diffusers_models.load_text_encoder(folder, dtype),
            diffusers_models.load_tokenizer(folder),
            sizes.max_text_seq_length,
        ),
        face_encoder=load_face_encoder(settings.face_encoder or find_face_encoder(folder)),
        alphas=diffusers_models.load_schedule(folder),
    )


def _adapter(settings: ModelSettings, folder: Path, sizes: TransformerConfig) -> IdentityAdapter:
    if settings.adapter == "folder":
        adapter = load_adapter(folder, settings.topology)
        if adapter.config.variant != settings.variant:
            raise ValueError(
                f"The adapter in {folder} is of variant {adapter.config.variant!r}, model.variant is "
                f"{settings.variant!r}. Set model.variant to {adapter.config.variant}, or model.adapter to new."
            )
        return adapter
    topology = load_topology(settings.topology, search_folders=(folder, folder / "transformer"))
    return new_adapter(settings, sizes, topology)


class VaeCodec:
    """diffusers' AutoencoderKLCogVideoX as a codec."""

    def __init__(self, vae: nn.Module):
        self.vae = vae.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pixels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        weight = next(self.vae.parameters())
        posterior = self.vae.encode(pixels.to(weight)).latent_dist
        latents = posterior.mean.float()
        if noise is not None:
            draws = torch.randn(latents.shape, generator=noise)  # on the CPU: the same on every device
            latents = latents + posterior.std.float() * draws.to(latents)
        return latents.transpose(1, 2) * self.vae.config.scaling_factor  # BCTHW -> BTCHW

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        weight = next(self.vae.parameters())
        video = self.vae.decode(latents.transpose(1, 2).to(weight) / self.vae.config.scaling_factor).sample
        return video.float().div(2).add(0.5).clamp(0, 1).permute(0, 2, 3, 4, 1)  # BCTHW -> BTHWC

    def to(self, device: torch.device) -> VaeCodec:
        self.vae.to(device)
        return self

    @property
    def fingerprint(self) -> str:
        total = sum(float(parameter.double().abs().sum()) for parameter in self.vae.parameters())
        return f"vae-{total:.12g}"


class T5Texts(nn.Module):
    """Texts -> T5 embeddings as the official pipeline makes them: padded to `length`, no attention mask."""

    def __init__(self, encoder: nn.Module, tokenizer, length: int):
        super().__init__()
        self.encoder = encoder
        self._tokenizer, self._length = tokenizer, length

    def forward(self, texts: Sequence[str]) -> Tensor:  # -> [B, text, C]
        ids = prompt_ids(self._tokenizer, list(texts), self._length)
        return self.encoder(ids.to(next(self.encoder.parameters()).device))[0]


def release_transformer_sizes(folder: Path) -> TransformerConfig:
    """Sizes of the transformer in a release folder; no weights are read."""
    return transformer_config(open_checkpoint(folder))
