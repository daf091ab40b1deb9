"""Parts that all forms of a fixed layer share: a person's weight and region, the projections, and in-place sums."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .network.attention import LayerAttention
from .steering.regions import Region
from .steering.token_weights import WeightedTokens

CHUNK = 256  # chunks are multiples of it: smaller ones are slow


@dataclass(frozen=True, eq=False)
class Share:
    """The weight of a person's injection in this step, and its region (None: everywhere)."""

    weight: float = 1.0
    region: Region | None = None

    def part(self, tokens: slice) -> Share:
        return self if self.region is None else Share(self.weight, self.region.part(tokens))


def widening(layer: LayerAttention, person: WeightedTokens):
    """x -> x in float32 at least, where the person's tokens are."""
    dtype = torch.float64 if layer.to_kv.weight.dtype == torch.float64 else torch.float32  # 8 bits do not promote
    return lambda x: x.to(person.tokens.device, dtype)


def project(layer: LayerAttention, tokens: Tensor, wide) -> tuple[Tensor, Tensor]:
    """K, scaled and centred, and V of identity tokens, [B, H, T, Dh] each."""
    for module in (layer.id_norm, layer.to_kv):
        tokens = functional_call(module, {name: wide(x) for name, x in module.named_parameters()}, wide(tokens))
    key, value = tokens.unflatten(-1, (2, layer.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, T, 2, H, Dh] ->
    # The softmax ignores an offset that all logits of a head share, but half precision would lose digits to it.
    return (key - key.mean(2, keepdim=True)) * key.shape[-1] ** -0.5, value


def query_projection(layer: LayerAttention, wide) -> tuple[Tensor, Tensor]:
    """The query projection with the norm's affine part inside: weight [I, D] and bias [I]."""
    weight = wide(layer.to_q.weight)
    return weight * wide(layer.hidden_norm.weight), weight @ wide(layer.hidden_norm.bias)


def linear(layer: nn.Module, x: Tensor) -> Tensor:  # [B, N, C] -> [B, N, Cout]
    """layer(x). In float32 on a CPU it is computed as a 1x1 convolution of channels-last pictures, which is the same.

    PyTorch gives convolutions to oneDNN and matrix products to another library, which takes twice as long on some
    processors (measured on an AMD EPYC: 183 ms against 88 ms for 3,510 tokens, 3072 to 1840 channels).
    """
    # Not while compiling, whose own choice of kernels is the better one there.
    if type(layer) is not nn.Linear or not x.dtype == layer.weight.dtype == torch.float32 or x.device.type != "cpu":
        return layer(x)
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not _has_onednn():
        return layer(x)
    pictures = x.unsqueeze(1).permute(0, 3, 1, 2)  # [B, C, 1, N], a view with the strides of channels-last pictures
    return F.conv2d(pictures, layer.weight[:, :, None, None], layer.bias).permute(0, 2, 3, 1).squeeze(1)


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available()


def add(onto: Tensor | None, delta: Tensor, share: Share) -> Tensor:
    """onto + share * delta, written into `delta`, which nobody else holds."""
    into = None if delta.requires_grad or (onto is not None and onto.requires_grad) else delta
    if share.region is not None and onto is not None:
        return torch.addcmul(onto, delta, share.region.weights, value=share.weight, out=into)
    if onto is not None:
        return torch.add(onto, delta, alpha=share.weight, out=into)
    delta = delta if share.weight == 1 else delta * share.weight
    return delta if share.region is None else delta * share.region.weights
