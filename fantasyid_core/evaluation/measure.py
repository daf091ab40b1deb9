"""All measures of one video that the machine allows: the detector, ArcFace and Inception are each optional."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..face.align import opencv
from ..face.detectors.detect import current_detector, detect_faces
from ..face.detectors.detected import clipped_square
from ..face.picture import load_picture
from ..videofile import read_video
from .motion import MIN_SIDE, face_motions
from .pairing import Found
from .pixels import pixel_measures
from .score import VideoScore
from .similarity import inter_frame_similarities, reference_similarities

if TYPE_CHECKING:
    from ..face.detectors.detected import DetectedFace
    from ..face.likeness import Likeness
    from .inception import Inception

EXPLAINED = (ValueError, OSError, RuntimeError)
SHOWN = 6  # frames of a video in the contact sheet
_TALL = 96  # pixels, of the sheet


@dataclass(frozen=True)
class Instruments:
    """The networks that measure. unavailable: metric -> why it cannot be computed. crops: faces of a video for FID."""

    detect: Callable[[np.ndarray], list[DetectedFace]] | None
    likeness: Likeness | None
    inception: Inception | None
    unavailable: dict[str, str] = field(default_factory=dict)
    crops: int = 8


@dataclass
class Measured:
    """One video. skipped: why it was not measured. values: by name, None with a reason in `reasons`. features: of its
    face crops; reference_features: path -> features. strip: the sheet's pictures."""

    name: str
    skipped: str | None = None
    values: dict[str, float | int | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    bad_references: dict[str, str] = field(default_factory=dict)
    score: VideoScore | None = None
    features: np.ndarray | None = None
    reference_features: dict[str, np.ndarray] = field(default_factory=dict)
    strip: list[np.ndarray | None] = field(default_factory=list)  # a reference first


def load_instruments(
    detector: str = "auto",
    arcface: str | os.PathLike | None = None,
    inception: str | os.PathLike | None = None,
    folders: Iterable[str | os.PathLike] = (),
    device="cpu",
    crops: int = 8,
) -> Instruments:
    """Whatever can be loaded; the others are None, and `unavailable` says why. Raises ValueError for crops below 1."""
    from ..face.likeness import load_likeness
    from .inception import load_inception

    if crops < 1:
        raise ValueError(f"Expected at least 1 crop per video for FID, got {crops}.")
    folders, reasons, detector = tuple(folders), {}, current_detector(detector)

    def load(metrics: tuple[str, ...], make: Callable):
        try:
            return make()
        except EXPLAINED as error:
            reasons.update(dict.fromkeys(metrics, str(error)))
            return None

    network = load(("FID",), lambda: load_inception(inception, device))
    known = load(("RS", "IFS"), lambda: load_likeness(arcface, folders))
    # A damaged file of a detector is noticed only when the detector runs.
    find = lambda picture: detect_faces(picture, detector, folders=folders)  # noqa: E731
    usable = load(("RS", "IFS", "FM", "FID"), lambda: find(np.zeros((64, 64, 3), np.uint8)))
    return Instruments(None if usable is None else find, known, network, reasons, crops)


class Reference(NamedTuple):
    """A reference picture: its ArcFace vector [C] and Inception features [1,2048] where these could be computed."""

    small: np.ndarray | None
    vector: np.ndarray | None = None
    features: np.ndarray | None = None
    problem: str | None = None


class Face(NamedTuple):
    box: np.ndarray  # [4]
    vector: np.ndarray | None


class Meter:
    """Measures one video after the other; every reference picture is encoded once."""

    def __init__(self, instruments: Instruments):
        self.instruments = instruments
        self._references: dict[Path, Reference] = {}

    def measure(self, pair: Found) -> Measured:
        """Measures one video. A value that cannot be measured is None with a reason; a bad file never raises."""
        references = {path: self._reference(path) for path in pair.references}
        result = Measured(pair.name, references=tuple(path.name for path in references))
        result.bad_references = {path.name: each.problem for path, each in references.items() if each.problem}
        vectors = [each.vector for each in references.values() if each.vector is not None]
        try:
            frames = _read(pair.path)
            faces = self._faces(frames, vectors)
        except EXPLAINED as error:
            result.skipped = str(error)
            return result
        if faces is not None and not any(faces):
            result.skipped = f"no face was found in any of its {len(frames)} frames"
            return result
        result.values = {"frames": len(frames), "width": frames.shape[2], "height": frames.shape[1]}
        self._measure_faces(frames, faces, vectors, result)
        for name, value in pixel_measures(frames).items():
            _note(result, name, value, f"the video has only {len(frames)} frames")
        result.reference_features = {
            str(path): each.features for path, each in references.items() if each.features is not None
        }
        places = np.linspace(0, len(frames) - 1, min(SHOWN, len(frames))).round().astype(int)
        first = next((each.small for each in references.values() if each.small is not None), None)
        result.strip = [first, *(_small(frames[place]) for place in places)]
        return result

    def _measure_faces(self, frames: np.ndarray, faces, vectors: list, result: Measured) -> None:
        reasons = self.instruments.unavailable
        if faces is not None:
            result.values["frames_without_face"] = sum(face is None for face in faces)
            found = [face.vector if face else None for face in faces]
            result.score = VideoScore(
                np.array([_likeness(vectors, vector) for vector in found]),
                np.array([_step_likeness(*pair) for pair in zip(found, found[1:], strict=False)]),
                face_motions(frames, [face and face.box for face in faces]) if len(frames) > 1 else np.array([]),
            )
            result.features = self._crops(frames, faces)
        score, pair = result.score, "no two consecutive frames show a face"
        no_reference = "no reference picture belongs to it" if not result.references else "no reference shows a face"
        for name, value, why in (
            ("RS", score and score.reference_similarity, no_reference),
            ("IFS", score and score.inter_frame_similarity, pair),
            ("FM", score and score.face_motion, "no frame before the last shows a face"),
        ):
            _note(result, name, value, reasons.get(name, why))

    def _faces(self, frames: np.ndarray, vectors: list) -> list[Face | None] | None:
        return None if self.instruments.detect is None else [self._face(frame, vectors) for frame in frames]

    def _face(self, picture: np.ndarray, vectors: list = ()) -> Face | None:
        """The face most like the references; without any, or without ArcFace, the largest one."""
        faces, likeness = self.instruments.detect(picture), self.instruments.likeness
        if not faces:
            return None
        if not vectors:
            faces = [max(faces, key=lambda face: face.area)]
        known = [Face(face.box, likeness.embed(picture, face.points) if likeness else None) for face in faces]
        return known[0] if len(known) == 1 else max(known, key=lambda face: _likeness(vectors, face.vector))

    def _crops(self, frames: np.ndarray, faces: list[Face | None]) -> np.ndarray | None:
        network = self.instruments.inception
        shown = [index for index, face in enumerate(faces) if face]
        if network is None or not shown:
            return None
        places = np.linspace(0, len(shown) - 1, min(self.instruments.crops, len(shown))).round().astype(int)
        return network.embed([face_crop(frames[shown[place]], faces[shown[place]].box) for place in places])

    def _reference(self, path: Path) -> Reference:
        if path not in self._references:
            self._references[path] = self._looked_at(path)
        return self._references[path]

    def _looked_at(self, path: Path) -> Reference:
        try:
            picture = load_picture(path)
            if self.instruments.detect is None:
                return Reference(_small(picture))
            face = self._face(picture)
            if face is None:
                return Reference(_small(picture), problem="no face was found in it")
            network = self.instruments.inception
            features = network.embed([face_crop(picture, face.box)]) if network else None
            return Reference(_small(picture), face.vector, features)
        except EXPLAINED as error:
            return Reference(None, problem=str(error))


def face_crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square around a face's box [4], cut at the picture's edges: uint8 [H,W,3]."""
    side = max(box[2] - box[0], box[3] - box[1])
    left, top, right, bottom = clipped_square((box[:2] + box[2:]) / 2, side, picture).round().astype(int)
    return picture[top : bottom + 1, left : right + 1]


def _read(path: Path) -> np.ndarray:
    frames = read_video(path)
    if min(frames.shape[1:3]) < MIN_SIDE:
        raise ValueError(f"it has {frames.shape[2]} x {frames.shape[1]} pixels, expected sides of at least {MIN_SIDE}")
    return frames


def _likeness(vectors: list, vector) -> float:
    return float(reference_similarities(vectors, vector)[0]) if len(vectors) and vector is not None else math.nan


def _step_likeness(earlier, later) -> float:
    if earlier is None or later is None:
        return math.nan
    return float(inter_frame_similarities(np.stack([earlier, later]))[0])


def _note(result: Measured, name: str, value: float | None, why: str) -> None:
    known = value is not None and math.isfinite(value)
    result.values[name] = float(value) if known else None
    if not known:
        result.reasons[name] = why


def _small(picture: np.ndarray) -> np.ndarray:
    scale = _TALL / picture.shape[0]
    size = (max(1, min(4 * _TALL, round(picture.shape[1] * scale))), _TALL)
    return opencv().resize(np.ascontiguousarray(picture), size, interpolation=opencv().INTER_AREA)
