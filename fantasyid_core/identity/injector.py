"""Layer-aware injection: every injected block attends to the identity with its own weights (paper section 3.3).

    hidden <- hidden + strength * weight[layer] * Attention_layer(LN(id_tokens), LN(hidden))

applied after the block, to the video tokens only. The identity tokens do not depend on the timestep
nor on the half of classifier-free guidance, so K and V of all layers are projected once, and for sampling the
layers are replaced by what `folded` makes of them.
The release has neither a strength nor the paper's F_l (convolution and normalisation), see `paper_injection`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import AdapterConfig
from .folded import CHUNK, Person, Share, add_people, load_fixed, match_batch


class LayerInjection(nn.Module):
    """Cross-attention of one injected layer: video tokens ask, identity tokens answer."""

    unit = CHUNK  # video tokens are treated in multiples of it when they are treated in chunks
    only_form = None  # of `folded`; None: the cheaper one

    def __init__(self, config: AdapterConfig, operations=nn):
        super().__init__()
        self.heads = config.attention_heads
        self.hidden_norm = operations.LayerNorm(config.dit_width)
        self.to_q = operations.Linear(config.dit_width, config.inner_width, bias=False)
        self.id_norm = operations.LayerNorm(config.id_width)
        self.to_kv = operations.Linear(config.id_width, 2 * config.inner_width, bias=False)
        self.to_out = operations.Linear(config.inner_width, config.dit_width, bias=False)

    def forward(self, id_tokens: Tensor, hidden: Tensor) -> Tensor:
        """[B, Nid, Cid] and [B, N, D] -> what is added to the hidden states, [B, N, D]."""
        return self.attend(self.project(id_tokens), hidden)

    def project(self, id_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of the identity tokens, each [B, H, Nid, Dh]."""
        k, v = rearrange(self.to_kv(self.id_norm(id_tokens)), "b n (s h d) -> s b h n d", s=2, h=self.heads)
        return k, v

    def attend(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        return self.to_out(self.attention(kv, hidden))

    def attention(self, kv: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:  # [B, N, D] -> [B, N, H*Dh]
        q = rearrange(self.to_q(self.hidden_norm(hidden)), "b n (h d) -> b h n d", h=self.heads)
        k, v = (match_batch(x, q.shape[0]) for x in kv)
        attended = F.scaled_dot_product_attention(q, k, v)
        return rearrange(attended, "b h n d -> b n (h d)")


class Injector:
    """All injected layers for one set of identity tokens, ready for the denoising loop.

    `injector(layer, hidden)` -> what is added after the block that belongs to `layer`; `injector.add(layer,
    hidden)` -> the hidden states with it. K and V are computed once; only the cheaper of the forms in `folded` is
    kept, the layers themselves are not. Where gradients are recorded for tokens or layers, the layers are used as
    they are. Layers of weight 0 are not prepared.
    """

    def __init__(
        self,
        layers: Sequence[LayerInjection],
        tokens: Tensor,  # [B, Nid, Cid]
        strength: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        interval: int | None = None,
        budget: int | None = None,  # bytes of activations, see `add_people`
    ):
        self.interval = interval
        self.budget = budget
        self.weights = [strength * weight for weight in check_layer_weights(layer_weights, len(layers))]
        check_strength(strength)
        self._width = layers[0].to_q.in_features
        self._grid = getattr(layers[0], "grid", None)
        self._layers = [
            _prepare(layer, tokens) if weight else None for layer, weight in zip(layers, self.weights, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._layers)

    def __call__(self, layer: int, hidden: Tensor) -> Tensor:
        """Index of the injected layer and [B, N, D] -> what is added, [B, N, D]; zeros without work at weight 0."""
        if self.weights[layer] == 0:
            return torch.zeros_like(hidden)
        return self._layers[layer].add(None, hidden, [Share(self.weights[layer])])

    def add(self, layer: int, hidden: Tensor) -> Tensor:
        """Index of the injected layer and [B, N, D] -> the hidden states with the identity, [B, N, D]."""
        if self.weights[layer] == 0:
            return hidden
        return add_people(self._layers[layer], hidden, [Share(self.weights[layer])], self.budget)

    def layer_of_block(self, block_count: int) -> dict[int, int]:
        """Block index -> injected layer, for a transformer of `block_count` blocks.

        Official rule: block i is injected when i % interval == 0. Raises ValueError when the adapter
        and the transformer do not belong together.
        """
        return layers_by_block(len(self), self.interval, block_count)

    def check_width(self, width: int, grid: tuple[int, int] | None = None) -> None:
        """Raises ValueError unless the adapter was made for a transformer of this width and, if it depends on it,
        this grid (h, w) of video tokens per latent frame."""
        check_dit_width(self._width, width)
        if grid is not None:
            check_grid(self._grid, grid)


def _prepare(layer: LayerInjection, tokens: Tensor):
    weight = layer.to_kv.weight
    if torch.is_grad_enabled() and (tokens.requires_grad or weight.requires_grad):
        return _Unfolded(layer, tokens)
    return load_fixed(layer, [Person(tokens)], weight.dtype)


class _Unfolded:
    """A layer as it is, for training: gradients reach its weights and the tokens."""

    def __init__(self, layer: LayerInjection, tokens: Tensor):
        self.layer, self.kv = layer, layer.project(tokens)
        self.floats_per_token = 3 * layer.to_q.out_features
        self.unit = layer.unit

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share]) -> Tensor:
        delta = self.layer.attend(self.kv, hidden) * shares[0].weight
        return delta if onto is None else onto + delta


def check_dit_width(expected: int, actual: int) -> None:
    """Raises ValueError unless a transformer of width `actual` suits an adapter made for `expected`."""
    if expected != actual:
        raise ValueError(
            f"The adapter was made for a transformer of width {expected}, this model has {actual}. "
            "FantasyID needs the CogVideoX model it was trained with."
        )


def check_grid(expected: tuple[int, int] | None, actual: tuple[int, int]) -> None:
    """Raises ValueError unless latent frames of `actual` (h, w) tokens suit an adapter for `expected` (None: any)."""
    if expected is not None and tuple(expected) != tuple(actual):
        raise ValueError(
            f"The adapter was made for latent frames of {expected[0]}x{expected[1]} video tokens, this model's have "
            f"{actual[0]}x{actual[1]}. Use the adapter that belongs to this model."
        )


def layers_by_block(layer_count: int, interval: int | None, block_count: int) -> dict[int, int]:
    """Block index -> injected layer (official rule: i % interval == 0); ValueError when they do not fit."""
    interval = interval or max(1, block_count // max(1, layer_count))
    blocks = range(0, block_count, interval)
    if len(blocks) != layer_count:
        raise ValueError(
            f"The adapter has {layer_count} injected layers (every {interval} blocks), but the model has "
            f"{block_count} blocks, which need {len(blocks)}. Use the adapter that belongs to this model."
        )
    return {block: layer for layer, block in enumerate(blocks)}


def check_strength(strength: float) -> None:
    """Raises ValueError unless `strength` is a finite number."""
    if not math.isfinite(strength):
        raise ValueError(
            f"Identity strength must be a finite number (1 is the trained strength), got {strength}."
        )


def check_layer_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """`weights` as a list of `count` floats (ones for None); ValueError for another length or a NaN."""
    if weights is None:
        return [1.0] * count
    weights = [float(weight) for weight in weights]
    if len(weights) != count:
        raise ValueError(f"Expected {count} layer weights, one per injected layer, got {len(weights)}.")
    if not all(map(math.isfinite, weights)):
        raise ValueError(f"Layer weights must be finite numbers, got {weights}.")
    return weights
