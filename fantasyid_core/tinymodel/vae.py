"""The video VAE of FantasyID-Tiny: causal in time, 4x4 pixels and 4 frames to one latent of 32 channels as shipped.

Frame 0 is a latent frame of its own, and each further latent frame holds 4 frames: T = 4 k + 1 frames of H x W give
latents [B,16,k+1,H/4,W/4]. Nothing looks ahead: neither latents nor pictures of a frame depend on later frames, so one
picture is coded as the first frame of any clip is, and decoded as such.

Two paths add up in each direction: a linear map of patches, begun as their principal components (see `basis`), and a
residual network at the latents' size, begun as zero. Convolutions are two-dimensional; time is mixed by handing a share
of the channels on to the next latent frame. No convolution runs at the pictures' size.

How its latents map to CogVideoX' conventions, for whoever wraps it as a host's VAE:
- [B,C,L,h,w] as in diffusers and ComfyUI; the stock transformer of diffusers wants them as [B,L,C,h,w] (`TinyCodec`).
- Normalised to mean 0 and variance 1 per channel over training clips (`latents_mean`, `latents_std`): what `encode`
  gives is what the transformer sees. scaling_factor is 1, shift 0. A host that scales latents on the way to the model
  (ComfyUI's CogVideoX: 1.15258426 below 48 heads) must get them divided by that, and give them back multiplied.
- A side is divided by 4, not 8; time as usual: frames = 4 (L - 1) + 1.
- Pixels are 0..1, not -1..1 (so a wrapper's processing of inputs and outputs is the identity); BCTHW, or BTHWC.
- The posterior is its mean alone: samples of it are the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LINEAR_MAPS = ("first_out.", "group_out.")
DECODER_PARTS = ("decoder.", *LINEAR_MAPS)
"""How the names of the weights begin that decode; all others encode."""


@dataclass(frozen=True)
class VaeConfig:
    """Sizes of the VAE. `shared`: one in so many channels comes from the latent frame before."""

    latent_channels: int = 16
    patch: int = 4
    group: int = 4
    encoder_width: int = 64
    encoder_blocks: int = 3
    decoder_width: int = 96
    decoder_blocks: int = 5
    shared: int = 4

    scaling_factor = 1.0  # by CogVideoX' convention: latents are normalised channel by channel already

    @property
    def first_values(self) -> int:
        """Values of a patch of the first frame."""
        return 3 * self.patch**2

    @property
    def group_values(self) -> int:
        """Values of a patch of all frames of a later latent frame."""
        return self.group * self.first_values

    @classmethod
    def tiny(cls, **changes) -> VaeConfig:
        """A few thousand parameters, for tests."""
        return replace(cls(encoder_width=8, encoder_blocks=1, decoder_width=8, decoder_blocks=1), **changes)


class TinyVae(nn.Module):
    """`encode`: pictures 0..1 -> normalised latents. `decode`: back, clamped to 0..1."""

    def __init__(self, config: VaeConfig | None = None):
        super().__init__()
        self.config = config = config or VaeConfig()
        self.first_in = nn.Conv2d(config.first_values, config.latent_channels, 1)
        self.group_in = nn.Conv2d(config.group_values, config.latent_channels, 1)
        self.encoder = Encoder(config)
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.ones(config.latent_channels))
        self.decoder = Decoder(config)
        self.first_out = nn.Conv2d(config.latent_channels, config.first_values, 1)
        self.group_out = nn.Conv2d(config.latent_channels, config.group_values, 1)

    @property
    def scaling_factor(self) -> float:
        return self.config.scaling_factor

    def encode(self, pictures: Tensor) -> Tensor:  # [B,3,T,H,W] or [B,T,H,W,3] -> [B,C,L,h,w]
        """The mean latents of RGB pictures in 0..1; T = 4 k + 1 frames, sides that 8 divides.

        Raises ValueError for other shapes, integers and values out of range (NaN among them).
        """
        pixels = self._checked_pictures(pictures)
        mean, std = (stat[:, None, None, None] for stat in (self.latents_mean, self.latents_std))
        return (self.raw_latents(pixels) - mean) / std

    def decode(self, latents: Tensor) -> Tensor:  # [B,C,L,h,w] -> [B,3,T,H,W]
        """Pictures in 0..1, T = 4 (L - 1) + 1. Raises ValueError for another number of dimensions or channels."""
        channels = self.config.latent_channels
        if latents.ndim != 5 or latents.shape[1] != channels or not latents.numel():
            raise ValueError(
                f"Expected latents [B, {channels}, L, h, w] of this VAE, got {list(latents.shape)}. "
                "Use latents that its own encode or a model trained on them gave."
            )
        mean, std = (stat[:, None, None, None] for stat in (self.latents_mean, self.latents_std))
        return self.raw_pictures(latents.to(mean.dtype) * std + mean).clamp(0, 1)

    def raw_latents(self, pixels: Tensor) -> Tensor:  # [B,3,T,H,W] in 0..1 -> [B,C,L,h,w], not normalised
        first, groups = patches(2 * pixels - 1, self.config)
        linear = _in_time(self.first_in(first), self.group_in(groups.flatten(0, 1)), len(pixels))
        return (linear + self.encoder(first, groups)).transpose(1, 2)

    def raw_pictures(self, latents: Tensor) -> Tensor:  # [B,C,L,h,w], not normalised -> [B,3,T,H,W], not clamped
        latents = latents.transpose(1, 2)  # [B,L,C,h,w]
        first, groups = self.decoder(latents)
        first = first + self.first_out(latents[:, 0])
        groups = groups + self.group_out(latents[:, 1:].flatten(0, 1))
        return (unpatched(first, groups, self.config) + 1) / 2

    def _checked_pictures(self, pictures: Tensor) -> Tensor:
        if pictures.ndim == 5 and pictures.shape[1] != 3 and pictures.shape[-1] == 3:
            pictures = pictures.permute(0, 4, 1, 2, 3)
        patch, group = 2 * self.config.patch, self.config.group  # the transformer pairs latents up
        fits = pictures.ndim == 5 and pictures.shape[1] == 3 and pictures.numel()
        if not fits or pictures.shape[2] % group != 1 or pictures.shape[3] % patch or pictures.shape[4] % patch:
            raise ValueError(
                f"Expected RGB pictures [B, 3, T, H, W] or [B, T, H, W, 3] with T = {group} k + 1 frames and sides "
                f"that {patch} divides, got {list(pictures.shape)}. Cut or resize them."
            )
        if not pictures.is_floating_point():
            raise ValueError(f"Expected floats in 0..1, got {pictures.dtype}. Divide 8-bit pixels by 255.")
        low, high = pictures.min().item(), pictures.max().item()
        if not (low >= -0.1 and high <= 1.1):  # written so that NaN is refused too
            raise ValueError(f"Expected pictures in 0..1, got {low:g}..{high:g}. Divide 8-bit pixels by 255.")
        return pictures.to(self.latents_mean)


class Encoder(nn.Module):
    """The residual network beside the linear map from patches to latents."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        width = config.encoder_width
        self.first_stem = nn.Conv2d(config.first_values, width, 1)
        self.group_stem = nn.Conv2d(config.group_values, width, 1)
        self.blocks = nn.ModuleList(Block(width, config.shared) for _ in range(config.encoder_blocks))
        self.head = _zeroed(nn.Conv2d(width, config.latent_channels, 3, padding=1))

    def forward(self, first: Tensor, groups: Tensor) -> Tensor:  # [B,48,h,w], [B,L-1,192,h,w] -> [B,L,C,h,w]
        hidden = _in_time(self.first_stem(first), self.group_stem(groups.flatten(0, 1)), len(first))
        frames = hidden.shape[1]
        hidden = hidden.flatten(0, 1)
        for block in self.blocks:
            hidden = block(hidden, frames)
        return self.head(F.silu(hidden)).unflatten(0, (-1, frames))


