"""One layer's injection with the identity fixed: nothing that depends on the person alone is computed twice.

    folded  hidden + softmax_heads(normalise(hidden) Wq' + b) Wv'             Wq' [D, H*T], Wv' [H*T, D]
    shared  hidden + (sum over people of softmax(q K) V) Wo,  q = normalise(hidden) Wq + c

Folded, K lies inside the query projection and V inside the output projection, with the norm's affine part and
the attention's scale; exact, and the release's 115 tokens need 54 % of the layer's weights and 13 % fewer
multiplications than with K and V kept. Both costs grow with the tokens of all people, those of the shared form
hardly: from T = D*I / (D*H - I) on (133.6 for the release, I = H*Dh) the shared form is taken, which several
people, concatenated references and batches of people have in common. `to_kv` stays in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .steering.regions import Region

if TYPE_CHECKING:
    from .injector import LayerInjection

CHUNK = 256  # chunks are multiples of it: smaller ones are slow


@dataclass(frozen=True, eq=False)
class Person:
    """Identity tokens [B, T, Cid] and, when not all count alike, the logarithm of each token's weight [T]."""

    tokens: Tensor
    log_weights: Tensor | None = None

    def to(self, device: torch.device) -> Person:
        weights = self.log_weights
        return Person(self.tokens.to(device), None if weights is None else weights.to(device))


@dataclass(frozen=True, eq=False)
class Share:
    """How much of what a person adds is added at this moment, and where (None: everywhere)."""

    weight: float = 1.0
    region: Region | None = None

    def part(self, tokens: slice) -> Share:
        return self if self.region is None else Share(self.weight, self.region.part(tokens))


class FoldedLayer(nn.Module):
    """The folded form; people are computed one after the other, each only where its region is."""

    unit = CHUNK

    def __init__(self, layer: LayerInjection, people: Sequence[Person], operations=nn):
        super().__init__()
        if any(person.tokens.shape[0] != 1 for person in people):
            raise ValueError("One identity is folded at a time: expected identity tokens [1, T, Cid] per person.")
        self.heads, self.eps = layer.heads, layer.hidden_norm.eps
        width = layer.to_q.in_features
        counts = [layer.heads * person.tokens.shape[1] for person in people]
        self.queries = nn.ModuleList(operations.Linear(width, count) for count in counts)
        self.values = nn.ModuleList(operations.Linear(count, width, bias=False) for count in counts)

    @property
    def floats_per_token(self) -> int:
        """Numbers of a video token that are alive at once beside the result."""
        return self.queries[0].in_features + max(query.out_features for query in self.queries)

    @property
    def weight_count(self) -> int:
        """How many numbers stay in memory."""
        return sum(query.out_features * (2 * query.in_features + 1) for query in self.queries)

    @staticmethod
    def weights(layer: LayerInjection, people: Sequence[Person]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = {}
        for index, person in enumerate(people):
            wide = _widening(layer, person)
            (key,), (value,) = _project(layer, person.tokens, wide)  # [H, T, Dh] each
            query, bias = (x.unflatten(0, (layer.heads, -1)) for x in _query(layer, wide))  # [H, Dh, D], [H, Dh]
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
            rows = None if share is None or share.region is None else share.region.rows
            if rows is not None:
                onto = torch.zeros_like(hidden) if onto is None else onto
                delta = self._delta(query, value, hidden.index_select(1, rows)) * share.region.row_weights
                onto = onto.index_add(1, rows, delta, alpha=share.weight)
            elif share is not None:
                onto = _add_linear(onto, value, self._attention(query, hidden), share)
        return onto

    def _delta(self, query: nn.Module, value: nn.Module, hidden: Tensor) -> Tensor:
        return _linear(value, self._attention(query, hidden))

    def _attention(self, query: nn.Module, hidden: Tensor) -> Tensor:  # -> [B, N, H*T]
        logits = _linear(query, F.layer_norm(hidden, hidden.shape[-1:], eps=self.eps))  # [B, N, H*T]
        per_head = logits.unflatten(-1, (self.heads, -1))
        # Half precision is summed in float32 inside the operation. In place: it is the largest tensor here.
        in_place = not logits.requires_grad and logits.device.type in ("cpu", "cuda")
        return torch.softmax(per_head, -1, out=per_head if in_place else None).flatten(-2)


class SharedLayer(nn.Module):
    """The form with K and V of every person, and one projection before and after them all."""

    unit = CHUNK

    def __init__(self, layer: LayerInjection, people: Sequence[Person], operations=nn):
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
    def weights(layer: LayerInjection, people: Sequence[Person]) -> dict[str, Tensor]:
        """The state dict of `people`, in float32 at least, on the device of their tokens."""
        state = {}
        for index, person in enumerate(people):
            wide = _widening(layer, person)
            state[f"keys.{index}"], state[f"values.{index}"] = _project(layer, person.tokens, wide)
            if person.log_weights is not None:
                state[f"log_weights.{index}"] = wide(person.log_weights)
        state["query.weight"], state["query.bias"] = _query(layer, wide)
        state["out.weight"] = wide(layer.to_out.weight)
        return state

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share | None]) -> Tensor | None:
        """`onto` (None: nothing) and what each person adds to `hidden`, [B, N, D]; a share of None adds nothing."""
        if not any(shares):
            return onto
        query = _linear(self.query, F.layer_norm(hidden, hidden.shape[-1:], eps=self.eps))
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, N, Dh]
        parts = [self._attend(index, query, share) for index, share in enumerate(shares) if share is not None]
        return _add(onto, _linear(self.out, sum(parts[1:], start=parts[0])), Share())

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


