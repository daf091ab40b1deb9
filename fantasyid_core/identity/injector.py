"""One run's injection: the identity tokens of one person, ready for every step and every block.

The identity tokens depend neither on the timestep nor on the half of classifier-free guidance. Therefore K and V of all
layers are projected once, and for sampling each layer is replaced by the form that `fixed` chooses. The release has
neither a strength nor layer weights; with their defaults the result equals the release's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .fixed import FixedLayer, add_people, load_fixed
from .network.attention import LayerAttention
from .network.fit import check_dit_width, check_grid, layers_by_block
from .network.frame_filter import FilteredAttention
from .projections import CHUNK, Share
from .steering.layer_weights import check_layer_weights, check_strength
from .steering.token_weights import WeightedTokens


class Injector:
    """All injected layers for one set of identity tokens, ready for the denoising loop.

    `injector(layer, hidden)` -> what is added after the block that belongs to `layer`; `injector.add(layer,
    hidden)` -> the hidden states with it. K and V are computed once. Only the cheaper of the forms in `folded` is
    kept, not the layers themselves. Where gradients are recorded for tokens or layers, the layers themselves are
    used. Layers of weight 0 are not prepared.
    """

    def __init__(
        self,
        layers: Sequence[LayerAttention],
        tokens: Tensor,  # [B, Nid, Cid]
        strength: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        interval: int | None = None,
        budget: int | None = None,  # bytes of activations, see `add_people`
    ):
        self.interval = interval
        self.budget = budget
        self.transformer = ""  # fingerprint of the video model that the adapter belongs to, "" when not known
        self.weights = [strength * weight for weight in check_layer_weights(layer_weights, len(layers))]
        check_strength(strength)
        self._width = layers[0].to_q.in_features
        self._grid = getattr(layers[0], "grid", None)
        self._layers = [
            _prepare(layer, tokens) if weight else None for layer, weight in zip(layers, self.weights, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights that stay in memory; of layers as they are, for training, none are counted."""
        forms = (layer for layer in self._layers if isinstance(layer, nn.Module))
        return sum(value.nbytes for form in forms for value in form.parameters())

    def __call__(self, layer: int, hidden: Tensor) -> Tensor:
        """Index of the injected layer and [B, N, D] -> what is added, [B, N, D]; zeros without work at weight 0."""
        if self.weights[layer] == 0:
            return torch.zeros_like(hidden)
        return cast(Tensor, self._prepared(layer).add(None, hidden, [Share(self.weights[layer])]))

    def add(self, layer: int, hidden: Tensor) -> Tensor:
        """Index of the injected layer and [B, N, D] -> the hidden states with the identity, [B, N, D]."""
        if self.weights[layer] == 0:
            return hidden
        return add_people(self._prepared(layer), hidden, [Share(self.weights[layer])], self.budget)

    def _prepared(self, layer: int) -> FixedLayer:
        return cast(FixedLayer, self._layers[layer])  # None only at weight 0, where nobody asks

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


def _prepare(layer: LayerAttention, tokens: Tensor):
    weight = layer.to_kv.weight
    if torch.is_grad_enabled() and (tokens.requires_grad or weight.requires_grad):
        return _Unfolded(layer, tokens)
    return load_fixed(layer, [WeightedTokens(tokens)], weight.dtype)


class _Unfolded:
    """A layer as it is, for training: gradients reach its weights and the tokens."""

    def __init__(self, layer: LayerAttention, tokens: Tensor):
        self.layer, self.kv = layer, layer.project(tokens)
        self.floats_per_token = 3 * layer.to_q.out_features
        self.unit = layer.grid[0] * layer.grid[1] if isinstance(layer, FilteredAttention) else CHUNK

    def add(self, onto: Tensor | None, hidden: Tensor, shares: Sequence[Share]) -> Tensor:
        delta = self.layer.attend(self.kv, hidden) * shares[0].weight
        return delta if onto is None else onto + delta
