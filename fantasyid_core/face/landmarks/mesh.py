"""The face mesh with attention: 468 points, those of lips and eyes seen again more closely, and ten of the irises."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import crop_matrix, cut_features, place_points
from .layers import BlazeBlock, pad_same
from .points import IRISES, LEFT_EYE, LIDS, LIPS, RIGHT_EYE

SIDE = 192
FEATURES_SIDE = 48  # of the features from which lips and eyes are cut
POINTS = 468


class FaceMesh(nn.Module):
    """Pixels of upright faces [B,3,192,192] in 0..1 -> points [B,478,3] in pixels, presence [B] before the sigmoid.

    x goes to the right, y down, z away from the camera. Left and right are the picture's.
    """

    def __init__(self, operations=torch.nn):
        super().__init__()
        self.stem = operations.Conv2d(3, 16, 3, 2)
        self.stem_activation = nn.PReLU(16)
        self.shallow = _blocks((16, 16, 16, 32), operations)
        self.deep = _blocks((32, 32, 32, 64, 64, 64, 128, 128, 128), operations)
        self.deeper = nn.Sequential(*(_group(128, 3, operations) for _ in range(2)))
        self.tail = _tail(operations)
        self.points = operations.Conv2d(32, POINTS * 3, 3)
        self.presence = operations.Conv2d(32, 1, 3)
        self.lips = Region(LIPS, operations=operations)
        self.left_eye = Region(LEFT_EYE, IRISES[0], operations=operations)
        self.right_eye = Region(RIGHT_EYE, IRISES[1], operations=operations)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.shallow(self.stem_activation(self.stem(pad_same(pixels, 3, 2))))
        tail = self.tail(self.deeper(self.deep(features)))
        coarse = self.points(tail).reshape(-1, POINTS, 3)
        points = torch.cat([coarse, coarse.new_zeros(len(coarse), 10, 3)], 1)
        for region in (self.lips, self.left_eye, self.right_eye):
            region.refine(points, coarse, features)
        for iris, lids in zip(IRISES, LIDS, strict=True):  # their depth is that of the eye's rim
            points[:, list(iris), 2] = coarse[:, list(lids), 2].mean(1, keepdim=True)
        return points, self.presence(tail).flatten()


class Region(nn.Module):
    """A part of the face whose points are found again, in features that are cut out around it and set upright."""

    def __init__(self, part, iris: tuple[int, ...] = (), operations=torch.nn):
        super().__init__()
        self.part, self.iris_points = part, list(iris)
        self.trunk = _blocks((32, 32, 32, 64, 64, 64, 128), operations)
        self.head = Head(len(part.points), operations)
        self.iris = Head(len(iris), operations) if iris else None

    def refine(self, points: Tensor, coarse: Tensor, features: Tensor) -> None:
        """Writes x and y of the region into `points` [B,478,3]; coarse [B,468,3], features [B,32,48,48]."""
        part, scale = self.part, FEATURES_SIDE / SIDE
        matrix = crop_matrix(coarse[..., :2] * scale, list(part.points), *part.corners)
        seen = self.trunk(cut_features(features, matrix))
        points[:, list(part.points), :2] = place_points(self.head(seen) * scale, matrix) / scale
        if self.iris is not None:
            points[:, self.iris_points, :2] = place_points(self.iris(seen) * scale, matrix) / scale


class Head(nn.Module):
    """Features of a region [B,128,4,4] -> its points [B,N,2] in pixels of the frame that was cut out."""

    def __init__(self, count: int, operations=torch.nn):
        super().__init__()
        self.blocks = nn.Sequential(
            *(BlazeBlock(128, 128, stride, True, operations) for stride in (1, 1, 2, 1, 1)), *_tail(operations)
        )
        self.points = operations.Conv2d(32, count * 2, 2)

    def forward(self, features: Tensor) -> Tensor:
        return self.points(self.blocks(features)).reshape(len(features), -1, 2)


def _blocks(widths: tuple[int, ...], operations) -> nn.Sequential:
    """Blocks from each width to the next; where it grows, the grid is halved."""
    pairs = zip(widths, widths[1:], strict=False)
    return nn.Sequential(*(BlazeBlock(a, b, 2 if b > a else 1, True, operations) for a, b in pairs))


def _group(width: int, count: int, operations) -> nn.Sequential:
    """Blocks of one width, the first of which halves the grid."""
    return nn.Sequential(*(BlazeBlock(width, width, 1 if nth else 2, True, operations) for nth in range(count)))


def _tail(operations) -> nn.Sequential:
    return nn.Sequential(
        operations.Conv2d(128, 32, 1), nn.PReLU(32), BlazeBlock(32, 32, prelu=True, operations=operations)
    )
