"""Counts how many views of a place pass the cascade; the number tells a face from a chance resemblance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from ...running.progress import ask
from ..pose import turn
from .cascade import WINDOW, scan_tiles
from .pyramid import Pose, Pyramid

SAME_FACE = 0.3  # intersection over union from which two windows are one face, or one's middle inside the other


@dataclass(frozen=True)
class Views:
    """The views of a window that vote: all combinations of turn (degrees), zoom, stretch across the face, mirrored
    or not, and place: every `stride` pixels in a tile of `tile` pixels, of which the window takes 24."""

    angles: tuple[float, ...]
    zooms: tuple[float, ...]
    tile: int
    stride: int
    enough: int  # votes that are needed
    stretches: tuple[float, ...] = (1.0,)

    @property
    def kinds(self) -> list[tuple[float, float, float, bool]]:
        return list(product(self.angles, self.zooms, self.stretches, (False, True)))


class Voted(NamedTuple):
    """Where the views that passed are on average, and how many they are."""

    pose: Pose
    votes: int


def vote(pyramid: Pyramid, poses: list[Pose], views: Views) -> list[Voted]:
    """The votes for each window; those with fewer than `views.enough` are left out."""
    ask()
    if not poses:
        return []
    kinds = views.kinds
    tiles = [
        pyramid.view(Pose(pose.x, pose.y, pose.side * zoom, pose.angle + angle), views.tile, stretch, mirrored)
        for pose in poses
        for angle, zoom, stretch, mirrored in kinds
    ]
    nth, ys, xs = scan_tiles(np.stack(tiles), views.stride)
    owner, kind = np.divmod(nth, len(kinds))
    angles, zooms, stretches, mirrored = np.array(kinds)[kind].T
    offsets = (np.stack([xs, ys], axis=1) + (WINDOW - views.tile) / 2) * (zooms / WINDOW)[:, None]
    offsets[:, 0] *= (1 - 2 * mirrored) / stretches
    voted = []
    for index, pose in enumerate(poses):
        mine = owner == index
        if mine.sum() >= views.enough:
            voted.append(Voted(_mean_pose(pose, offsets[mine], zooms[mine], angles[mine]), int(mine.sum())))
    return voted


def _mean_pose(pose: Pose, offsets: np.ndarray, zooms: np.ndarray, angles: np.ndarray) -> Pose:
    """The pose in the middle of views whose places are `offsets` [N,2], in sides of the window, away from it."""
    turns = np.stack([turn(pose.angle + angle) for angle in angles])  # [N, 2, 2]
    x, y = np.median(np.einsum("nij,nj->ni", turns, offsets), axis=0) * pose.side
    side = pose.side * np.median(zooms)
    return Pose(pose.x + float(x), pose.y + float(y), float(side), pose.angle + float(angles.mean()))


def distinct(voted: list[Voted]) -> list[Voted]:
    """Every face once, where it has the most votes; most votes first."""
    kept = []
    for face in sorted(voted, key=lambda face: -face.votes):
        if not any(_is_same(face.pose, other.pose) for other in kept):
            kept.append(face)
    return kept


def _is_same(pose: Pose, other: Pose) -> bool:
    apart = np.abs([pose.x - other.x, pose.y - other.y])
    if apart.max() < max(pose.side, other.side) / 2:
        return True
    shared = ((pose.side + other.side) / 2 - apart).clip(0, min(pose.side, other.side)).prod()
    return shared / (pose.side**2 + other.side**2 - shared) >= SAME_FACE
