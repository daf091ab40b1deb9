"""Follows people through a video: their 478 points in every frame, or why there are none.

A face that is lost is looked for again near where it was; far away, only as a new beginning: the scene's faces are
then chosen anew. With a recogniser nobody but the first person is taken, wherever they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from ...face.choose import choose_face
from ...face.cuts import CutDetector
from ...face.landmarks import landmarked_faces
from ...face.landmarks.confirm import confirm
from ...face.landmarks.faces import mesh_pass
from ...face.landmarks.points import FIVE, IRIS_CENTRES, MESH_POINTS
from ...face.landmarks.squares import squares_of_points
from ...face.likeness import SAME
from ...options import MOST_ALIKE
from .report import NO_FACE, OTHER_PERSON
from .settings import PersonEdit, Recogniser

PRESENT = 0.5  # of the mesh, as in MediaPipe
SURE = 0.9  # below it, and every `LOOK` frames, the detectors are asked whether this is still a face
DOUBTED = 0.25  # their score for no face, half of what the least sure face got from the front
LOOK = 6
SOON, SELDOM = 4, 4  # so many frames in a row a lost face is looked for in each, then in every fourth
NEAR = 1.6  # face sizes within which a found face is the lost one
ALIKE_SIZE = 1.8  # and so many times larger or smaller
QUICK = 0.12  # face sizes of motion from which the points are found twice
ONE_FACE = 0.35  # eye distances between two tracks that have come to the same face
INSIDE = 0.4  # share of the points that must lie in the picture


class Seen(NamedTuple):
    """points: np.float32 [478,3] in pixels. presence: 0..1. run: frames with one number are one uninterrupted walk."""

    points: np.ndarray
    presence: float
    run: int


class Look(NamedTuple):
    """One frame: whether a new scene begins with it, and for each person what was seen, or a reason."""

    cut: bool
    people: tuple[Seen | str, ...]


@dataclass
class _Track:
    """The state of one person. points: of the last frame in which they were seen. missing: frames since then."""

    who: PersonEdit
    points: np.ndarray | None = None
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))
    missing: int = 0
    run: int = 0
    vector: np.ndarray | None = None
    reason: str = NO_FACE


class Follower:
    """Called with one frame np.uint8 [H,W,3] after the other."""

    def __init__(self, people: list[PersonEdit], recognise: Recogniser | None = None, device: str = "cpu"):
        self._tracks = [_Track(who, vector=who.like) for who in people]
        self._recognise, self._device = recognise, device
        self._cut, self._shape, self._frame, self._runs = CutDetector(), None, -1, 0

    def __call__(self, picture: np.ndarray) -> Look:
        self._frame += 1
        cut = self._new_scene(picture)
        with torch.inference_mode():
            found = [self._followed(track, picture) for track in self._tracks]
            self._part(found)
            lost = [nth for nth, each in enumerate(found) if each is None]
            if any(self._searched(self._tracks[nth]) for nth in lost):
                self._search(picture, found, lost)
        return Look(cut, tuple(self._noted(*pair) for pair in zip(self._tracks, found, strict=True)))

    def _new_scene(self, picture: np.ndarray) -> bool:
        cut = picture.shape != self._shape
        self._shape = picture.shape
        cut = self._cut(picture) or cut
        if cut:
            for track in self._tracks:
                track.points, track.missing = None, 0
        return cut and self._frame > 0

    def _followed(self, track: _Track, picture: np.ndarray) -> Seen | None:
        """The face where it was in the frame before."""
        if track.points is None or track.missing:
            return None
        guess = track.points + np.append(track.shift, 0)
        points, presence = mesh_pass(picture, squares_of_points(guess[None]), self._device)
        if _moved(points[0], guess) > QUICK and presence[0] >= PRESENT:
            points, presence = mesh_pass(picture, squares_of_points(points), self._device)
        if presence[0] < PRESENT or _inside(points[0], picture) < INSIDE:
            return None
        if presence[0] < SURE or self._frame % LOOK == 0:
            if confirm(picture, points, self._device)[0] < DOUBTED or not self._same(track, picture, points[0]):
                return None
        return Seen(points[0].astype(np.float32), float(presence[0]), track.run)

    def _part(self, found: list[Seen | None]) -> None:
        """Of two tracks on one face, the surer one stays."""
        for first in range(len(found)):
            for second in range(first):
                if found[first] is None or found[second] is None:
                    continue
                apart = np.linalg.norm((found[first].points - found[second].points)[:, :2], axis=1).mean()
                if apart < ONE_FACE * _eyes(found[first].points):
                    found[max((first, second), key=lambda nth: -found[nth].presence)] = None

    def _searched(self, track: _Track) -> bool:
        return track.missing < SOON or track.missing % SELDOM == 0

    def _search(self, picture: np.ndarray, found: list[Seen | None], lost: list[int]) -> None:
        """Looks for the lost ones among all faces of the picture."""
        faces = [_Choice.of(face) for face in landmarked_faces(picture, self._device)]
        for nth in lost:
            track = self._tracks[nth]
            free = [face for face in faces if not _taken(face, found)]
            face = self._again(track, free, picture) or self._first(track, faces, free, picture)
            if face is not None:
                found[nth] = Seen(face.face.points, face.face.presence, track.run)

    def _again(self, track: _Track, free: list[_Choice], picture: np.ndarray) -> _Choice | None:
        """The face that was lost, near where it was."""
        if track.points is None:
            return None
        near = [face for face in free if _near(face.face.points, track.points)]
        near = [face for face in near if self._same(track, picture, face.face.points)]
        return min(near, key=lambda face: _moved(face.face.points, track.points), default=None)

    def _first(self, track: _Track, faces: list, free: list, picture: np.ndarray) -> _Choice | None:
        """The face to begin with: in a new scene, and where somebody came in."""
        if track.points is not None and track.missing < SOON:
            return None
        track.reason = NO_FACE
        if self._recognise is not None and track.vector is not None:
            alike = [float(self._recognise(picture, face.face.five) @ track.vector) for face in free]
            best = max(range(len(free)), key=lambda nth: alike[nth], default=None)
            if best is None or alike[best] < SAME:
                track.reason = OTHER_PERSON if free else NO_FACE
                return None
            chosen = free[best]
        elif track.who.number >= len(faces) or track.who.how == MOST_ALIKE:
            return None
        else:
            chosen = choose_face(faces, track.who.how, track.who.number, picture.shape[1::-1])
            if not any(chosen is face for face in free):
                return None
        if self._recognise is not None and track.vector is None:
            track.vector = np.asarray(self._recognise(picture, chosen.face.five))
        self._runs += 1
        track.run, track.shift = self._runs, np.zeros(2)
        return chosen

    def _same(self, track: _Track, picture: np.ndarray, points: np.ndarray) -> bool:
        if self._recognise is None or track.vector is None:
            return True
        five = points[list(FIVE), :2].clip(0, np.array(picture.shape[1::-1]) - 1)
        alike = float(self._recognise(picture, five.astype(np.float32)) @ track.vector)
        if alike < SAME / 2:
            track.reason = OTHER_PERSON
        return alike >= SAME / 2

    def _noted(self, track: _Track, seen: Seen | None) -> Seen | str:
        if seen is None:
            track.missing += 1
            return track.reason
        points = seen.points.astype(np.float64)
        if track.points is not None and not track.missing:
            track.shift = (points - track.points)[:, :2].mean(axis=0)
        track.points, track.missing, track.reason = points, 0, NO_FACE
        return seen


class _Choice(SimpleNamespace):
    """A landmarked face as `choose_face` takes faces."""

    @classmethod
    def of(cls, face) -> _Choice:
        sides = face.box[2:] - face.box[:2]
        return cls(face=face, box=face.box, area=float(sides.prod()), centre=(face.box[:2] + face.box[2:]) / 2)


def _size(points: np.ndarray) -> float:
    return float(np.ptp(points[:MESH_POINTS, :2], axis=0).max())


def _eyes(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.subtract(*points[list(IRIS_CENTRES), :2])))


def _moved(points: np.ndarray, before: np.ndarray) -> float:
    """By how many face sizes."""
    return float(np.linalg.norm((points - before)[:, :2].mean(axis=0))) / max(_size(before), 1e-6)


def _near(points: np.ndarray, before: np.ndarray) -> bool:
    ratio = _size(points) / max(_size(before), 1e-6)
    return _moved(points, before) < NEAR and 1 / ALIKE_SIZE < ratio < ALIKE_SIZE


def _inside(points: np.ndarray, picture: np.ndarray) -> float:
    flat = points[:MESH_POINTS, :2]
    return float(((flat >= -0.5) & (flat <= np.array(picture.shape[1::-1]) - 0.5)).all(axis=1).mean())


def _taken(face: _Choice, found: list[Seen | None]) -> bool:
    return any(
        seen is not None and np.linalg.norm((seen.points - face.face.points)[:, :2], axis=1).mean()
        < ONE_FACE * _eyes(seen.points) + 1e-6
        for seen in found
    )  # fmt: skip
