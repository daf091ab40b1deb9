"""The face mesh's attention to lips and eyes: features are cropped in an upright frame, and points mapped back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 16  # along each side of the features that are cut out
ROOM = 1.5  # the frame's sides divided by those of the box around the points


def crop_matrix(points: Tensor, around: list[int], left: int, right: int) -> Tensor:
    """Where the cells of a frame lie: [B,2,3], (x, y, 1) in the frame's cells -> x, y in those of the points [B,P,2].

    The frame is level with the line from point `left` to point `right` and `ROOM` times as large as the box
    around the points `around`.
    """
    across = points[:, right] - points[:, left]
    angle = torch.atan2(across[:, 1], across[:, 0])
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)  # from the frame's axes to the picture's
    level = points[:, around] @ turn
    low, high = level.amin(1), level.amax(1)
    middle = (turn @ ((low + high) / 2)[..., None])[..., 0]
    linear = turn * ((high - low) * (ROOM / CELLS))[:, None, :]
    origin = middle - linear.sum(-1) * (CELLS / 2)
    return torch.cat([linear, origin[..., None]], -1)


def cut_features(features: Tensor, matrix: Tensor) -> Tensor:
    """Features [B,C,H,W] at the cells of a frame, `matrix` [B,2,3]: [B,C,16,16], bilinear, 0 outside the features.

    Cells are counted from their corners here, so that the middle of the first lies at 0.5.
    """
    height, width = features.shape[-2:]
    steps = torch.arange(CELLS, device=features.device, dtype=features.dtype) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cells = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3)
    places = (cells @ matrix.mT).reshape(-1, CELLS, CELLS, 2)  # from the features' corner
    sides = places.new_tensor([width, height])
    # Beyond the middles of the outermost cells there is nothing, rather than a fading edge.
    inside = ((places >= 0.5) & (places <= sides - 0.5)).all(-1)
    cut = F.grid_sample(features, places / sides * 2 - 1, mode="bilinear", padding_mode="border", align_corners=False)
    return cut * inside[:, None]


def place_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Points [B,N,2] in a frame's cells -> x, y [B,N,2] in those that `matrix` [B,2,3] leads to."""
    return points @ matrix[..., :2].mT + matrix[..., 2][:, None]
