"""Measures how well a video was reshaped: against drawn people, whose video after the edit can be drawn as well.

A person is drawn twice in one motion, as they are and with their head bent by a slider. What was made of the first
video is compared with the second. The background has lines, so that a warp of it shows.

    truth = truth_of(draw_lively(seed, frames=12, size=256), "jaw_width", 0.5)
    made = list(reshape_frames(truth.before.frames, {"jaw_width": 0.5}))
    score = compare(np.stack([each.picture for each in made]), [each.movement for each in made], truth)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from ...face.landmarks.faces import landmarked_faces, mesh_pass
from ...face.landmarks.points import MESH_POINTS
from ...face.landmarks.squares import squares_of_points
from ...shape.edit.controls import shape_controls
from .. import columns as col
from ..motion import frame_row
from ..person import Draw, Person, sample_person
from ..render import NO_REGION, Maps, render_frames, render_maps
from ..surface_regions import REGIONS
from .comparing import psnr, softened
from .details import share_of
from .moving import Movement, gone

NOT_FACE = ("ear left", "ear right", "scalp", "neck")
MARGIN = 1 / 64  # of the picture's side around the person, where hair and background may mix in a pixel
OUTLINE = 1 / 128  # and around the face, where its outline is
SOFT = 3 / 256  # of the side: how far pictures are blurred, so that the pixels change evenly along the way of an edit
FULL = 512  # pixels of the picture's side in which distances are told
_PERIODS = {"yaw": (16, 53), "pitch": (6, 37), "roll": (5, 61), "shift_x": (0.02, 47), "shift_y": (0.015, 41)}
"""How far each swings, and in how many frames once to and fro, as at 24 frames per second."""


@dataclass(frozen=True)
class Lines:
    """A backdrop of straight lines, a light and a dark one in turns, `gap` shares of the picture apart."""

    gap: float = 1 / 9
    tone: float = 0.55

    def picture(self, size: int) -> np.ndarray:
        """float32 [size,size,3] in 0..1."""
        place = (np.arange(size, dtype=np.float32) + 0.5) / size / self.gap
        wave = 0.16 * np.tanh(4 * np.cos(2 * np.pi * place))
        tone = self.tone + (wave[:, None] + wave) / 2
        return np.stack([tone, 0.92 * tone, 0.85 * tone], axis=-1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A video of a person as they are, or with their head bent. rows: [T,15]. bend: [V,3] metres, or None."""

    person: Person
    rows: np.ndarray
    size: int
    bend: np.ndarray | None = None

    @cached_property
    def frames(self) -> np.ndarray:
        """uint8 [T,S,S,3]."""
        return render_frames(self.person, self.rows, Lines(), self.size, bend=self.bend)

    @cached_property
    def maps(self) -> Maps:
        return render_maps(self.person, self.rows, self.size, self.bend)

    @cached_property
    def face(self) -> np.ndarray:
        """bool [T,S,S]: where the face is, without ears, neck, hair and glasses."""
        regions = np.isin(self.maps.regions, [REGIONS.index(name) for name in NOT_FACE] + [NO_REGION], invert=True)
        return regions & np.isin(self.maps.layers, (col.L_SKIN, col.L_BROWS, col.L_EYES, col.L_LIPS, col.L_MOUTH))

    @cached_property
    def points(self) -> np.ndarray:
        """[T,468,3] pixels."""
        return seen_points(self.frames, seen_points(self.frames))

    @cached_property
    def softened(self) -> np.ndarray:
        return softened(self.frames, SOFT)