class Decoder(nn.Module):
    """The residual network beside the linear map from latents to patches."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        width = config.decoder_width
        self.stem = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, config.shared) for _ in range(config.decoder_blocks))
        self.first_head = _zeroed(nn.Conv2d(width, config.first_values, 1))
        self.group_head = _zeroed(nn.Conv2d(width, config.group_values, 1))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:  # [B,L,C,h,w] -> [B,48,h,w], [B(L-1),192,h,w]
        frames = latents.shape[1]
        hidden = self.stem(latents.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            hidden = block(hidden, frames)
        hidden = F.silu(hidden).unflatten(0, (-1, frames))
        return self.first_head(hidden[:, 0]), self.group_head(hidden[:, 1:].flatten(0, 1))


class Block(nn.Module):
    """A residual block of two 3x3 convolutions; the first also sees channels of the latent frame before."""

    def __init__(self, width: int, shared: int):
        super().__init__()
        self.past = width // shared
        self.norm = PixelNorm(width)
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = _zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, hidden: Tensor, frames: int) -> Tensor:  # [B L,D,h,w]
        branch = F.silu(self.norm(look_back(hidden, frames, self.past)))
        return hidden + self.conv_out(F.silu(self.conv_in(branch)))


class PixelNorm(nn.Module):
    """Root-mean-square norm over the channels of each place: no statistics over space or time, whatever the size."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Tensor) -> Tensor:  # [N,D,h,w]
        scale = torch.rsqrt(hidden.square().mean(1, keepdim=True) + 1e-6)
        return hidden * scale * self.weight[:, None, None]


def look_back(hidden: Tensor, frames: int, past: int) -> Tensor:  # [B L,D,h,w]
    """The first `past` channels come from the latent frame before; those of the first frame are zero."""
    videos = hidden.unflatten(0, (-1, frames))
    before = F.pad(videos[:, :-1, :past], (0, 0) * 3 + (1, 0)).flatten(0, 1)
    return torch.cat([before.contiguous(memory_format=torch.channels_last), hidden[:, past:]], 1)


def patches(pixels: Tensor, config: VaeConfig) -> tuple[Tensor, Tensor]:  # [B,3,T,H,W]
    """Patches of the first frame [B,48,h,w] and of groups of later frames [B,L-1,192,h,w]; a group's frames follow
    one another in the channels."""
    first = F.pixel_unshuffle(pixels[:, :, 0], config.patch)
    later = pixels[:, :, 1:].transpose(1, 2).flatten(0, 1)  # [B(T-1),3,H,W]
    later = F.pixel_unshuffle(later, config.patch)
    groups = (pixels.shape[2] - 1) // config.group
    return first, later.reshape(len(pixels), groups, config.group_values, *later.shape[2:])


def unpatched(first: Tensor, groups: Tensor, config: VaeConfig) -> Tensor:  # [B,48,h,w], [B(L-1),192,h,w]
    """The inverse of `patches`: [B,3,T,H,W]."""
    later = groups.reshape(-1, config.first_values, *groups.shape[2:])
    later = F.pixel_shuffle(later, config.patch).unflatten(0, (len(first), -1)).transpose(1, 2)
    return torch.cat([F.pixel_shuffle(first, config.patch)[:, :, None], later], 2)


def _in_time(first: Tensor, groups: Tensor, batch: int) -> Tensor:  # [B,D,h,w], [B(L-1),D,h,w] -> [B,L,D,h,w]
    return torch.cat([first[:, None], groups.reshape(batch, -1, *first.shape[1:])], 1)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
