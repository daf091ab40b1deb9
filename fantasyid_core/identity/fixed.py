"""One injected layer for fixed identity tokens: its cheaper form, and adding its output to the hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .folded import FoldedLayer
from .kept import ConvolvedLayer, SharedLayer
from .network.attention import LayerAttention
from .network.frame_filter import FilteredAttention
from .projections import Share
from .steering.token_weights import WeightedTokens

FixedLayer = FoldedLayer | SharedLayer


def fixed_layer(layer: LayerAttention, people: Sequence[WeightedTokens], operations=nn) -> FixedLayer:
    """The cheaper form for these people, without weights yet (they are `form.weights(layer, people)`).

    The cost is the multiplications per video token, which is also the number of weights that stay in memory.
    """
    if isinstance(layer, FilteredAttention):
        return ConvolvedLayer(layer, people, operations)
    width, inner = layer.to_q.in_features, layer.to_q.out_features
    tokens = sum(person.tokens.shape[1] for person in people)
    folded, shared = 2 * width * layer.heads * tokens, 2 * inner * (width + tokens)
    alone = all(person.tokens.shape[0] == 1 for person in people)
    return (FoldedLayer if alone and folded <= shared else SharedLayer)(layer, people, operations)


def load_fixed(layer: LayerAttention, people: Sequence[WeightedTokens], dtype: torch.dtype) -> FixedLayer:
    """The cheaper form with its weights in `dtype`, on the device of the people's tokens."""
    with torch.device("meta"):
        form = fixed_layer(layer, people).requires_grad_(False).eval()
    # Detached: assigning a parameter of the layer itself would switch its gradients off for good.
    state = {name: value.detach().to(dtype) for name, value in form.weights(layer, people).items()}
    form.load_state_dict(state, strict=True, assign=True)
    return form


def add_people(
    form: FixedLayer,
    hidden: Tensor,
    shares: Sequence[Share | None],
    budget: int | None = None,
    onto: Tensor | None = None,
) -> Tensor:
    """[B, N, D] -> [B, N, D] with what each person adds, in chunks of video tokens when `budget` asks for it.

    onto: the hidden states to add to, instead of `hidden`. budget: bytes that the activations beside the result may
    take, at least those of `form.unit` tokens; None sets no limit. Chunks change the result by no more than the
    rounding of the matrix products.
    """
    count = hidden.shape[1]
    chunk = count if budget is None else tokens_within(form, budget, hidden)
    onto = hidden if onto is None else onto
    if chunk >= count:
        return cast(Tensor, form.add(onto, hidden, shares))  # a tensor, because `onto` is one
    out = torch.empty_like(hidden)
    for start in range(0, count, chunk):
        tokens = slice(start, start + chunk)
        parts = [share and share.part(tokens) for share in shares]
        out[:, tokens] = cast(Tensor, form.add(onto[:, tokens], hidden[:, tokens], parts))
    return out


def tokens_within(form: FixedLayer, budget: int, hidden: Tensor) -> int:
    """How many video tokens of `hidden` [B, N, D] can be treated at once in `budget` bytes; a multiple of `unit`."""
    per_token = hidden.shape[0] * (form.floats_per_token + hidden.shape[-1]) * hidden.element_size()
    return max(1, int(budget) // (per_token * form.unit)) * form.unit
