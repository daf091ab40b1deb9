"""Scores of a video, frame by frame, and the ranking of several videos.

The caller gives the function that finds the face in a frame (`face_finder` makes one), so that nothing here depends on
a detector.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..running.progress import counted
from .motion import check_frames, face_motions
from .similarity import inter_frame_similarities, reference_similarities

if TYPE_CHECKING:
    from ..face.align import FaceCrop
    from ..face.likeness import Likeness

Find = Callable[[np.ndarray], "tuple[np.ndarray, np.ndarray] | None"]
"""A picture np.uint8 [H,W,3] -> the face's vector [C] and its box [4] (x0, y0, x1, y1), or None without a face."""

TYPICAL_MOTION = 0.6
"""Pixels per frame; the paper's own videos have 0.61, those of the stiffest method it compares with 0.18."""


@dataclass(frozen=True, eq=False)
class VideoScore:
    """RS, IFS and FM of one video, and the numbers of every frame; NaN where there is no face to look at.

    reference_similarities float64 [T], inter_frame_similarities and face_motions float64 [T-1].
    """

    reference_similarities: np.ndarray
    inter_frame_similarities: np.ndarray
    face_motions: np.ndarray

    @property
    def reference_similarity(self) -> float:
        """RS: mean cosine of frames and reference, over the frames with a face."""
        return _mean(self.reference_similarities)

    @property
    def inter_frame_similarity(self) -> float:
        """IFS: mean cosine of consecutive frames, over the pairs with two faces."""
        return _mean(self.inter_frame_similarities)

    @property
    def face_motion(self) -> float:
        """FM: mean flow in the face in pixels per frame, over the pairs whose first frame has a face."""
        return _mean(self.face_motions)

    @property
    def missing(self) -> tuple[int, ...]:
        """The frames without a face."""
        return tuple(int(index) for index in np.flatnonzero(np.isnan(self.reference_similarities)))

    def describe(self) -> str:
        """The scores in one or two sentences."""
        count = len(self.reference_similarities)
        if len(self.missing) == count:
            return f"No face was found in any of the {count} frames."
        text = (
            f"Reference similarity {self.reference_similarity:.2f}, inter-frame similarity "
            f"{self.inter_frame_similarity:.2f}, face motion {self.face_motion:.2f} pixels per frame."
        )
        return text if not self.missing else f"{text} {len(self.missing)} of {count} frames show no face."

    def plot(self, title: str = "", width: int = 720, height: int = 420) -> np.ndarray:
        """`score_plot` of the three: np.uint8 [height, width, 3]."""
        from .plot import score_plot

        series = (self.reference_similarities, self.face_motions, self.inter_frame_similarities)
        return score_plot(*series, title=title, width=width, height=height)


def score_video(frames, references, find: Find) -> VideoScore:
    """The scores of `frames` (as in `face_motion`, in colour; one frame has RS only).

    references: vectors [C] or [R, C] of the person, as `find` gives them for a face. Raises ValueError for other
    frames or vectors; frames without a face are left out and named in the result.
    """
    frames = check_frames(frames)
    if frames.ndim != 4:
        raise ValueError(f"Expected frames in colour [T, H, W, 3], got {list(frames.shape)}.")
    found = [find(frame) for frame in counted(frames)]
    return VideoScore(
        np.array([math.nan if face is None else reference_similarities(references, face[0])[0] for face in found]),
        np.array([_pair_similarity(*pair) for pair in zip(found, found[1:], strict=False)]),
        face_motions(frames, [face and face[1] for face in found]) if len(frames) > 1 else np.array([]),
    )


def score_identity(
    frames, face: FaceCrop, likeness: Likeness, detector: str = "auto", folders: Iterable[str | os.PathLike] = ()
) -> VideoScore:
    """The scores of `frames` for the person in `face` (all its views count as references).

    likeness: of `load_likeness`; detector, folders: as `detect_faces`. Raises ValueError when no view of the
    reference shows a face, and as `score_video`.
    """
    return scorer(face, likeness, detector, folders)(frames)


