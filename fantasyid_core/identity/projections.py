"""Parts that all forms of a fixed layer share: a person's weight and region, the projections, and in-place sums."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

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


def add_linear(onto: Tensor | None, layer: nn.Linear, x: Tensor, share: Share) -> Tensor:
    """onto + share * layer(x) for a layer without bias, summed within the matrix product where that is possible."""
    # Not tested while compiling, because each weight would then need its own graph.
    if onto is not None and _sums_within(onto, layer, x) and share.weight == 1 and share.region is None:
        return torch.addmm(onto.flatten(0, 1), x.flatten(0, 1), layer.weight.t()).view_as(onto)
    return add(onto, layer(x), share)


def _sums_within(onto: Tensor, layer: nn.Module, x: Tensor) -> bool:
    plain = type(layer) is nn.Linear and onto.dtype == x.dtype == layer.weight.dtype == torch.float32
    contiguous = onto.is_contiguous() and x.is_contiguous()
    return plain and contiguous and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def add(onto: Tensor | None, delta: Tensor, share: Share) -> Tensor:
    """onto + share * delta, written into `delta`, which nobody else holds."""
    into = None if delta.requires_grad or (onto is not None and onto.requires_grad) else delta
    if share.region is not None and onto is not None:
        return torch.addcmul(onto, delta, share.region.weights, value=share.weight, out=into)
    if onto is not None:
        return torch.add(onto, delta, alpha=share.weight, out=into)
    delta = delta if share.weight == 1 else delta * share.weight
    return delta if share.region is None else delta * share.region.weights
