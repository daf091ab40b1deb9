"""One layer's injection with K and V of every person kept: for many tokens, and for the paper variant.

The paper variant's F_l is not a sum over people, so its K and V cannot be folded into the projections.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network.attention import LayerAttention, match_batch
from .network.frame_filter import FilteredAttention, FrameFilter
from .projections import CHUNK, Share, add, linear, project, query_projection, widening
from .steering.token_weights import WeightedTokens

_FILTER = ("filter.conv.weight", "filter.conv.bias", "filter.norm.weight", "filter.norm.bias")


class SharedLayer(nn.Module):
    """The shared form: it keeps K and V of every person, and all people share the query and the output projection."""

    unit = CHUNK

    def __init__(self, layer: LayerAttention, people: Sequence[WeightedTokens], operations=nn):
        super().__init__()
        self.heads, self.eps = layer.heads, layer.hidden_norm.eps
        width, inner = layer.to_q.in_features, layer.to_q.out_features
        shapes = [(p.tokens.shape[0], layer.heads, p.tokens.shape[1], inner // layer.heads) for p in people]
        self.query = operations.Linear(width, inner)
        self.out = operations.Linear(inner, width, bias=False)
        self.keys = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.values = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.log_weights = nn.ParameterDict(
            {str(i): torch.empty(len(p.log_weights)) for i, p in enumerate(people) if p.log_weights is not None}
        )

    @property
    def floats_per_token(self) -> int:
        """Numbers of a video token that are alive at once beside the result."""
        return max(self.query.in_features + self.query.out_features, 3 * self.query.out_features)

    @property
    def weight_count(self) -> int:
        """How many numbers stay in memory."""
        people = sum(value.numel() for part in (self.keys, self.values, self.log_weights.values()) for value in part)
        return self.query.out_features * (self.query.in_features + 1 + self.out.out_features) + people

    @staticmethod
    def weights(layer: LayerAttention, people: Sequence[WeightedTokens]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = {}
        for index, person in enumerate(people):
            wide = widening(layer, person)
            state[f"keys.{index}"], state[f"values.{index}"] = project(layer, person.tokens, wide)
            if person.log_weights is not None:
                state[f"log_weights.{index}"] = wide(person.log_weights)
        state["query.weight"], state["query.bias"] = query_projection(layer, wide)
        state["out.weight"] = wide(layer.to_out.weight)
        return state

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share | None]) -> Tensor | None:
        """`onto` (None: nothing) and what each person adds to `hidden`, [B, N, D]; a share of None adds nothing."""
        if not any(shares):
            return onto
        query = linear(self.query, F.layer_norm(hidden, hidden.shape[-1:], eps=self.eps))
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, N, Dh]
        parts = [self._attend(index, query, share) for index, share in enumerate(shares) if share is not None]
        return add(onto, linear(self.out, sum(parts[1:], start=parts[0])), Share())

    def _attend(self, index: int, query: Tensor, share: Share) -> Tensor:  # -> [B, N, H*Dh]
        attended = self._attention(index, query, share.weight)
        return attended if share.region is None else attended * share.region.weights

    def _attention(self, index: int, query: Tensor, weight: float) -> Tensor:  # -> [B, N, H*Dh]
        key, value = (match_batch(x[index].to(query), query.shape[0]) for x in (self.keys, self.values))
        bias = self.log_weights[str(index)].to(query) if str(index) in self.log_weights else None
        if bias is not None:
            bias = bias.expand(1, 1, query.shape[2], -1)
        value = value * weight  # small, and no case of its own for weight 1: it would be compiled anew
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        return attended.transpose(1, 2).flatten(2)


class ConvolvedLayer(SharedLayer):
    """One layer with the identities fixed: K and V of every person are kept, F_l is applied to each of them."""

    def __init__(self, layer: FilteredAttention, people: Sequence[WeightedTokens], operations=nn):
        super().__init__(layer, people, operations)
        self.filter = FrameFilter(layer.to_q.out_features, layer.grid, operations)
        self.unit = layer.grid[0] * layer.grid[1]

    @property
    def floats_per_token(self) -> int:
        """Numbers of a video token that are alive at once beside the result."""
        return self.query.in_features + 4 * self.query.out_features

    @property
    def weight_count(self) -> int:
        """How many numbers stay in memory."""
        return super().weight_count + sum(value.numel() for value in self.filter.parameters())

    @staticmethod
    def weights(layer: FilteredAttention, people: Sequence[WeightedTokens]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = SharedLayer.weights(layer, people)
        like = state["query.weight"]
        return state | {name: layer.get_parameter(name).to(like) for name in _FILTER}

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share | None]) -> Tensor | None:
        """`onto` (None: nothing) and what each person adds to `hidden`, [B, N, D]; a share of None adds nothing.

        Raises ValueError unless N is a whole number of latent frames.
        """
        # A person whose only group of tokens this adapter does not make has none, and adds nothing.
        there = [share if key.shape[2] else None for share, key in zip(shares, self.keys, strict=True)]
        return super().add(onto, hidden, there)

    def _attend(self, index: int, query: Tensor, share: Share) -> Tensor:  # -> [B, N, H*Dh]
        filtered = self.filter(self._attention(index, query, 1.0)) * share.weight
        return filtered if share.region is None else filtered * share.region.weights