@dataclass(frozen=True, eq=False)
class Truth:
    """The video `before`, and the `true` one after the edit of one slider."""

    before: Drawn
    true: Drawn
    slider: str
    value: float

    @cached_property
    def around(self) -> np.ndarray:
        """bool [T,S,S]: where the face is in one of the videos, with its outline."""
        side = 2 * max(1, round(OUTLINE * self.true.size)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return np.stack([cv2.dilate(each.astype(np.uint8), kernel) > 0 for each in self.before.face | self.true.face])

    @cached_property
    def outside(self) -> np.ndarray:
        """bool [T,S,S]: where neither video shows the person."""
        free = np.logical_and(*(each.maps.layers == col.L_BACKGROUND for each in (self.before, self.true)))
        side = 2 * max(1, round(MARGIN * self.true.size)) + 1
        return np.stack([cv2.erode(each.astype(np.uint8), np.ones((side, side))) > 0 for each in free])

    @cached_property
    def true_points(self) -> np.ndarray:
        """[T,468,3] pixels, of the true video, found where those of the video before are."""
        return seen_points(self.true.frames, self.before.points)

    def share_of(self, ours: np.ndarray) -> float:
        """How far a video uint8 [T,S,S,3] has gone of the way from before to the true one, by the pixels around the
        face: 0 is the video before, 1 the true one. Light falls otherwise on another shape, which no movement of pixels
        brings, so 1 is not to be had."""
        return share_of(
            *(each[self.around] for each in (softened(ours, SOFT), self.before.softened, self.true.softened))
        )


class Score(NamedTuple):
    """psnr: dB in the face against the true video, and `unchanged` that of the video before. slope: how far the skin
    went of the way that it goes in the true video, 1 is all of it. misplaced: mean distance of the skin from where the
    true video shows it, in pixels of a picture of 512. share: as `Truth.share_of`. landmarks: mean distance of the
    points from those of the true video, likewise, and `moved` the distance that they had before.
    outside: mean difference from the video before, of 255, where neither shows the person. flicker: mean change from
    frame to frame where the video was changed, as a share of the same in the video before. jitter: second difference
    of the points in time, likewise."""

    psnr: float
    unchanged: float
    slope: float
    misplaced: float
    share: float
    landmarks: float
    moved: float
    outside: float
    flicker: float
    jitter: float


def lively_rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows [count,15] of a head that turns, nods, talks, smiles and blinks while the light goes round it, as fast as
    people do at 24 frames per second."""
    draw = Draw(seed, "lively")
    phases = {name: draw() for name in (*_PERIODS, "talk", "smile", "light", "blink")}
    frame = np.arange(count)
    swing = lambda name, period: np.sin(2 * np.pi * (frame / period + phases[name]))  # noqa: E731
    columns = {name: reach * swing(name, period) for name, (reach, period) in _PERIODS.items()}
    columns["mouth_open"] = 0.35 * swing("talk", 9).clip(0) ** 2
    columns["smile"] = 0.5 + 0.5 * swing("smile", 71)
    since = (frame + 20 * phases["blink"]) % 31 - 15
    columns["blink"] = np.exp(-((since / 2.2) ** 2))
    columns["light_turn"], columns["light_rise"] = 45 * swing("light", 97), np.full(count, 22.0)
    columns["gaze_x"] = -0.4 * columns["yaw"] / 30
    return np.stack([frame_row(**{name: values[t] for name, values in columns.items()}) for t in range(count)])


def draw_lively(seed: int, frames: int = 12, size: int = 256) -> Drawn:
    """The person of a seed, moving as `lively_rows` says. Raises ValueError for sizes and counts out of range."""
    return Drawn(sample_person(seed), lively_rows(frames, seed), size)


def truth_of(before: Drawn, slider: str, value: float) -> Truth:
    """What becomes of a video by one slider. Raises ValueError for an unknown slider."""
    controls = shape_controls(before.person.vertices())
    if slider not in controls:
        raise ValueError(f"Expected a slider among {', '.join(controls)}, got {slider!r}.")
    bend = (value * np.asarray(controls[slider], np.float64)).astype(np.float32)
    return Truth(before, replace(before, bend=bend), slider, value)


def compare(ours: np.ndarray, movements: Sequence[Movement | None], truth: Truth) -> Score:
    """The score of a reshaped video uint8 [T,S,S,3], whose pixels moved so. It needs numba, as all that is drawn."""
    before, true = truth.before, truth.true
    slope, misplaced = gone(truth, movements)
    points, scale = seen_points(ours, before.points)[..., :2], FULL / true.size
    return Score(
        psnr(ours, true.frames, true.face),
        psnr(before.frames, true.frames, true.face),
        slope,
        scale * misplaced,
        truth.share_of(ours),
        scale * mean_distance(points, truth.true_points[..., :2]),
        scale * mean_distance(before.points[..., :2], truth.true_points[..., :2]),
        outside_change(ours, before.frames, truth.outside),
        flicker(ours, before.frames),
        jitter(points) / jitter(before.points[..., :2]),
    )


def outside_change(ours: np.ndarray, before: np.ndarray, outside: np.ndarray) -> float:
    """Mean difference, of 255, where `outside` [T,H,W] says."""
    return float(np.abs(ours[outside].astype(np.int16) - before[outside]).mean())


def flicker(ours: np.ndarray, before: np.ndarray, where: np.ndarray | None = None) -> float:
    """Mean change from frame to frame as a share of that in the video before, where the video was changed (or `where`,
    [H,W]). 1 where nothing was changed or moves."""
    changed = (ours != before).any(axis=(0, 3)) if where is None else where
    ratio = [
        np.abs(np.diff(each[:, changed].astype(np.int16), axis=0)).mean() for each in (ours, before) if changed.any()
    ]
    return float(ratio[0] / ratio[1]) if ratio and ratio[1] > 0 else 1.0


def jitter(points: np.ndarray) -> float:
    """Mean length of the points' second difference in time, [T,N,2] with T > 2; NaN for fewer frames."""
    return float(np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1).mean()) if len(points) > 2 else float("nan")


def mean_distance(ours: np.ndarray, true: np.ndarray) -> float:  # [...,2] each
    return float(np.linalg.norm(ours - true, axis=-1).mean())


def seen_points(pictures: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """The 468 points of the face in every picture, [T,468,3]: of the surest face, followed from picture to picture.

    near: [T,468,3], where a face of about the same place has its points. Raises ValueError where none is found.
    """
    found = []
    for t, picture in enumerate(pictures):
        start = near[t] if near is not None else (found[-1] if found else _first(picture))
        points = start[None]
        for _ in range(2):
            points, _ = mesh_pass(picture, squares_of_points(points), "cpu")
        found.append(points[0, :MESH_POINTS])
    return np.stack(found)


def _first(picture: np.ndarray) -> np.ndarray:
    faces = landmarked_faces(picture, "cpu")
    if not faces:
        raise ValueError("Expected a picture with a face, got one in which none is found.")
    return faces[0].points[:MESH_POINTS]
