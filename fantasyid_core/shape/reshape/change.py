"""One frame with all its people changed. It runs in many threads at once and keeps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...face.align import opencv
from .cliphead import Lying
from .field import Drawing, Field, Grid, draw_on, grid_around, movement
from .paste import joined, moved_picture
from .report import FAINT, HIDDEN, TURNED

if TYPE_CHECKING:
    from .settings import ReshapeSettings
    from .timeline import _Clip

LEAST_SHARE = 0.01  # of an edit, below which a frame is passed on
UNUSUAL = "its face could not be placed"


@dataclass(frozen=True, eq=False)
class Person:
    """In one frame. clip: head, displacement and so on, or None. points: [478,3] in pixels, or None, and then the
    reason. weight: 0..1, of the fades. strength: asked for in this frame."""

    clip: _Clip | None
    points: np.ndarray | None
    weight: float
    strength: float
    reason: str = ""


class Done(NamedTuple):
    """Of one person. applied: of the edit; lying: the head, None where nothing was changed, and then the reason."""

    strength: float
    applied: float
    points: np.ndarray | None
    lying: Lying | None
    reason: str


class Changed(NamedTuple):
    picture: np.ndarray
    mask: np.ndarray
    people: list[Done]

    @property
    def treated(self) -> bool:
        return any(each.lying is not None for each in self.people)

    @property
    def reason(self) -> str:
        return next(each.reason for each in self.people)


class _Head(NamedTuple):
    grid: Grid
    lying: Lying
    after: np.ndarray
    drawing: Drawing


def changed_frame(picture: np.ndarray, people: list[Person], faces: np.ndarray, settings: ReshapeSettings) -> Changed:
    """The frame [H,W,3] with its people changed."""
    done, heads = [], []
    for person in people:
        told, head = _placed(person, picture, faces)
        done.append(told)
        heads += [head] if head is not None else []
    if not heads:
        return Changed(picture, np.zeros(picture.shape[:2], np.float32), done)
    fields = [_moving(head, heads, faces, picture.shape[:2]) for head in heads]
    new, mask = moved_picture(picture, joined(fields, [None] * len(fields)))
    return Changed(new, mask, done)


def _placed(person: Person, picture: np.ndarray, faces: np.ndarray) -> tuple[Done, _Head | None]:
    if person.points is None or person.clip is None:
        return Done(person.strength, 0.0, None, None, person.reason), None
    try:
        lying = person.clip.head.placed(person.points)
    except (ValueError, np.linalg.LinAlgError):
        return Done(person.strength, 0.0, None, None, UNUSUAL), None
    share = person.weight * lying.share
    if share < LEAST_SHARE:
        return Done(person.strength, 0.0, None, None, TURNED if lying.share < LEAST_SHARE else HIDDEN), None
    applied = person.strength * share
    after = lying.moved(applied * person.clip.displacement)
    grid = grid_around(np.concatenate([lying.vertices, after])[:, :2], lying.pose.scale, picture.shape[:2])
    if grid is None or not np.any(applied * person.clip.displacement):
        return Done(person.strength, 0.0, None, None, HIDDEN if grid is None else FAINT), None
    head = _Head(grid, lying, after, draw_on(grid, after, faces))
    return Done(person.strength, applied, person.points, lying, ""), head


def _moving(head: _Head, heads: list[_Head], faces: np.ndarray, size: tuple[int, int]) -> Field:
    still = None
    for other in heads:
        if other is not head:
            there = _outline(head.grid, other.lying.vertices) & (head.drawing.index < 0)
            still = there if still is None else still | there
    before, after = head.lying.vertices[:, :2], head.after[:, :2]
    return movement(head.drawing, before, after, faces, head.lying.pose.scale, size, still)


def _outline(grid: Grid, vertices: np.ndarray) -> np.ndarray:  # bool [h,w]
    """The area of a head."""
    cv2 = opencv()
    hull = cv2.convexHull(grid.drawn(vertices[:, :2]).astype(np.float32))
    return cv2.fillConvexPoly(np.zeros(grid.shape, np.uint8), np.rint(hull).astype(np.int32), 1).astype(bool)
