"""Weights of the identity tokens: those of the face beside those of the 3D shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...config import AdapterConfig


@dataclass(frozen=True, eq=False)
class WeightedTokens:
    """Identity tokens [B, T, Cid] and, when not all count alike, the logarithm of each token's weight [T]."""

    tokens: Tensor
    log_weights: Tensor | None = None

    def to(self, device: torch.device) -> WeightedTokens:
        weights = self.log_weights
        return WeightedTokens(self.tokens.to(device), None if weights is None else weights.to(device))


def weight_tokens(
    config: AdapterConfig, tokens: Tensor, face_weight: float = 1.0, vertex_weight: float = 1.0
) -> WeightedTokens | None:
    """Identity tokens [B, K*Nid, Cid], with how much the tokens of face and shape count.

    A weight w multiplies the group's share in the softmax, as if each of its tokens were there w times: 1 changes
    nothing, 0 takes the group out as if it had never been there, 2 doubles its say against the other group.
    Tokens of K concatenated references are weighted reference by reference. None when both weights are 0.
    Raises ValueError for negative or infinite weights, and for no tokens.
    """
    weights = (face_weight, vertex_weight)
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise ValueError(
            f"Expected weights of face and shape of 0 or more, got {face_weight} and {vertex_weight}. 0 takes a "
            "group out, 1 is as trained."
        )
    if tokens.shape[1] == 0:
        raise ValueError("Expected at least one identity token, got none. Encode the identity again.")
    if face_weight == vertex_weight:  # what both groups share is lost on the softmax
        return WeightedTokens(tokens) if face_weight else None
    if tokens.shape[1] % config.id_tokens:
        raise ValueError(
            f"Expected {config.id_tokens} identity tokens per reference, got {tokens.shape[1]} in all. Encode the "
            "identity again with this adapter to weight its face and shape."
        )
    is_face = torch.arange(tokens.shape[1], device=tokens.device) % config.id_tokens < config.face_tokens
    kept = is_face if vertex_weight == 0 else ~is_face
    if 0 in weights:
        return WeightedTokens(tokens[:, kept]) if kept.any() else None  # an adapter may have one group only
    ratio = torch.full(is_face.shape, math.log(vertex_weight / face_weight), device=tokens.device)
    return WeightedTokens(tokens, ratio.masked_fill(is_face, 0.0))
