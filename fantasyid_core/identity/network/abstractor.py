"""Face abstractor: ViT features of the crop -> 36 face tokens (paper section 3.2, C-Abstractor).

The released network has five branches of which only the last one reaches the output, so only that
one is built: 17.7 M of 144.2 M parameters. Choices of the release that the weights depend on:
the CLS token is dropped after the mapping, and *two* position embeddings are added (see `forward`).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig


class FaceAbstractor(nn.Module):
    """[B, P, vit_width] features, CLS token first -> [B, Nf, width_out] face tokens.

    width_out: `id_width` by default. second_position: whether to have the release's second position embedding.
    """

    def __init__(
        self, config: AdapterConfig, operations=nn, width_out: int | None = None, second_position: bool = True
    ):
        super().__init__()
        width, patches = config.vit_width, config.vit_tokens - 1
        self.mapping = nn.Sequential(
            operations.Linear(width, width),
            operations.LayerNorm(width),
            nn.LeakyReLU(),
            operations.Linear(width, width),
            operations.LayerNorm(width),
            nn.LeakyReLU(),
            operations.Linear(width, width),
        )
        self.previous_position = nn.Parameter(torch.zeros(1, patches, width)) if second_position else None
        self.position = nn.Parameter(torch.zeros(1, patches, width))
        self.abstractor = ConvAbstractor(config, operations)
        self.feed_forward = nn.Sequential(
            operations.LayerNorm(width),
            operations.Linear(width, width * config.feed_forward_ratio, bias=False),
            nn.GELU(),
            operations.Linear(width * config.feed_forward_ratio, width, bias=False),
        )
        self.projection = nn.Parameter(torch.zeros(width, width_out or config.id_width))

    def forward(self, vit_feats: Tensor) -> Tensor:  # [B, P, vit_width] -> [B, Nf, width_out]
        patches = self.mapping(vit_feats)[:, 1:]
        # The release adds each position embedding in place to a tensor that two abstractors share, so
        # the live one sees its neighbour's embedding as well; added in that order to round alike.
        if self.previous_position is not None:
            patches = patches + self.previous_position.to(patches)
        patches = patches + self.position.to(patches)
        tokens = self.feed_forward(self.abstractor(patches))
        return tokens @ self.projection.to(tokens)


class ConvAbstractor(nn.Module):
    """C-Abstractor: convolutions before and after an average pool to a small square grid."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        hidden = config.abstractor_width
        self.grid = square_side(config.face_tokens, "face_tokens")
        square_side(config.vit_tokens - 1, "vit_tokens - 1")
        self.before_pool = RegNetStage(config.abstractor_depth, config.vit_width, hidden, operations)
        self.after_pool = RegNetStage(config.abstractor_depth, hidden, hidden, operations)
        self.readout = nn.Sequential(
            operations.Linear(hidden, config.vit_width),
            nn.SiLU(),
            operations.Linear(config.vit_width, config.vit_width),
        )

    def forward(self, patches: Tensor) -> Tensor:  # [B, h*w, C] -> [B, Nf, C]
        side = square_side(patches.shape[1], "patch count")
        image = rearrange(patches, "b (h w) c -> b c h w", h=side)
        image = self.before_pool(image)
        image = F.adaptive_avg_pool2d(image, (self.grid, self.grid))
        image = self.after_pool(image)
        return self.readout(rearrange(image, "b c h w -> b (h w) c"))


class RegNetStage(nn.Sequential):
    """`depth` RegNet bottlenecks; only the first one changes the number of channels."""

    def __init__(self, depth: int, channels_in: int, channels: int, operations=nn):
        widths = [channels_in] + [channels] * (depth - 1)
        super().__init__(*(RegNetBlock(width, channels, operations) for width in widths))


class RegNetBlock(nn.Module):
    """RegNet-Y bottleneck of ratio 1, depthwise 3x3, squeeze-excite of a quarter of its *input* width."""

    def __init__(self, channels_in: int, channels: int, operations=nn):
        super().__init__()
        self.conv1 = ConvNorm(channels_in, channels, 1, operations)
        self.conv2 = ConvNorm(channels, channels, 3, operations, groups=channels)
        squeezed = round(channels_in * 0.25)
        self.squeeze = operations.Conv2d(channels, squeezed, 1)
        self.excite = operations.Conv2d(squeezed, channels, 1)
        self.conv3 = ConvNorm(channels, channels, 1, operations)
        self.shortcut = ConvNorm(channels_in, channels, 1, operations) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # [B, Cin, h, w] -> [B, C, h, w]
        y = F.silu(self.conv1(x))
        y = F.silu(self.conv2(y))
        gate = self.excite(F.silu(self.squeeze(y.mean((2, 3), keepdim=True))))
        y = self.conv3(y * gate.sigmoid())
        return F.silu(y + self.shortcut(x))


class ConvNorm(nn.Module):
    """Convolution without bias, then layer norm over the channels of each pixel."""

    def __init__(self, channels_in: int, channels: int, kernel: int, operations=nn, groups: int = 1):
        super().__init__()
        self.conv = operations.Conv2d(channels_in, channels, kernel, padding=kernel // 2, groups=groups, bias=False)
        self.norm = operations.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, Cin, h, w] -> [B, C, h, w]
        return self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def square_side(count: int, what: str) -> int:
    """The side of a square of `count` tokens; ValueError when there is none."""
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(f"{what} must be a square number, got {count}: the tokens form a square grid.")
    return side
