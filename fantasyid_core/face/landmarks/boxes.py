"""Decodes a detector's output into boxes and six points in pixels, and merges them into one box for each face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import full_range, short_range

SAME_FACE = 0.3
"""Intersection over union from which boxes are merged, as in MediaPipe."""


@dataclass(frozen=True)
class Boxes:
    """Faces as a detector sees them. The points: left eye, right eye, tip of the nose, mouth, left ear, right ear."""

    corners: np.ndarray  # [N, 2, 2]: left and top, right and bottom
    points: np.ndarray  # [N, 6, 2]
    scores: np.ndarray  # [N], 0..1

    def __getitem__(self, index) -> Boxes:
        return Boxes(self.corners[index], self.points[index], self.scores[index])

    def __len__(self) -> int:
        return len(self.scores)

    def moved(self, matrix: np.ndarray) -> Boxes:
        """Through a matrix [2,3] of quarter turns, one scale and a shift."""
        corners, points = (some @ matrix[:, :2].T + matrix[:, 2] for some in (self.corners, self.points))
        return Boxes(np.stack([corners.min(1), corners.max(1)], 1), points, self.scores)


def joined(several: list[Boxes]) -> Boxes:
    """All boxes in one."""
    fields = ([getattr(some, name) for some in several] for name in ("corners", "points", "scores"))
    return Boxes(*(np.concatenate(field) for field in fields))


def decode(values: np.ndarray, logits: np.ndarray, middles: np.ndarray, least: float) -> Boxes:
    """A network's values [A,16] and scores before the sigmoid [A] with a score of at least `least`, in its pixels."""
    chosen = np.flatnonzero(logits >= np.log(least / (1 - least)))
    places = values[chosen].astype(np.float64).reshape(-1, 8, 2)
    places[:, 0] += middles[chosen]
    places[:, 2:] += middles[chosen, None]
    half = places[:, 1:2] / 2
    scores = 1 / (1 + np.exp(-logits[chosen].clip(-100, 100).astype(np.float64)))
    return Boxes(places[:, :1] + half * [[[-1], [1]]], places[:, 2:], scores)


def anchors(name: str, height: int, width: int) -> np.ndarray:
    """Middles [A,2] of a network's anchors in a picture of this size, in its pixels from the corner."""
    if name == "full_range":
        return _middles(full_range.CELL, 1, height, width)
    grids = (
        (short_range.FINE, short_range.FINE_ANCHORS),
        (short_range.COARSE, short_range.COARSE_ANCHORS),
    )
    return np.concatenate([_middles(cell, count, height, width) for cell, count in grids])


def merged(boxes: Boxes, same: float = SAME_FACE) -> Boxes:
    """One box for each face: the mean of those that overlap the surest one, weighted by score; surest first."""
    left, means = boxes[np.argsort(-boxes.scores, kind="stable")], []
    while len(left):
        close = overlaps(left.corners[0], left.corners) > same
        close[0] = True
        group = left[close]
        weights = group.scores / group.scores.sum()
        means.append(
            Boxes(
                np.einsum("n,nij->ij", weights, group.corners)[None],
                np.einsum("n,nij->ij", weights, group.points)[None],
                group.scores[:1],
            )
        )
        left = left[~close]
    return joined(means) if means else boxes


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of a box [2,2] with others [N,2,2]."""
    shared = (np.minimum(box[1], others[:, 1]) - np.maximum(box[0], others[:, 0])).clip(0).prod(-1)
    both = (box[1] - box[0]).prod() + (others[:, 1] - others[:, 0]).prod(-1) - shared
    return shared / np.maximum(both, 1e-9)


def _middles(cell: int, count: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[: height // cell, : width // cell]
    return np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * cell, count, 0)
