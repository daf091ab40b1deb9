"""ConsisID's inputs from a face, prepared as in its official code, but always of the face that was chosen.

    crop -> parts of the face -> all but face and hair white -> grey -> EVA-CLIP -> five states, CLIP vector
    photo -> points of a second detector -> ArcFace (glintr100), raw -> identity vector = ArcFace, CLIP of length one
                                └-> in colour: the first picture of the video

In a group photo the official code takes the largest face for ArcFace and the one in the middle for the picture; here
both are the chosen face.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..files.checkpoint import open_file
from ..modelfiles import find_model_file
from .align import FaceCrop, opencv
from .encoder import EvaConfig, FaceEncoder, load_face_encoder
from .features import FaceFeatures
from .likeness import WIDTH as ARCFACE_WIDTH
from .likeness import Likeness, arcface_crop, load_glintr
from .parsing import FaceParser, grey_pixels, load_parser

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Look = Callable[[Tensor], tuple[tuple[Tensor, ...], Tensor | None]]
    """Pixels [1,3,S,S] in 0..1 -> states, each [1,P,C], and CLIP vector [1,Cv]: `FaceEncoder.features`."""

TOWER = EvaConfig(depth=24, states=(3, 7, 11, 15, 19), vector=768)
"""What is read of EVA02-CLIP-L-14-336. The last state is FantasyID's, so one such encoder serves both models."""

LONGEST = 1024
"""Pixels along the longer side of the photo that ArcFace's crop is taken from; a larger one is reduced first."""

WITHOUT_PARTS = (
    "Approximate: parsing_bisenet.pth is missing, so ConsisID sees the whole crop instead of face and hair on white."
)
WITHOUT_ARCFACE = "Approximate: glintr100.onnx is missing, so half of what ConsisID knows of the person is left out."
_SECOND_MISSING = (
    "ArcFace's crop is placed by the five points of the face's own detector, which are close to those of insightface's "
    "detector (scrfd_10g_bnkps.onnx), but not equal: with that file the result is the official one."
)
_SECOND_BLIND = (
    "The detector insightface does not find the chosen face, so ArcFace's crop is placed by the points of the face's "
    "own detector."
)
_WHOLE_CROP = (
    "There are no five points for ArcFace, so it sees the whole crop, as the official code has it for a face that its "
    "second detector does not find."
)
_FROM_CROP = (
    "The photo does not show the changed face, so ArcFace's crop is taken from the face crop: close to one from a "
    "photo, not equal."
)
_SAME_FACE = 0.5  # distance of two detectors' points, in widths of the face


