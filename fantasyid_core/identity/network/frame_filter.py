"""F_l, the frame filter of the paper variant (paper section 3.3), on top of each layer's attention.

    hidden <- hidden + F_l(Attention_layer(LN(id_tokens), LN(hidden))) W_out

F_l is a residual depthwise 3x3 convolution over each latent frame's grid of video tokens, followed by a layer norm over
the channels. W_out starts at zero, so an untrained adapter leaves the hidden states unchanged, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from ...config import AdapterConfig
from .attention import LayerAttention


class FrameFilter(nn.Module):
    """F_l: x + conv(x) over the grid of every latent frame, then layer norm; [B, N, C] -> [B, N, C]."""

    def __init__(self, width: int, grid: tuple[int, int], operations=nn):
        super().__init__()
        self.grid = tuple(grid)
        self.conv = operations.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = operations.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError unless N is a whole number of latent frames."""
        height, width = self.grid
        if x.shape[1] % (height * width):
            raise ValueError(
                f"Expected whole latent frames of {height}x{width} video tokens (a multiple of {height * width}), got "
                f"{x.shape[1]} tokens. Use the size of video that the adapter was made for."
            )
        frames = x.reshape(-1, height, width, x.shape[2]).permute(0, 3, 1, 2)  # [B*T, C, h, w], channels last
        convolved = self.conv(frames).permute(0, 2, 3, 1).reshape(x.shape)
        return self.norm(x + convolved)


class FilteredAttention(LayerAttention):
    """Cross-attention and F_l of one injected layer."""

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__(config, operations)
        self.grid = (config.grid[0], config.grid[1])
        self.filter = FrameFilter(config.inner_width, config.grid, operations)
        nn.init.zeros_(self.to_out.weight)

    def attend(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        return self.to_out(self.filter(self.attention(kv, hidden)))


class RepeatedLayer(nn.Module):
    """One injection for all `count` layers, used like a list of them; its weights exist, and are saved, once."""

    def __init__(self, layer: LayerAttention, count: int):
        super().__init__()
        self.count = count
        self.add_module("0", layer)  # the name under which a list would save it

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LayerAttention:
        if not -self.count <= index < self.count:
            raise IndexError(f"Expected a layer of 0 to {self.count - 1}, got {index}.")
        return cast(LayerAttention, self.get_submodule("0"))

    def __iter__(self) -> Iterator[LayerAttention]:
        return (self[index] for index in range(self.count))
