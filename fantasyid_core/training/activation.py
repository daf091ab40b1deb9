"""GELU in its tanh form, as CogVideoX has it, with a faster backward pass on CPUs.

    GELU(x) = x s(u),   u = x (a + b x^2),   a = 2 sqrt(2 / pi),   b = 0.044715 a,   s the logistic function

since (1 + tanh(u / 2)) / 2 = s(u). s is kept for the backward pass, which then needs no exponential; PyTorch's own
kernel computes a tanh in both passes and takes twice as long.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_A = 2 * math.sqrt(2 / math.pi)
_B = 0.044715 * _A


class TanhGelu(torch.autograd.Function):
    """`TanhGelu.apply(x)`: GELU of a float32 tensor."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        share = (x * x).mul_(_B).add_(_A).mul_(x).sigmoid_()
        context.save_for_backward(x, share)
        return x * share

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        """d/dx x s(u) = s (1 + x u' (1 - s))."""
        x, share = context.saved_tensors
        slope = (x * x).mul_(3 * _B).add_(_A).mul_(x)  # x u'
        return slope.mul_(1 - share).add_(1).mul_(share).mul_(gradient)


class ProjectedGelu(nn.Module):
    """Replaces diffusers' module of a projection and its GELU; the projection keeps its name."""

    def __init__(self, projection: nn.Module):
        super().__init__()
        self.proj = projection

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.proj(hidden)
        if hidden.device.type == "cpu" and hidden.dtype == torch.float32:
            return TanhGelu.apply(hidden)
        return F.gelu(hidden, approximate="tanh")


def quicken_gelu(transformer: nn.Module) -> None:
    """Puts this GELU into the blocks of diffusers' CogVideoX transformer; the names of the weights stay."""
    for block in transformer.transformer_blocks:
        block.ff.net[0] = ProjectedGelu(block.ff.net[0].proj)