def fixed_layer(layer: LayerInjection, people: Sequence[Person], operations=nn) -> FoldedLayer | SharedLayer:
    """The cheaper form for these people, without weights yet (they are `form.weights(layer, people)`).

    The cost is the multiplications per video token, which is also the number of weights that stay in memory.
    A layer that can be in one form only says which (`only_form`).
    """
    if layer.only_form is not None:
        return layer.only_form(layer, people, operations)
    width, inner = layer.to_q.in_features, layer.to_q.out_features
    tokens = sum(person.tokens.shape[1] for person in people)
    folded, shared = 2 * width * layer.heads * tokens, 2 * inner * (width + tokens)
    alone = all(person.tokens.shape[0] == 1 for person in people)
    return (FoldedLayer if alone and folded <= shared else SharedLayer)(layer, people, operations)


def load_fixed(layer: LayerInjection, people: Sequence[Person], dtype: torch.dtype) -> FoldedLayer | SharedLayer:
    """The cheaper form with its weights in `dtype`, on the device of the people's tokens."""
    with torch.device("meta"):
        form = fixed_layer(layer, people).requires_grad_(False).eval()
    state = {name: value.to(dtype) for name, value in form.weights(layer, people).items()}
    form.load_state_dict(state, strict=True, assign=True)
    return form


def add_people(
    form: FoldedLayer | SharedLayer,
    hidden: Tensor,
    shares: Sequence[Share | None],
    budget: int | None = None,
    onto: Tensor | None = None,
) -> Tensor:
    """[B, N, D] -> [B, N, D] with what each person adds, in chunks of video tokens when `budget` asks for it.

    onto: what it is added to instead of `hidden`.

    budget: bytes that the activations beside the result may take, at least those of `form.unit` tokens; None: no
    limit.
    Chunks give the same as no chunks within the rounding of the matrix products, which is not always to the bit.
    """
    count = hidden.shape[1]
    chunk = count if budget is None else tokens_within(form, budget, hidden)
    onto = hidden if onto is None else onto
    if chunk >= count:
        return form.add(onto, hidden, shares)
    out = torch.empty_like(hidden)
    for start in range(0, count, chunk):
        tokens = slice(start, start + chunk)
        parts = [share and share.part(tokens) for share in shares]
        out[:, tokens] = form.add(onto[:, tokens], hidden[:, tokens], parts)
    return out


