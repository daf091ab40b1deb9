"""One layer's injection with the identity tokens fixed: what depends on the person alone is computed once.

    folded  hidden + softmax_heads(normalise(hidden) Wq' + b) Wv'             Wq' [D, H*T], Wv' [H*T, D]
    shared  hidden + (sum over people of softmax(q K) V) Wo,  q = normalise(hidden) Wq + c

The folded form multiplies K into the query projection and V into the output projection, together with the norm's
affine part and the attention's scale. This is exact. For the release's 115 tokens it needs 54 % of the layer's weights
and 13 % fewer multiplications than the form that keeps K and V. Its costs grow with the tokens of all people; those of
the shared form hardly grow. Therefore the shared form is taken from T = D*I / (D*H - I) on (133.6 for the release,
I = H*Dh): for several people, concatenated references and batches of people. Neither form keeps `to_kv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network.attention import LayerAttention
from .projections import CHUNK, Share, add, linear, project, query_projection, widening
from .steering.token_weights import WeightedTokens


class FoldedLayer(nn.Module):
    """The folded form. It computes people one after the other, each one only inside its region."""

    unit = CHUNK

    def __init__(self, layer: LayerAttention, people: Sequence[WeightedTokens], operations=nn):
        super().__init__()
        if any(person.tokens.shape[0] != 1 for person in people):
            raise ValueError("One identity is folded at a time: expected identity tokens [1, T, Cid] per person.")
        self.heads, self.eps = layer.heads, layer.hidden_norm.eps
        width = layer.to_q.in_features
        counts = [layer.heads * person.tokens.shape[1] for person in people]
        queries = nn.ModuleList(operations.Linear(width, count) for count in counts)
        values = nn.ModuleList(operations.Linear(count, width, bias=False) for count in counts)
        self.queries, self.values = cast(Sequence[nn.Linear], queries), cast(Sequence[nn.Linear], values)

    @property
    def floats_per_token(self) -> int:
        """Numbers of a video token that are alive at once beside the result."""
        return self.queries[0].in_features + max(query.out_features for query in self.queries)

    @property
    def weight_count(self) -> int:
        """How many numbers stay in memory."""
        return sum(query.out_features * (2 * query.in_features + 1) for query in self.queries)

    @staticmethod
    def weights(layer: LayerAttention, people: Sequence[WeightedTokens]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = {}
        for index, person in enumerate(people):
            wide = widening(layer, person)
            (key,), (value,) = project(layer, person.tokens, wide)  # [H, T, Dh] each
            query, bias = (
                x.unflatten(0, (layer.heads, -1)) for x in query_projection(layer, wide)
            )  # [H, Dh, D], [H, Dh]
            output = wide(layer.to_out.weight).unflatten(1, (layer.heads, -1))  # [D, H, Dh]
            offset = (key @ bias[..., None]).squeeze(-1)  # [H, T]
            if person.log_weights is not None:
                offset = offset + wide(person.log_weights)
            state[f"queries.{index}.weight"] = (key @ query).flatten(0, 1)
            state[f"queries.{index}.bias"] = offset.flatten()
            folded = output.transpose(0, 1) @ value.transpose(1, 2)  # [H, D, T]
            state[f"values.{index}.weight"] = folded.transpose(0, 1).flatten(1)
        return state

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share | None]) -> Tensor | None:
        """`onto` (None: nothing) and what each person adds to `hidden`, [B, N, D]; a share of None adds nothing."""
        for query, value, share in zip(self.queries, self.values, shares, strict=True):
            if share is None:
                continue
            region = share.region
            if region is not None and region.rows is not None and region.row_weights is not None:
                onto = torch.zeros_like(hidden) if onto is None else onto
                delta = self._delta(query, value, hidden.index_select(1, region.rows)) * region.row_weights
                onto = onto.index_add(1, region.rows, delta, alpha=share.weight)
            else:
                onto = add(onto, linear(value, self._attention(query, hidden)), share)
        return onto

    def _delta(self, query: nn.Module, value: nn.Module, hidden: Tensor) -> Tensor:
        return linear(value, self._attention(query, hidden))

    def _attention(self, query: nn.Module, hidden: Tensor) -> Tensor:  # -> [B, N, H*T]
        logits = linear(query, F.layer_norm(hidden, hidden.shape[-1:], eps=self.eps))  # [B, N, H*T]
        per_head = logits.unflatten(-1, (self.heads, -1))
        # Half precision is summed in float32 inside the operation. In place: it is the largest tensor here.
        in_place = not logits.requires_grad and logits.device.type in ("cpu", "cuda")
        return torch.softmax(per_head, -1, out=per_head if in_place else None).flatten(-2)
