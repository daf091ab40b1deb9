"""One frame with all its people: first each head is placed, then the picture is changed.

Both steps run in many threads at once and keep nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...face.align import opencv
from ..edit.fields import ramp
from .clip import PersonClip
from .cliphead import Lying
from .covering import Covered, covered_vertices, sample, uncommon
from .field import Drawing, Field, Grid, draw_on, grid_around, movement, reach_of
from .frames import Frame
from .kept import kept_mask
from .paste import Movement, joined, moved_picture
from .report import FAINT, HIDDEN, ODD, TURNED
from .resample import resample_on
from .settings import ReshapeSettings

LEAST_SHARE = 0.01  # of an edit, below which a frame is passed on
COVERED_FROM, COVERED_TO = 0.45, 0.75  # share of the face that is covered, between which the edit fades out


@dataclass(frozen=True, eq=False)
class Person:
    """Someone in one frame. clip: None where nothing is known or asked of them. weight: 0..1, of the fades. strength:
    asked for in this frame. lying: the head in the frame, or None, and then the reason. scores: of `uncommon`, or
    None. share: of the edit, as far as the head's turn lets it be seen, 0..1."""

    clip: PersonClip | None
    strength: float
    reason: str = ""
    weight: float = 0.0
    points: np.ndarray | None = None
    lying: Lying | None = None
    scores: np.ndarray | None = None
    share: float = 0.0


class Done(NamedTuple):
    """What became of a person. applied: of the edit; lying: the head, None where nothing was changed, and then the
    reason."""

    strength: float
    applied: float
    points: np.ndarray | None
    lying: Lying | None
    reason: str


class Changed(NamedTuple):
    picture: np.ndarray
    mask: np.ndarray
    people: list[Done]
    movement: Movement | None = None

    @property
    def treated(self) -> bool:
        return any(each.lying is not None for each in self.people)


class _Head(NamedTuple):
    person: Person
    grid: Grid
    after: np.ndarray
    drawing: Drawing
    covered: Covered | None


def placed(frame: Frame, clip: PersonClip, points: np.ndarray, weight: float, strength: float) -> Person:
    """Where a person's head lies in a frame, and which of its places look covered."""
    try:
        lying = clip.head.placed(points)
    except (ValueError, np.linalg.LinAlgError):
        return Person(clip, strength, ODD)
    scores = None
    if clip.colours is not None:
        seen = sample(frame.bytes, lying, clip.head.head.faces, clip.colours.places)
        scores = None if seen is None else uncommon(seen, clip.colours)
    return Person(clip, strength, "", weight, points, lying, scores, lying.share)


def steadied(person: Person, *near: Person) -> Person:
    """With the mean share of the frames around, so that the edit does not come and go with what is hard to tell."""
    shares = [each.share for each in near if each.lying is not None]
    return replace(person, share=float(np.mean(shares))) if person.lying is not None else person


def changed_frame(
    frame: Frame, people: list[Person], around: list[list[np.ndarray]], faces: np.ndarray, settings: ReshapeSettings
) -> Changed:
    """The frame with its people changed; around: for each of them the scores of this frame and its neighbours."""
    done, heads = [], []
    for person, scores in zip(people, around, strict=True):
        told, head = _edited(person, scores, frame, faces, settings)
        done.append(told)
        heads += [head] if head is not None else []
    picture = frame.picture
    if not heads:
        return Changed(picture, np.zeros(picture.shape[:2], np.float32), done)
    fields = [_moving(head, heads, faces, picture.shape[:2]) for head in heads]
    movement = joined(fields, [_kept(head, frame, faces, settings) for head in heads])
    return Changed(*moved_picture(picture, movement, resample_on(settings.device)), done, movement)


def _edited(person: Person, scores: list, frame: Frame, faces: np.ndarray, settings) -> tuple[Done, _Head | None]:
    def passed(reason: str) -> tuple[Done, None]:
        return Done(person.strength, 0.0, None, None, reason), None

    if person.lying is None:
        return passed(person.reason)
    lying, covered, open_share = person.lying, None, 1.0
    if scores and settings.in_front:
        covered = covered_vertices(scores, person.clip.colours)
        open_share = _open_share(covered, person)
    share = person.weight * person.share * open_share
    if share < LEAST_SHARE:
        return passed(TURNED if person.share < LEAST_SHARE else HIDDEN)
    applied = person.strength * share
    after = lying.moved(applied * person.clip.displacement)
    both = lying.vertices[:, :2], after[:, :2]
    grid = grid_around(np.concatenate(both), reach_of(*both, lying.pose.scale), frame.picture.shape[:2])
    if grid is None or not np.any(applied * person.clip.displacement):
        return passed(HIDDEN if grid is None else FAINT)
    head = _Head(person, grid, after, draw_on(grid, after, faces), covered)
    return Done(person.strength, applied, person.points, lying, ""), head


def _open_share(covered: Covered | None, person: Person) -> float:
    """Of the edit, as far as the face is not covered."""
    if covered is None or person.scores is None:
        return 1.0
    there = person.clip.colours.places.vertices[np.isfinite(person.scores)]
    return float(ramp(np.float64(covered.share[there].mean()), COVERED_TO, COVERED_FROM)) if len(there) else 1.0


def _kept(head: _Head, frame: Frame, faces: np.ndarray, settings: ReshapeSettings) -> np.ndarray | None:
    if head.covered is None:
        return None
    mask = kept_mask(frame.bytes, head.grid, head.person.lying, faces, head.covered)
    return None if mask is None else settings.in_front * mask


def _moving(head: _Head, heads: list[_Head], faces: np.ndarray, size: tuple[int, int]) -> Field:
    still = None
    for other in heads:
        if other is not head:
            there = _outline(head.grid, other.person.lying.vertices) & (head.drawing.index < 0)
            still = there if still is None else still | there
    lying = head.person.lying
    return movement(head.drawing, lying.vertices[:, :2], head.after[:, :2], faces, lying.pose.scale, size, still)


def _outline(grid: Grid, vertices: np.ndarray) -> np.ndarray:  # bool [h,w]
    """The area of a head."""
    cv2 = opencv()
    hull = cv2.convexHull(grid.drawn(vertices[:, :2]).astype(np.float32))
    return cv2.fillConvexPoly(np.zeros(grid.shape, np.uint8), np.rint(hull).astype(np.int32), 1).astype(bool)
