"""Chooses the multi-view set: the most different views of the face, without pictures of another person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...face.align import FaceCrop, crop_detected
from ...face.likeness import ANOTHER, SAME, Likeness
from ...face.references import spread_poses
from .filters import face_grey, sharpness
from .reading import Frame
from .settings import PrepareSettings
from .tracking import Fault, Track

BLURRIER = 0.5  # a view has at least this share of the clip's sharpness


class View(NamedTuple):
    """face: the crop. pose: yaw, pitch, roll in degrees, or None. place: frame of the clip. vector: ArcFace, or
    None."""

    face: FaceCrop
    pose: tuple[float, float, float] | None
    place: int
    vector: np.ndarray | None


def choose_views(
    frames: Sequence[Frame], track: Track, settings: PrepareSettings, likeness: Likeness | None
) -> list[View] | Fault:
    """The most different head poses of a clip, the most frontal first; without poses, frames spread over the clip.

    Only frames in which the face was found, and is about as sharp as usual, are taken. With `likeness` a clip in which
    the face becomes another person's is a fault.
    """
    places = _sharp(frames, track)
    poses = [track.found[place] for place in places]
    poses = [None if face.yaw is None else (face.yaw, face.pitch, face.roll) for face in poses]
    chosen = spread_poses(poses, settings.views)
    if all(pose is None for pose in poses):
        spread = np.linspace(0, len(places) - 1, min(settings.views, len(places)))
        chosen = sorted({*spread.round().astype(int).tolist()})
    last = frames[-1].number
    try:
        views = [_view(frames, track, places[index], poses[index], settings.crop, likeness) for index in chosen]
    except ValueError as error:  # points that no face has
        return Fault("no view", str(error), last)
    if likeness is not None:
        ends = [likeness.embed(frames[place].picture, track.found[place].points) for place in (places[0], places[-1])]
        if len(_people([*ends, *(view.vector for view in views)], ANOTHER)) > 1:
            return Fault("another person", "the face becomes another person's", last)
    return views


def _view(frames: Sequence[Frame], track: Track, place: int, pose, size: int, likeness: Likeness | None) -> View:
    picture, face = frames[place].picture, track.found[place]
    vector = None if likeness is None else likeness.embed(picture, face.points)
    return View(crop_detected(picture, face, size), pose, place, vector)


def _sharp(frames: Sequence[Frame], track: Track) -> list[int]:
    places = sorted(track.found)
    values = np.array([sharpness(face_grey(frames[place].picture, track.found[place].box)) for place in places])
    return [place for place, value in zip(places, values, strict=True) if value >= BLURRIER * np.median(values)]


def share_views(clips: list[dict], count: int) -> None:
    """Gives all clips of one person in a video the same most different views of them together.

    clips: each with `references`, `_poses` and `_vector` (the mean of its views' ArcFace vectors). Clips are one
    person's when a chain of cosines of at least `SAME` joins them.
    """
    for group in _people([clip["_vector"] for clip in clips], SAME):
        paths = [path for index in group for path in clips[index]["references"]]
        poses = [pose for index in group for pose in clips[index]["_poses"]]
        chosen = [paths[place] for place in spread_poses(poses, count)]
        for index in group:
            clips[index]["references"] = chosen


def _people(vectors: list[np.ndarray], alike: float) -> list[list[int]]:
    """Groups of indices that a chain of cosines of at least `alike` joins."""
    groups: list[list[int]] = []
    for index, vector in enumerate(vectors):
        near = [group for group in groups if max(float(vector @ vectors[other]) for other in group) >= alike]
        groups = [group for group in groups if group not in near] + [sorted([index, *sum(near, [])])]
    return groups
