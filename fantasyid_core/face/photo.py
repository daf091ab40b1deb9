"""Finds, chooses and crops the requested face of one or several photos, and draws the photos with numbered faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..options import FORMER_DETECTORS, GREY, LARGEST
from ..running.progress import counted
from .align import FaceCrop, Framing, crop_detected, parse_points
from .border import with_border
from .choose import choice_notes, choose_face, draw_faces
from .detectors.detect import DetectedFace, detect_faces, replaced_note
from .picture import picture_from_image
from .points import check_inside, check_points
from .references import reference_set

MAX_REFERENCES = 6
"""Views of one person that are kept of several photos, as many as the paper trains with (section 4.1)."""


@dataclass(frozen=True, eq=False)
class FaceRequest:
    """Which face of a photo is meant, and how it is cut out.

    detector: one of `options.DETECTORS`. points: five points [5,2] in pixels, for the detector "none" only; it
    takes the centre square without them. how: one of `options.FACE_ORDERS`; number: the place in that order, 0 first.
    references: how many of several photos are kept. size: pixels along the crop's side. folders: ComfyUI's
    models folders to look for detectors in, besides the usual places. border: one of `options.BORDERS`.
    """

    detector: str = "auto"
    points: np.ndarray | None = None
    how: str = LARGEST
    number: int = 0
    framing: Framing = Framing()
    references: int = MAX_REFERENCES
    size: int = 512
    folders: tuple[str | os.PathLike, ...] = ()
    border: str = GREY

    def __post_init__(self):
        if not isinstance(self.references, int) or not 1 <= self.references <= 64:
            raise ValueError(f"Expected to keep 1 to 64 photos of a person, got {self.references!r}. 6 is usual.")


class FoundFace(NamedTuple):
    """face: the crop, with further views of the person in `others`. numbered: every photo, np.uint8 [H,W,3],
    with its faces numbered from left to right and the chosen one marked."""

    face: FaceCrop
    numbered: list[np.ndarray]


def find_face(
    photos: Sequence[np.ndarray], request: FaceRequest | None = None, like: np.ndarray | None = None
) -> FoundFace:
    """The requested face of a photo (np.uint8 [H,W,3] RGB), or of several photos of one person.

    like: a picture of the person, for the way "most alike"; its largest face is compared with (needs an
    ArcFace model). Of several photos, those without a face are left out and named in the notes; so is another
    person, when there is an ArcFace model to tell.

    Raises ValueError when no photo has a face that can be cut out; RuntimeError or FileNotFoundError when the
    detector or the ArcFace model that was asked for is missing.
    """
    request, notes = _current(request or FaceRequest())
    if not photos:
        raise ValueError("Expected at least one photo, got none. Connect a picture.")
    target = None if like is None else embedding_of(like, request)
    crops, numbers, numbered, left_out = [], [], [], []
    for index, photo in enumerate(counted(photos)):
        try:
            crop, picture = _cut(photo, request, target)
        except ValueError as error:
            if len(photos) == 1:
                raise
            left_out.append(f"Photo {index + 1} of {len(photos)} was left out. {error}")
            picture = photo
        else:
            crops.append(crop)
            numbers.append(index + 1)
        numbered.append(picture)
    if not crops:
        raise ValueError(f"None of the {len(photos)} photos shows a face that can be used. {left_out[0]}")
    face = reference_set(crops, request.references, _embeddings(crops, request), numbers)
    return FoundFace(replace(face, notes=(*notes, *left_out, *face.notes)), numbered)


def _current(request: FaceRequest) -> tuple[FaceRequest, list[str]]:
    """The request without a detector that has gone, and what is to be said of it."""
    if request.detector not in FORMER_DETECTORS:
        return request, []
    return replace(request, detector=FORMER_DETECTORS[request.detector]), [replaced_note(request.detector)]


def pictures(image) -> list[np.ndarray]:
    """Every picture of the host's IMAGE (float [B,H,W,C] in 0..1), as `picture_from_image` makes it."""
    return [picture_from_image(image, index) for index in range(max(1, len(image)))]


def points_or_none(text: str) -> np.ndarray | None:
    """`parse_points` of what was typed, None of an empty field."""
    return parse_points(text) if text.strip() else None


def describe_face(face: FaceCrop) -> list[str]:
    """Sentences for the user about a face: head pose, further views, notes."""
    lines = []
    if face.yaw is not None:
        lines.append(f"Head turned by {face.yaw:.0f}°, nodding {face.pitch:.0f}°, tilted {face.roll:.0f}°.")
    return [*lines, *face.notes]


def _cut(photo: np.ndarray, request: FaceRequest, target: np.ndarray | None) -> tuple[FaceCrop, np.ndarray]:
    size = photo.shape[1], photo.shape[0]
    if request.points is not None:
        check_inside(check_points(request.points), *size)
    faces = detect_faces(photo, request.detector, request.points, folders=request.folders)
    likeness = None if target is None else [float(_embed(photo, face, request) @ target) for face in faces]
    chosen = choose_face(faces, request.how, request.number, size, likeness, request.detector)
    crop = with_border(crop_detected(photo, chosen, request.size, request.framing), request.border)
    notes = (*crop.notes, *choice_notes(faces, chosen, request.how, size, likeness))
    return replace(crop, notes=notes), draw_faces(photo, faces, chosen)


def embedding_of(like: np.ndarray, request: FaceRequest) -> np.ndarray:
    """The ArcFace vector of the largest face of a picture. Raises ValueError without a face, and as `load_likeness`."""
    faces = detect_faces(like, "auto" if request.detector == "none" else request.detector, folders=request.folders)
    try:
        return _embed(like, choose_face(faces), request)
    except ValueError as error:
        raise ValueError(f"The picture to compare with shows no face that can be used. {error}") from error


def _embed(photo: np.ndarray, face: DetectedFace, request: FaceRequest) -> np.ndarray:
    from .likeness import load_likeness

    return load_likeness(folders=request.folders).embed(photo, face.points)


def _embeddings(crops: list[FaceCrop], request: FaceRequest) -> list[np.ndarray] | None:
    """ArcFace vectors of all crops, or None without an ArcFace model or without points that it can rely on."""
    from .likeness import has_likeness, load_likeness

    reliable = all(crop.points is not None and crop.exact_points for crop in crops)
    if len(crops) == 1 or not reliable or not has_likeness(request.folders):
        return None
    likeness = load_likeness(folders=request.folders)
    return [likeness.embed(crop.picture, crop.points) for crop in counted(crops)]
