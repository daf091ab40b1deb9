"""The networks of a run and where they come from.

`TrainedModels` is what the trainer needs of them; a builder makes it from settings:
`build_models` reads the official release folder, or asks this project's own tiny preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ..config import PAPER, RELEASE, AdapterConfig, TransformerConfig
from ..face.encoder import load_face_encoder
from ..files.checkpoint import open_checkpoint
from ..host import diffusers as diffusers_host
from ..host.diffusers import others as diffusers_models
from ..identity.network.adapter import IdentityAdapter
from ..pipeline import check_folder, find_face_encoder, prompt_ids
from ..shape.topology.topology import Topology, load_topology
from ..weights.adapter import load_adapter
from ..weights.transformer import transformer_config
from .config import ModelSettings, TrainingConfig


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


def build_models(config: TrainingConfig) -> TrainedModels:
    """The networks of a run, seeded; frozen ones in the run's precision, those that learn in float32.

    Raises FileNotFoundError or ValueError saying what the folder lacks, or which parts do not fit together.
    """
    settings = config.model
    dtype = torch.bfloat16 if config.precision == "bf16" and torch.cuda.is_available() else torch.float32
    torch.manual_seed(config.seed)
    models = _build_preset(config, dtype) if settings.kind == "tiny" else _build_release(settings, dtype)
    _choose_what_learns(models, settings)
    return models


def _build_preset(config: TrainingConfig, dtype: torch.dtype) -> TrainedModels:
    from .preset import build_preset

    return build_preset(config.model, dtype, config.seed)


def _build_release(settings: ModelSettings, dtype: torch.dtype) -> TrainedModels:
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


def new_adapter(settings: ModelSettings, sizes: TransformerConfig, topology: Topology) -> IdentityAdapter:
    """An untrained adapter that changes nothing: what it adds is multiplied by zeros at first."""
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


def _choose_what_learns(models: TrainedModels, settings: ModelSettings) -> None:
    learns = ("adapter",) if settings.trains.startswith("adapter") else tuple(models.parts)
    if not models.adapter.config.use_face:
        learns = tuple(name for name in learns if name != "face_encoder")  # nothing reads it
    for name, part in models.parts.items():
        part.requires_grad_(name in learns).train(name in learns)
        if name in learns:
            part.float()
    if settings.trains == "adapter+lora":
        from .lora import add_lora

        add_lora(models.transformer, settings.lora_rank, settings.lora_alpha)
    if settings.gradient_checkpointing:
        models.transformer.enable_gradient_checkpointing()


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
