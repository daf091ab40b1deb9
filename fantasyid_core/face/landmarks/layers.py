"""Building blocks that the three networks share. Activations are [B,C,H,W].

What a convolution has just made is changed in place: writing it anew took a fifth of the time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around x as TensorFlow's padding "SAME" adds them: the odd one goes to the right and to the bottom."""
    over = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[:-3:-1]]
    return F.pad(x, (over[0] // 2, over[0] - over[0] // 2, over[1] // 2, over[1] - over[1] // 2))


def widen(x: Tensor, channels: int) -> Tensor:
    """Zeros as further channels, up to `channels`."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


class BlazeBlock(nn.Module):
    """Depthwise 3x3, pointwise 1x1, and the input added, halved by a maximum and with zeros as new channels.

    prelu: whether the last activation has learned slopes; ReLU otherwise.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1, prelu: bool = False, operations=torch.nn):
        super().__init__()
        self.stride = stride
        self.depthwise = operations.Conv2d(inside, inside, 3, stride, groups=inside)
        self.pointwise = operations.Conv2d(inside, outside, 1)
        self.activation = nn.PReLU(outside) if prelu else nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:  # [B, Cin, H, W] -> [B, Cout, H / stride, W / stride]
        y = self.pointwise(self.depthwise(pad_same(x, 3, self.stride)))
        skip = F.max_pool2d(x, 2, 2) if self.stride == 2 else x
        return self.activation(y.add_(widen(skip, y.shape[1])))


class DoubleBlock(nn.Module):
    """Two depthwise-pointwise pairs through a narrow middle; the input is added when nothing changes its shape."""

    def __init__(self, inside: int, middle: int, outside: int, stride: int = 1, operations=torch.nn):
        super().__init__()
        self.adds = inside == outside and stride == 1
        self.depthwise1 = operations.Conv2d(inside, inside, 3, stride, padding=1, groups=inside)
        self.pointwise1 = operations.Conv2d(inside, middle, 1)
        self.depthwise2 = operations.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.pointwise2 = operations.Conv2d(middle, outside, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, Cin, H, W] -> [B, Cout, H / stride, W / stride]
        y = F.relu_(self.pointwise1(self.depthwise1(x)))
        y = self.pointwise2(self.depthwise2(y))
        return F.relu_(y.add_(x) if self.adds else y)
