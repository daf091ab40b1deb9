"""Tracks one face through the frames of a clip: it is detected in some frames and interpolated between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...face.cuts import colour_shares, reduced
from ...face.detectors.detect import DetectedFace, head_pose
from ...face.detectors.search import overlaps
from .reading import Frame
from .settings import PrepareSettings
from .tools import Tools

STEADY = 0.5  # intersection over union from which two finds are close enough to interpolate between
SAME = 0.15  # below it, from one frame to the next, another face or another scene
COLOURS_STEADY, COLOURS_SAME = 0.15, 0.2
"""Share of the colours in and about the face that may change between finds, as with the intersections. Measured: up to
0.07 from frame to frame of moving heads, 0.11 with a cascade's jitter, 0.30 when another person takes the place."""
ABOUT = 0.7  # half the side of the region whose colours are compared, as a share of the box: hair and collar
RIVAL_SCORE = 0.5  # of a second person; every detector's own least score is about that


class Fault(NamedTuple):
    """Why a clip is not taken. kind: one of the words of the report. detail: with figures. last: number of the frame
    up to which it holds, so that the next clip may begin behind it."""

    kind: str
    detail: str
    last: int


@dataclass(frozen=True, eq=False)
class Track:
    """A face in the T frames of a clip, in pixels of the frames as they were read.

    boxes [T,4], points [T,5,2], scores [T], poses [T,3] (yaw, pitch, roll in degrees; nan where not known), all
    float32; between the frames in which it was found, boxes, points and scores are interpolated. found: place in the
    clip -> the face that the detector found there.
    """

    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray
    poses: np.ndarray
    found: dict[int, DetectedFace]


class Tracker:
    """Follows the face; every frame is searched once at most, though clips that fail are tried again further on."""

    def __init__(self, tools: Tools, settings: PrepareSettings):
        self._tools, self._settings = tools, settings
        self._seen: dict[int, list[DetectedFace]] = {}
        self._colours: dict[int, np.ndarray] = {}

    def follow(self, frames: Sequence[Frame]) -> Track | Fault:
        """The one face of the frames, or what is wrong with the last frame that shows none, two or an unsure one."""
        first = frames[0].number
        self._seen = {number: faces for number, faces in self._seen.items() if number >= first}
        self._colours = {number: colours for number, colours in self._colours.items() if number >= first}
        keys = {*range(0, len(frames), self._settings.every), len(frames) - 1}
        keys |= {number - first for number in self._seen if number - first < len(frames)}
        found: dict[int, DetectedFace] = {}
        for key in sorted(keys, reverse=True):
            if isinstance(fault := self._look(frames[key], found, key), Fault):
                return fault
        return self._fill_jumps(frames, found) or _track(found, len(frames))

    def _look(self, frame: Frame, found: dict[int, DetectedFace], key: int) -> Fault | None:
        """Adds the main face of a frame to `found`."""
        if frame.number not in self._seen:
            self._seen[frame.number] = self._tools.find(frame.picture)
        face = self._main(self._seen[frame.number], frame)
        if isinstance(face, Fault):
            return face
        found[key] = face
        self._colours[frame.number] = colour_shares(reduced(_about(frame.picture, face.box)))
        return None

    def _main(self, faces: list[DetectedFace], frame: Frame) -> DetectedFace | Fault:
        when = f"at {frame.time:.2f} s"
        if not faces:
            return Fault("no face", f"no face {when}", frame.number)
        main = max(faces, key=lambda face: (face.area, face.score))
        rivals = [face for face in faces if face is not main and face.score >= RIVAL_SCORE]
        share = max((face.area / max(main.area, 1) for face in rivals), default=0.0)
        if share >= self._settings.rival:
            return Fault(
                "several faces", f"{len(rivals) + 1} faces {when}, the second {share:.0%} as large", frame.number
            )
        if main.score < self._tools.confidence:
            return Fault(
                "unsure face", f"score {main.score:.2f} {when}, below {self._tools.confidence:g}", frame.number
            )
        return main

    def _fill_jumps(self, frames: Sequence[Frame], found: dict[int, DetectedFace]) -> Fault | None:
        """Searches all frames between two detections that differ in place or looks; a fault when neighbours still
        differ."""
        places = sorted(found)
        for early, late in zip(places, places[1:], strict=False):
            if self._apart(frames, found, early, late, STEADY, COLOURS_STEADY):
                for key in range(late - 1, early, -1):
                    if fault := self._look(frames[key], found, key):
                        return fault
        places = sorted(found)
        for early, late in reversed(list(zip(places, places[1:], strict=False))):
            if self._apart(frames, found, early, late, SAME, COLOURS_SAME):
                when = f"at {frames[late].time:.2f} s"
                return Fault("jump", f"the face jumps or becomes another one {when}", frames[late].number - 1)
        return None

    def _apart(self, frames, found, early: int, late: int, overlap: float, colours: float) -> bool:
        both = (self._colours[frames[place].number] for place in (early, late))
        changed = float(np.abs(np.subtract(*both)).sum() / 2)
        return _overlap(found[early], found[late]) < overlap or changed > colours


def _track(found: dict[int, DetectedFace], count: int) -> Track:
    places = np.array(sorted(found))
    faces = [found[place] for place in places]
    numbers = np.stack([np.concatenate([face.box, face.points.ravel(), [face.score]]) for face in faces])
    between = np.stack([np.interp(np.arange(count), places, column) for column in numbers.T], axis=1)
    points = between[:, 4:14].reshape(count, 5, 2)
    exact = np.interp(np.arange(count), places, [face.exact_points for face in faces]) == 1
    poses = [_pose(each) if known else (np.nan,) * 3 for each, known in zip(points, exact, strict=True)]
    parts = (between[:, :4], points, between[:, 14], np.array(poses))
    return Track(*(part.astype(np.float32) for part in parts), found)


def _pose(points: np.ndarray) -> tuple[float, float, float]:
    try:
        return head_pose(points)
    except ValueError:  # interpolated points may collapse though both ends are faces
        return (np.nan,) * 3


def _about(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    middle, reach = (box[:2] + box[2:]) / 2, ABOUT * (box[2:] - box[:2])
    left, top = (middle - reach).clip(0).astype(int)
    right, bottom = np.ceil(middle + reach).astype(int)
    return picture[top : max(bottom, top + 1), left : max(right, left + 1)]


def _overlap(one: DetectedFace, other: DetectedFace) -> float:
    return float(overlaps(one.box.astype(np.float64), other.box[None].astype(np.float64))[0][0])
