"""Measures where a reshaped video shows the person's skin, against where the drawn video after the edit shows it.

A drawing knows where every vertex of the head lies, so no network and no shading has a say in this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import cv2
import numpy as np

if TYPE_CHECKING:
    from .reshaping import Drawn, Truth

HIDDEN = 0.004  # metres by which what is drawn lies before a vertex that cannot be seen
ROUNDS = 10


class Movement(Protocol):
    """Where pixels come from, as `shape.reshape.paste.Movement`."""

    left: int
    top: int
    shift: np.ndarray


class Gone(NamedTuple):
    """slope: of the vertices' true way, the share that they went, 1 is all of it. misplaced: mean distance from the
    true places, in pixels of the pictures."""

    slope: float
    misplaced: float


def gone(truth: Truth, movements: Sequence[Movement | None]) -> Gone:
    """Of the head's vertices that the video before shows in the face; movements: of each frame, None where nothing
    moved."""
    ways, ours = [], []
    for t, movement in enumerate(movements):
        seen = visible(truth.before, t)
        before, after = (drawn.maps.points[t][seen].astype(np.float64) for drawn in (truth.before, truth.true))
        ways.append(after - before)
        ours.append(moved_to(before, movement) - before)
    way, our = np.concatenate(ways), np.concatenate(ours)
    return Gone(float((our * way).sum() / (way * way).sum()), float(np.linalg.norm(our - way, axis=1).mean()))


def visible(drawn: Drawn, t: int) -> np.ndarray:  # bool [V]
    """The vertices that a frame shows in the face."""
    x, y = np.rint(drawn.maps.points[t]).astype(int).clip(0, drawn.size - 1).T
    return drawn.face[t][y, x] & (drawn.maps.depth[t][y, x] - drawn.maps.vertex_depth[t] < HIDDEN)


def moved_to(points: np.ndarray, movement: Movement | None) -> np.ndarray:  # [N,2] -> [N,2]
    """Where the content of these places lies after a movement: the places that fetch from them."""
    if movement is None:
        return points
    corner, there = np.array([movement.left, movement.top]), points.copy()
    for _ in range(ROUNDS):
        there = points - _sampled(movement.shift, there - corner)
    return there


def _sampled(shift: np.ndarray, places: np.ndarray) -> np.ndarray:  # [h,w,2], [N,2] -> [N,2]
    x, y = places.astype(np.float32).T
    channels = [np.ascontiguousarray(shift[..., axis]) for axis in (0, 1)]
    return np.stack([cv2.remap(channel, x, y, cv2.INTER_LINEAR).ravel() for channel in channels], axis=1)