@dataclass(frozen=True)
class Readers:
    """ArcFace and the parser of a face's parts; None where one is missing and approximate results are accepted.

    folders: ComfyUI's models folders, or a release folder, for the second detector.
    """

    likeness: Likeness | None
    parser: FaceParser | None
    folders: tuple[str | os.PathLike, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what is approximate."""
        return (*([] if self.parser else [WITHOUT_PARTS]), *([] if self.likeness else [WITHOUT_ARCFACE]))


class Prepared(NamedTuple):
    """features: what the identity branch reads. face: the same with its parsed crop. notes: sentences for the user."""

    features: FaceFeatures
    face: FaceCrop
    notes: tuple[str, ...] = ()


def load_tower(path: str | os.PathLike, dtype: torch.dtype | None = None) -> FaceEncoder:
    """The face encoder with all that ConsisID reads, if the file holds it; else what FantasyID reads. Serves both.

    Errors as `load_face_encoder`.
    """
    import torch

    path, dtype = Path(path), dtype or torch.float32
    if not path.is_file():
        return load_face_encoder(path, dtype)  # which says what is missing
    try:
        checkpoint = open_file(path)
    except ValueError:
        return load_face_encoder(path, dtype)
    last = f".{TOWER.depth - 1}.norm1.weight"
    names = list(checkpoint)
    whole = any(name.endswith(f"blocks{last}") for name in names) and any(n.endswith("head.weight") for n in names)
    return load_face_encoder(path, dtype, TOWER if whole and "fantasyid" not in checkpoint.metadata else None)


def load_readers(folders: Iterable[str | os.PathLike] = (), approximate: bool = False) -> Readers:
    """glintr100.onnx and parsing_bisenet.pth of the user, from `folders` or the usual places.

    approximate: go on without a file that is missing; a damaged or another one is an error all the same. Raises
    FileNotFoundError saying what to get, ValueError and RuntimeError as `load_glintr` and `load_parser` do.
    """
    folders = tuple(folders)
    return Readers(*(_load(load, folders, approximate) for load in (load_glintr, load_parser)), folders)


def _load(load: Callable, folders: tuple, approximate: bool):
    try:
        return load(folders=folders)
    except FileNotFoundError as error:
        if approximate:
            return None
        raise FileNotFoundError(
            f"{error} Or accept an approximate result: the switch approximate, --approximate on the command line."
        ) from error


def prepare_face(face: FaceCrop, look: Look, readers: Readers) -> Prepared:
    """Everything that ConsisID reads of one view of a person. Raises ValueError for an encoder of other states."""
    import torch
    from torch.nn import functional as F

    face = parse_face(face, readers)
    states, clip = look(grey_pixels(face.first_picture))
    if clip is None:
        raise ValueError(
            f"ConsisID reads five states and the CLIP vector of EVA02-CLIP-L-14-336, got {len(states)} states and no "
            "vector: the face encoder's file holds the first 20 of its 24 blocks. Use the official file."
        )
    vector, notes = np.zeros(ARCFACE_WIDTH, np.float32), ()
    if readers.likeness is not None:
        vector, notes = face_vector(face, readers.likeness, readers.folders)
    vector = torch.from_numpy(vector)[None].to(clip.device)
    vector = torch.cat([vector, F.normalize(clip.float(), dim=1)], dim=1)
    return Prepared(FaceFeatures(tuple(state.float() for state in states), vector), face, (*readers.notes, *notes))


def parse_face(face: FaceCrop, readers: Readers) -> FaceCrop:
    """The face with its crop on white; without a parser, where that was accepted, the whole crop stands for it."""
    return replace(face, parsed=face.crop if readers.parser is None else readers.parser.parse(face.crop))


def face_vector(
    face: FaceCrop, likeness: Likeness, folders: Iterable[str | os.PathLike] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The raw ArcFace vector np.float32 [512] of the face in a crop, and what is worth knowing about it."""
    if face.points is None:
        return likeness.raw(face.crop), (_WHOLE_CROP,)
    if face.picture is None:  # the picture was warped: only the crop shows the face as it is now
        points = face.points @ face.matrix[:, :2].T + face.matrix[:, 2]
        return likeness.raw(arcface_crop(face.crop, points)), (_FROM_CROP,)
    picture, points = reduced(face.picture, np.asarray(face.points, np.float64))
    second, note = _second_points(picture, points, tuple(folders))
    if second is None and note is None:
        return likeness.raw(face.crop), (_WHOLE_CROP,)
    notes = () if note is None else (note,)
    return likeness.raw(arcface_crop(picture, points if second is None else second)), notes


def reduced(picture: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A photo of at most `LONGEST` pixels along its longer side, and the points in it (official: Lanczos4)."""
    height, width = picture.shape[:2]
    factor = LONGEST / max(height, width)
    if factor >= 1:
        return picture, points
    cv2 = opencv()
    size = int(width * factor), int(height * factor)
    grow = np.array(size) / (width, height)
    return cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4), (points + 0.5) * grow - 0.5


def _second_points(picture: np.ndarray, points: np.ndarray, folders: tuple) -> tuple[np.ndarray | None, str | None]:
    """The points that insightface's detector gives the chosen face, or why not; (None, None): it finds no face."""
    from .detectors.detect import detect_faces
    from .detectors.insightface import PACKAGES
    from .detectors.networkfile import missing_packages

    if find_model_file("insightface_detector", folders) is None or missing_packages(PACKAGES):
        return None, _SECOND_MISSING
    found = [np.asarray(face.points, np.float64) for face in detect_faces(picture, "insightface", folders=folders)]
    if not found:
        return None, None
    away = [np.linalg.norm(each - points, axis=1).mean() for each in found]
    nearest = int(np.argmin(away))
    if away[nearest] > _SAME_FACE * np.linalg.norm(np.ptp(points, axis=0)):
        return None, _SECOND_BLIND
    return found[nearest], None