def scorer(
    face: FaceCrop,
    likeness: Likeness | None = None,
    detector: str = "auto",
    folders: Iterable[str | os.PathLike] = (),
) -> Callable[[np.ndarray], VideoScore]:
    """`score_identity` for several videos of one person, whose photos are encoded once.

    Without `likeness`, `load_likeness` finds it. Raises what `load_likeness` and `score_identity` raise.
    """
    from ..face.detectors.detect import current_detector

    folders, detector = tuple(folders), current_detector(detector)
    if likeness is None:
        from ..face.likeness import load_likeness

        likeness = load_likeness(folders=folders)
    find = face_finder(likeness, detector=detector, folders=folders)
    references = [vector for view in (face, *face.others) if (vector := _view_vector(view, likeness, find)) is not None]
    if not references:
        raise ValueError(
            f"The detector {detector} finds no face in the reference, so nothing can be compared with it. Crop the "
            "face from a clearer picture, or choose another detector."
        )
    return lambda frames: score_video(frames, references, face_finder(likeness, references, detector, folders))


def face_finder(
    likeness: Likeness, references=None, detector: str = "auto", folders: Iterable[str | os.PathLike] = ()
) -> Find:
    """A function for `score_video`: of several faces in a picture the one most like `references` [R, C], or
    without them the largest."""
    from ..face.detectors.detect import detect_faces

    folders = tuple(folders)

    def find(picture: np.ndarray):
        faces = detect_faces(picture, detector, folders=folders)
        if not faces:
            return None
        if references is None:
            faces = [max(faces, key=lambda face: face.area)]
        known = [(likeness.embed(picture, face.points), face.box) for face in faces]
        if len(known) == 1:
            return known[0]
        return max(known, key=lambda each: reference_similarities(references, each[0])[0])

    return find


def combined_score(
    similarity: float, motion: float, likeness_weight: float = 1.0, motion_weight: float = 0.25
) -> float:
    """One number for likeness and liveliness: the weighted mean of RS (-1..1) and of motion / (motion + 0.6).

    The latter goes from 0 (a still face) over 0.5 (the paper's own videos) towards 1, so that a wild video gains
    little over a lively one and never outweighs likeness. NaN when RS is; without a motion (NaN, a single frame)
    it counts as still. Raises ValueError for negative or infinite weights, for both 0, and a negative motion.
    """
    weights = (float(likeness_weight), float(motion_weight))
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise ValueError(f"Expected finite weights of at least 0, not both 0, got {weights[0]:g} and {weights[1]:g}.")
    if motion < 0:
        raise ValueError(f"Expected a motion of at least 0 pixels per frame, got {motion:g}.")
    liveliness = 0.0 if math.isnan(motion) else 1.0 if math.isinf(motion) else motion / (motion + TYPICAL_MOTION)
    return (weights[0] * similarity + weights[1] * liveliness) / sum(weights)


def best_of(
    scores: Sequence[VideoScore | tuple[float, float]], likeness_weight: float = 1.0, motion_weight: float = 0.25
) -> list[int]:
    """Indices of videos from the best `combined_score` to the worst; of equal ones the earlier comes first.

    scores: `VideoScore`s, or pairs of RS and FM. Videos without a face (RS is NaN) come last. Raises ValueError
    for no videos, when none shows a face, and as `combined_score`.
    """
    pairs = [
        (score.reference_similarity, score.face_motion) if isinstance(score, VideoScore) else score for score in scores
    ]
    values = [combined_score(*pair, likeness_weight, motion_weight) for pair in pairs]
    if all(map(math.isnan, values)):
        raise ValueError(f"Expected at least one video that shows a face, got {len(values)} videos without.")
    return sorted(range(len(values)), key=lambda index: (math.isnan(values[index]), -values[index], index))


def _view_vector(view: FaceCrop, likeness: Likeness, find: Find) -> np.ndarray | None:
    if view.points is not None and view.picture is not None:
        return likeness.embed(view.picture, view.points)
    found = find(view.crop)
    return None if found is None else found[0]


def _pair_similarity(earlier, later) -> float:
    if earlier is None or later is None:
        return math.nan
    return float(inter_frame_similarities(np.stack([earlier[0], later[0]]))[0])


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