def tokens_within(form: FoldedLayer | SharedLayer, budget: int, hidden: Tensor) -> int:
    """How many video tokens of `hidden` [B, N, D] can be treated at once in `budget` bytes; a multiple of `unit`."""
    per_token = hidden.shape[0] * (form.floats_per_token + hidden.shape[-1]) * hidden.element_size()
    return max(1, int(budget) // (per_token * form.unit)) * form.unit


def _widening(layer: LayerInjection, person: Person):
    """x -> x in float32 at least, where the person's tokens are."""
    dtype = torch.float64 if layer.to_kv.weight.dtype == torch.float64 else torch.float32  # 8 bits do not promote
    return lambda x: x.to(person.tokens.device, dtype)


def _project(layer: LayerInjection, tokens: Tensor, wide) -> tuple[Tensor, Tensor]:
    """K, scaled and centred, and V of identity tokens, [B, H, T, Dh] each."""
    for module in (layer.id_norm, layer.to_kv):
        tokens = functional_call(module, {name: wide(x) for name, x in module.named_parameters()}, wide(tokens))
    key, value = tokens.unflatten(-1, (2, layer.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, T, 2, H, Dh] ->
    # What all logits of a head have in common is lost on the softmax, but not on the digits of half precision.
    return (key - key.mean(2, keepdim=True)) * key.shape[-1] ** -0.5, value


def _query(layer: LayerInjection, wide) -> tuple[Tensor, Tensor]:
    """The query projection with the norm's affine part inside: weight [I, D] and bias [I]."""
    weight = wide(layer.to_q.weight)
    return weight * wide(layer.hidden_norm.weight), weight @ wide(layer.hidden_norm.bias)


# Some 7 % faster than the library that torch itself takes for float32 on CPUs; not in every build of torch.
_ONEDNN = torch.backends.mkldnn.is_available() and getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def _linear(linear: nn.Module, x: Tensor) -> Tensor:
    return _ONEDNN(x, linear.weight, linear.bias, "none", [], "") if _suits_onednn(linear, x) else linear(x)


def _add_linear(onto: Tensor | None, linear: nn.Module, x: Tensor, share: Share) -> Tensor:
    """onto + share * linear(x), without a pass over memory of its own for the sum where that is possible."""
    # Not asked while compiling, where every other weight would be another graph.
    if onto is not None and _suits_onednn(linear, x) and share.weight == 1 and share.region is None:
        if onto.dtype == x.dtype and onto.is_contiguous():
            return _ONEDNN.binary(x, onto, linear.weight, linear.bias, "add")
    return _add(onto, _linear(linear, x), share)


def _suits_onednn(linear: nn.Module, x: Tensor) -> bool:
    plain = type(linear) is nn.Linear and x.dtype == linear.weight.dtype == torch.float32 and x.device.type == "cpu"
    return bool(_ONEDNN) and plain and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _add(onto: Tensor | None, delta: Tensor, share: Share) -> Tensor:
    """onto + share * delta, written into `delta`, which nobody else holds."""
    into = None if delta.requires_grad or (onto is not None and onto.requires_grad) else delta
    if share.region is not None and onto is not None:
        return torch.addcmul(onto, delta, share.region.weights, value=share.weight, out=into)
    if onto is not None:
        return torch.add(onto, delta, alpha=share.weight, out=into)
    delta = delta if share.weight == 1 else delta * share.weight
    return delta if share.region is None else delta * share.region.weights


def match_batch(x: Tensor, batch: int) -> Tensor:  # [b, ...] -> [B, ...]
    """`x` [b, ...] repeated for a batch; ValueError unless `batch` is a multiple of b."""
    # Guidance stacks whole copies of the batch, so the identities repeat as a block.
    if x.shape[0] == batch:
        return x
    if batch % x.shape[0]:
        raise ValueError(f"{x.shape[0]} identities cannot be spread over a batch of {batch} videos.")
    return x.expand(batch, *x.shape[1:]) if x.shape[0] == 1 else x.repeat(batch // x.shape[0], 1, 1, 1)
