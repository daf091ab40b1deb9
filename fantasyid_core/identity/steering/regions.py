"""Where a person acts: masks on the video's tokens, soft edges, and side-by-side regions for several people."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import TransformerConfig

_WORTH_PICKING = 0.9  # covered share of the tokens below which only those are computed
_ROUNDING = 1e-6  # weights up to this are zero


@dataclass(frozen=True, eq=False)
class Region:
    """The weight of each video token for one person.

    weights: [1, N, 1] in 0..1. rows: indices [n] of the tokens whose weight is not zero, when they are few enough that
    computing only these saves time; else None. row_weights: the weights [1, n, 1] of these tokens.
    """

    weights: Tensor
    rows: Tensor | None = None
    row_weights: Tensor | None = None

    @classmethod
    def of(cls, weights: Tensor) -> Region:
        """The region of token weights [1, N, 1]."""
        rows = (weights.flatten() > _ROUNDING).nonzero().flatten()
        if len(rows) > _WORTH_PICKING * weights.shape[1]:
            return cls(weights)
        return cls(weights, rows, weights[:, rows])

    @property
    def is_empty(self) -> bool:
        return self.rows is not None and len(self.rows) == 0

    def to(self, device: torch.device, dtype: torch.dtype) -> Region:
        """The same region for hidden states on `device` in `dtype`."""
        if self.rows is None or self.row_weights is None:
            return replace(self, weights=self.weights.to(device, dtype))
        return Region(self.weights.to(device, dtype), self.rows.to(device), self.row_weights.to(device, dtype))

    def part(self, tokens: slice) -> Region:
        """The region among some neighbouring tokens."""
        return Region(self.weights[:, tokens])


def token_mask(mask: Tensor, sizes: TransformerConfig, feather: float = 0) -> Tensor:
    """[H, W] or [frames, H, W] in 0..1 -> the weight of each video token, [1, N, 1]; values outside are cut.

    frames: 1, the video's own number, or that of the latent frames; a latent frame takes the mean of the frames
    it stands for. feather: see `feathered`. Raises ValueError for other shapes and lengths, and no numbers.
    """
    mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"Expected a mask [H, W] or [frames, H, W], got {list(mask.shape)}.")
    if not torch.isfinite(mask).all():
        bad = int((~torch.isfinite(mask)).sum())
        raise ValueError(
            f"Expected a mask of finite numbers in 0..1, got {bad} NaN or infinite ones of {mask.numel()}. "
            "Make the mask again."
        )
    frames = (1, sizes.latent_frames, sizes.sample_frames)
    if len(mask) not in frames:
        raise ValueError(
            f"Expected a mask of 1, {frames[1]} (latent) or {frames[2]} (video) frames, got {len(mask)}. Give one "
            "picture for the whole video, or a mask as long as the video."
        )
    mask = feathered(mask.float().clamp(0, 1), feather)
    if len(mask) == frames[2]:
        mask = _latent_frames(mask, sizes.temporal_compression_ratio)
    grid = sizes.sample_height // sizes.patch_size, sizes.sample_width // sizes.patch_size
    if mask.shape[1] >= grid[0] and mask.shape[2] >= grid[1]:
        weights = F.adaptive_avg_pool2d(mask[None], grid)
    else:
        weights = F.interpolate(mask[None], grid, mode="bilinear")
    return weights[0].expand(sizes.latent_frames, -1, -1).reshape(1, -1, 1)


def _latent_frames(mask: Tensor, ratio: int) -> Tensor:
    # As the VAE groups them: the first frame by itself, then `ratio` at a time.
    return torch.cat([mask[:1], mask[1:].unflatten(0, (-1, ratio)).mean(1)])


def feathered(mask: Tensor, feather: float) -> Tensor:
    """`mask` [frames, H, W] with its edges drawn out to straight ramps `feather` pixels wide (odd, rounded down).

    Raises ValueError for a negative or infinite width.
    """
    if not 0 <= feather < float("inf"):
        raise ValueError(f"Expected a feather of 0 pixels or more, got {feather}.")
    half = int(feather) // 2
    if half == 0:
        return mask
    for kernel, padding in (((2 * half + 1, 1), (0, 0, half, half)), ((1, 2 * half + 1), (half, half, 0, 0))):
        mask = F.avg_pool2d(F.pad(mask[None], padding, mode="replicate"), kernel, stride=1)[0]
    return mask


def side_by_side(count: int, feather: float = 0, height: int = 480, width: int = 720) -> list[Tensor]:
    """`count` masks [height, width] that split the picture from left to right into equal parts.

    Neighbours fade into each other over `feather` pixels; the masks add up to 1 everywhere. Raises ValueError for
    no people, more people than 32-pixel columns, or a feather wider than a part.
    """
    if count < 1 or count > width // 32:
        raise ValueError(f"Expected 1 to {width // 32} people side by side in {width} pixels, got {count}.")
    if not 0 <= feather <= width / count:
        raise ValueError(f"Expected a feather of 0 to {width // count} pixels between {count} people, got {feather}.")
    middle = torch.arange(width) + 0.5
    borders = [width * index / count for index in range(1, count)]
    # How far each pixel is past each border, 0..1; a mask is the step of its left border less that of its right.
    past = [((middle - border) / max(feather, 1e-6) + 0.5).clamp(0, 1) for border in borders]
    steps = [torch.ones(width), *past, torch.zeros(width)]
    return [(left - right).expand(height, -1) for left, right in zip(steps, steps[1:], strict=False)]
