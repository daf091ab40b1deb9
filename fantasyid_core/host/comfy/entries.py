"""One attached identity with its settings: how strongly, when and where it shows. Checked when it is attached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...config import TransformerConfig
from ...identity.adapter import IdentityAdapter
from ...identity.network.fit import check_dit_width, layers_by_block
from ...identity.steering.control import Control
from ...identity.steering.regions import Region, side_by_side, token_mask
from ...identity.steering.timing import Timing
from ...identity.steering.token_weights import WeightedTokens, weight_tokens


@dataclass(frozen=True, eq=False)
class Entry:
    """One attached identity."""

    adapter: IdentityAdapter
    person: WeightedTokens | None  # None: both token groups have weight 0
    blocks: dict[int, int]  # block -> injected layer
    weights: tuple[float, ...]  # strength times weight, per injected layer
    timing: Timing = Timing()
    region: Region | None = None
    feather: float | None = None  # pixels; not None: the region is this person's part of the picture
    guidance: float = 1.0
    budget: int | None = None  # bytes of activations

    @property
    def can_show(self) -> bool:
        """Whether there are a place, a token and a layer where this identity shows."""
        empty = self.region is not None and self.region.is_empty
        return self.person is not None and not empty and any(self.weights)

    def weight_at(self, progress: float) -> float:
        """The weight at `progress` (0..1) of the sampling."""
        return self.timing.weight(progress) if self.can_show else 0.0


def make_entry(sizes: TransformerConfig, adapter: IdentityAdapter, tokens: Tensor, control: Control) -> Entry:
    """The checked entry of one identity for a model of `sizes`. Raises ValueError for what does not fit."""
    config = adapter.config
    adapter.check_tokens(tokens)
    if not torch.isfinite(tokens).all():
        raise ValueError("Expected finite identity tokens, got NaN or infinite values. Encode the identity again.")
    check_dit_width(config.dit_width, sizes.width)
    adapter.check_grid(*sizes.frame_grid)
    mask, feather = control.mask, control.feather
    if mask is not None and mask.ndim == 3 and len(mask) == 1:  # the host's MASK of one picture: all frames
        mask = mask[0]
    return Entry(
        adapter=adapter,
        person=weight_tokens(config, tokens.detach(), control.face_weight, control.shape_weight),
        blocks=layers_by_block(config.injected_layers, config.interval, sizes.num_layers),
        weights=tuple(
            control.strength * config.local_face_scale * weight
            for weight in control.layer_weights(config.injected_layers)
        ),
        timing=control.timing,
        region=None if mask is None else Region.of(token_mask(mask, sizes, feather)),
        feather=feather if control.is_side_by_side else None,
        guidance=control.guidance,
        budget=control.memory_budget,
    )


def place_side_by_side(entries: Sequence[Entry], sizes: TransformerConfig) -> tuple[Entry, ...]:
    """`entries` with the picture shared from left to right among those that are `SIDE_BY_SIDE`, in their order.

    The widest feather of them counts. Raises ValueError for more people than fit.
    """
    feathers = [entry.feather for entry in entries if entry.feather is not None]
    if not feathers:
        return tuple(entries)
    masks = iter(side_by_side(len(feathers), max(feathers), *sizes.picture_size))
    return tuple(
        entry
        if entry.feather is None
        else replace(entry, region=None if len(feathers) == 1 else Region.of(token_mask(next(masks), sizes)))
        for entry in entries
    )
