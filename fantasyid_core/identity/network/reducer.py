"""ResConv1D reducer: one descriptor per vertex -> 79 vertex tokens of the identity width (paper section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ...config import AdapterConfig

_GROUPS = 8


class VertexReducer(nn.Sequential):
    """[B, vertex_width, V] -> [B, reducer_widths[-1], Nv]; four strided residual blocks along the vertices."""

    def __init__(self, config: AdapterConfig, operations=nn):
        widths = (config.vertex_width, *config.reducer_widths)
        sizes = zip(widths[:-1], widths[1:], config.reducer_kernels, config.reducer_strides, strict=True)
        super().__init__(*(ResidualConv1d(*size, operations=operations) for size in sizes))


class ResidualConv1d(nn.Module):
    """Two convolution blocks beside one strided convolution."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, operations=nn):
        super().__init__()
        self.conv_in = ConvBlock1d(channels_in, channels, kernel, stride, operations)
        self.conv_out = ConvBlock1d(channels, channels, 3, 1, operations)
        self.residual = operations.Conv1d(channels_in, channels, kernel, stride=stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:  # [B, Cin, n] -> [B, C, ceil(n / stride)]
        return self.conv_out(self.conv_in(x)) + self.residual(x)


class ConvBlock1d(nn.Module):
    """Convolution, group norm of 8 groups, Mish."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, operations=nn):
        super().__init__()
        self.conv = operations.Conv1d(channels_in, channels, kernel, stride=stride, padding=kernel // 2)
        self.norm = operations.GroupNorm(_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(self.norm(self.conv(x)))
