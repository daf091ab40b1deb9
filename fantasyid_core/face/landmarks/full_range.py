"""BlazeFace, full range: finds faces from about a sixteenth of a picture of 192 x 192 to all of it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DoubleBlock

SIDE = 192
CELL = 4  # pixels per cell of the grid, each of which has one anchor
VALUES = 16  # as in `short_range`


class FullRange(nn.Module):
    """Pixels [B,3,H,W] in -1..1, sides multiples of 32 -> values [B,A,16] and scores [B,A] before the sigmoid.

    A: one anchor for each cell of 4 pixels, row by row. It was trained on 192 x 192, and is convolutional: in
    larger pictures it finds faces of the same numbers of pixels.
    """

    def __init__(self, operations=torch.nn):
        super().__init__()
        self.stem = operations.Conv2d(3, 32, 3, 2, padding=1)
        # Widths of a stage, its narrow middle, the blocks after the first, and the width handed to the way back.
        self.shallowest = _stage(32, 8, 32, 1, stride=1, operations=operations)
        self.quarter = _stage(32, 16, 64, 2, operations=operations)
        self.quarter_side = operations.Conv2d(64, 48, 1)
        self.eighth = _stage(64, 32, 128, 2, operations=operations)
        self.eighth_side = operations.Conv2d(128, 64, 1)
        self.sixteenth = _stage(128, 48, 192, 2, operations=operations)
        self.sixteenth_side = operations.Conv2d(192, 96, 1)
        self.deepest = _stage(192, 96, 384, 3, operations=operations)
        self.deepest_side = operations.Conv2d(384, 96, 1)
        self.sixteenth_back = _same(96, 2, operations)
        self.to_eighth = operations.Conv2d(96, 64, 1)
        self.eighth_back = _same(64, 2, operations)
        self.to_quarter = operations.Conv2d(64, 48, 1)
        self.quarter_back = _same(48, 1, operations)
        self.score = operations.Conv2d(48, 4, 1)
        self.score_mix = operations.Conv2d(4, 4, 3, 2, padding=1, groups=4)
        self.values = operations.Conv2d(48, 4 * VALUES, 1)
        self.values_mix = operations.Conv2d(4 * VALUES, 4 * VALUES, 3, 2, padding=1, groups=4 * VALUES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.quarter(self.shallowest(F.relu(self.stem(pixels))))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        back = F.relu(self.deepest_side(self.deepest(sixteenth)))
        back = self.sixteenth_back(F.relu(self.sixteenth_side(sixteenth)) + _doubled(back))
        back = self.eighth_back(F.relu(self.eighth_side(eighth)) + _doubled(F.relu(self.to_eighth(back))))
        back = self.quarter_back(F.relu(self.quarter_side(quarter)) + _doubled(F.relu(self.to_quarter(back))))
        values = _unfolded(self.values_mix(self.values(back)), VALUES)
        return values, _unfolded(self.score_mix(self.score(back)), 1)[..., 0]


def _stage(inside: int, middle: int, outside: int, more: int, stride: int = 2, operations=torch.nn) -> nn.Sequential:
    def blocks() -> Iterator[DoubleBlock]:
        yield DoubleBlock(inside, middle, outside, stride, operations)
        for _ in range(more):
            yield DoubleBlock(outside, middle, outside, operations=operations)

    return nn.Sequential(*blocks())


def _same(width: int, count: int, operations) -> nn.Sequential:
    return nn.Sequential(*(DoubleBlock(width, width // 2, width, operations=operations) for _ in range(count)))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _unfolded(grid: Tensor, values: int) -> Tensor:
    """[B, 4 * values, h, w], of each cell its 2 x 2 parts row by row, -> [B, 2h * 2w, values]."""
    batch, _, height, width = grid.shape
    parts = grid.reshape(batch, 2, 2, values, height, width)
    return parts.permute(0, 4, 1, 5, 2, 3).reshape(batch, 4 * height * width, values)
