"""BlazeFace, short range: finds faces that are at least about a sixth of the picture wide."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import BlazeBlock, pad_same

SIDE = 128
FINE, COARSE = 8, 16  # pixels per cell of the two grids
FINE_ANCHORS, COARSE_ANCHORS = 2, 6  # per cell
VALUES = 16  # middle x, y, width, height, six points x, y: in pixels, places relative to the cell's middle

WIDTHS = (24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88)
HALVED = (32, 48)  # the blocks of these widths halve the grid


class ShortRange(nn.Module):
    """Pixels [B,3,H,W] in -1..1, sides multiples of 16 -> values [B,A,16] and scores [B,A] before the sigmoid.

    A: two anchors for each cell of 8 pixels, then six for each of 16, row by row. It was trained on 128 x 128.
    """

    def __init__(self, operations=torch.nn):
        super().__init__()
        self.stem = operations.Conv2d(3, 24, 5, 2)
        pairs = zip((24, *WIDTHS), WIDTHS, strict=False)
        self.fine = nn.Sequential(
            *(BlazeBlock(before, after, 2 if after in HALVED else 1, operations=operations) for before, after in pairs)
        )
        self.coarse = nn.Sequential(
            BlazeBlock(88, 96, 2, operations=operations), *(BlazeBlock(96, 96, operations=operations) for _ in range(4))
        )
        self.fine_score = operations.Conv2d(88, FINE_ANCHORS, 1)
        self.coarse_score = operations.Conv2d(96, COARSE_ANCHORS, 1)
        self.fine_values = operations.Conv2d(88, FINE_ANCHORS * VALUES, 1)
        self.coarse_values = operations.Conv2d(96, COARSE_ANCHORS * VALUES, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(F.relu(self.stem(pad_same(pixels, 5, 2))))
        coarse = self.coarse(fine)
        values = _rows(self.fine_values(fine), VALUES), _rows(self.coarse_values(coarse), VALUES)
        scores = _rows(self.fine_score(fine), 1), _rows(self.coarse_score(coarse), 1)
        return torch.cat(values, 1), torch.cat(scores, 1)[..., 0]


def _rows(grid: Tensor, values: int) -> Tensor:
    """[B, anchors * values, H, W] -> [B, H * W * anchors, values]."""
    return grid.permute(0, 2, 3, 1).reshape(grid.shape[0], -1, values)
