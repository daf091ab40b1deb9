"""The networks that analyse frames. They are found once, and their names identify the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ...face.align import FaceCrop
from ...face.detectors.detect import DetectedFace, available_detectors, current_detector, detect_faces
from ...face.likeness import Likeness, has_likeness, load_likeness
from .settings import PrepareSettings
from .text import TextReader, load_text_reader

CONFIDENCE = {"mediapipe": 0.7}
"""Lowest accepted score by detector. Of mediapipe it is an estimate: five frontal faces had 0.85 to 0.92, and below 0.6
it reports no face (`landmarks.faces.CONFIRMED`)."""
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
    reconstruct, shape_method, shape_note = _reconstruction(settings)
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
            "shape": shape_method,
        },
        tuple(note for note in (text_note, shape_note) if note),
    )


def _detector(settings: PrepareSettings) -> str:
    if settings.detector != "auto":
        return current_detector(settings.detector)
    return available_detectors(settings.models)[0]


def _likeness(settings: PrepareSettings) -> Likeness | None:
    if settings.view_from == "video" or has_likeness(settings.models):
        return load_likeness(folders=settings.models)
    return None


def _reconstruction(settings: PrepareSettings):
    if settings.shape != "auto":
        return None, "none", ""
    from ...modelfiles import missing_file
    from ...shape.faceshape import VERTEX_COUNT
    from ...shape.reconstruct.facemodels import load_face_models
    from ...shape.reconstruct.landmark_fit import own_head
    from ...shape.reconstruct.methods import DECA, ReconstructionRequest, find_mesh, make_shape

    request = ReconstructionRequest(deca=settings.deca, flame=settings.flame, folders=settings.models)
    if settings.deca or settings.flame:
        request = replace(request, method=DECA)
    mesh, method = None, request.chosen()
    if method == DECA:
        load_face_models(settings.deca, settings.flame, folders=settings.models)
    else:
        mesh = find_mesh(settings.models) if settings.vertices == VERTEX_COUNT else own_head()
        if mesh is None or len(mesh.template) != settings.vertices:
            return None, "none", f"Videos without a 3D face beside them get none: {missing_file('topology')}"

    def reconstruct(face: FaceCrop) -> tuple[np.ndarray | None, str]:
        try:
            result = make_shape(face, request, mesh)
        except ValueError as error:  # no face seen in the crop
            return None, str(error)
        return (None, result.doubt) if result.doubt else (result.shape.vertices.numpy(), "")

    return reconstruct, method, ""
