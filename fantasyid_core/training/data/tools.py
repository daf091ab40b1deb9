"""The networks that analyse frames. They are found once, and their names identify the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...face.align import FaceCrop
from ...face.detectors.detect import DetectedFace, available_detectors, detect_faces
from ...face.likeness import Likeness, has_likeness, load_likeness
from ...running.packages import pip_command
from .settings import PrepareSettings
from .text import TextReader, load_text_reader

CONFIDENCE = {"cascade": 0.5}
"""Lowest accepted score by detector. The cascade's score is not a probability but votes / (votes + 150). 0.5 stands for
150 votes, which 219 of 221 faces had (`face.detectors.cascade_detector`)."""
PAPER_CONFIDENCE = 0.9  # of detectors whose scores are probabilities


@dataclass(frozen=True)
class Tools:
    """find: picture np.uint8 [H,W,3] -> faces. confidence: least score of a face.

    text: picture -> boxes of text [N,4], or None. likeness: vectors of faces, or None. reconstruct: face -> vertices
    [V,3] and why not (""), or None. names: what they are, by which results can be told apart. notes: for the user.
    """

    find: Callable[[np.ndarray], list[DetectedFace]]
    confidence: float
    text: TextReader | None = None
    likeness: Likeness | None = None
    reconstruct: Callable[[FaceCrop], tuple[np.ndarray | None, str]] | None = None
    names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_tools(settings: PrepareSettings) -> Tools:
    """The tools for these settings, each tried or at least loaded, so that what is missing is said before the work.

    Raises RuntimeError, FileNotFoundError or ValueError for a detector, text reader or network that cannot be used.
    """
    detector = _detector(settings)

    def find(picture: np.ndarray) -> list[DetectedFace]:
        return detect_faces(picture, detector, folders=settings.models, max_side=settings.detect_side)

    find(np.full((64, 64, 3), 128, np.uint8))
    text, text_note = load_text_reader(settings.text, settings.text_model)
    likeness = _likeness(settings)
    reconstruct, shape_note = _reconstruction(settings)
    confidence = settings.confidence
    return Tools(
        find,
        CONFIDENCE.get(detector, PAPER_CONFIDENCE) if confidence is None else confidence,
        text,
        likeness,
        reconstruct,
        {
            "detector": detector,
            "text": text.name if text else "none",
            "likeness": "arcface" if likeness else "none",
            "shape": "deca" if reconstruct else "none",
        },
        tuple(note for note in (text_note, shape_note) if note),
    )


def _detector(settings: PrepareSettings) -> str:
    if settings.detector != "auto":
        return settings.detector
    names = available_detectors(settings.models)
    if not names:
        raise RuntimeError(
            f"No face detector can be used here. Run: {pip_command(['scikit-image'])} (the detector cascade needs nothing "
            "else), or give the folder with another one's model file."
        )
    return names[0]


def _likeness(settings: PrepareSettings) -> Likeness | None:
    if settings.view_from == "video" or has_likeness(settings.models):
        return load_likeness(folders=settings.models)
    return None


def _reconstruction(settings: PrepareSettings):
    if settings.shape != "auto":
        return None, ""
    from ...shape.reconstruct.facemodels import load_face_models

    try:
        models = load_face_models(settings.deca, settings.flame, folders=settings.models)
    except FileNotFoundError as error:
        if settings.deca or settings.flame:
            raise
        return None, f"Videos without a 3D face beside them get none: {error}"

    def reconstruct(face: FaceCrop) -> tuple[np.ndarray | None, str]:
        from ...shape.reconstruct.reconstruct import FAILED, reconstruct_face

        result = reconstruct_face(face, *models)
        if FAILED in result.notes:
            return None, FAILED
        return result.shape.vertices.numpy(), ""

    return reconstruct, ""
