"""Identity tokens of several pictures of one person become the tokens that are injected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...options import AVERAGE, CONCATENATE, JOINS


def combine_tokens(tokens: Sequence[Tensor], how: str = AVERAGE) -> Tensor:
    """Joins K sets of identity tokens [B, Nid, Cid], one per picture, in one of `options.JOINS`.

    "average": the mean over the pictures, [B, Nid, Cid], summed in float32 at least. Common features stay, and
    differences (light, expression) are averaged out. It costs as much as one picture.
    "concatenate": one set after the other, [B, K*Nid, Cid]. Every video token then attends to all pictures at
    once, and the softmax favours those that suit it, such as the view with the same head pose. It takes K times the
    keys and values. The attention weights over all pictures sum to one, so that one picture given K times has the same
    effect as given once, and the strength does not grow with K.

    The result has the type and device of the first. Raises ValueError for no tokens, other shapes, and another way.
    """
    if how not in JOINS:
        raise ValueError(f"Expected a way to join references out of {', '.join(JOINS)}, got {how!r}.")
    tokens = list(tokens)
    _check(tokens)
    first = tokens[0]
    if len(tokens) == 1:
        return first
    if how == CONCATENATE:
        return torch.cat([each.to(first) for each in tokens], dim=1)
    wide = torch.promote_types(first.dtype, torch.float32)
    return torch.stack([each.to(first.device, wide) for each in tokens]).mean(dim=0).to(first.dtype)


def _check(tokens: list[Tensor]) -> None:
    if not tokens:
        raise ValueError("Expected the identity tokens of at least one picture, got none.")
    shapes = [list(each.shape) for each in tokens]
    if tokens[0].ndim != 3 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"Expected identity tokens [B, Nid, Cid] of one shape, got {', '.join(map(str, shapes))}. Encode all "
            "pictures with the same adapter."
        )
