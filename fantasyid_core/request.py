"""Who is in the video: photos -> face crop -> 3D face, with the files at hand."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .face.photo import FaceRequest, find_face
from .face.picture import load_picture
from .options import AVERAGE, JOINS, NEUTRAL, POSES

if TYPE_CHECKING:
    from torch import Tensor

    from .face.align import FaceCrop
    from .shape.faceshape import FaceShape
    from .shape.reconstruct.reconstruct import Reconstruction
    from .shape.topology.topology import Topology



@dataclass(frozen=True, eq=False)
class PersonRequest:
    """The photos of a person, the 3D face, and how both are read.

    photos: picture file or np.uint8 [H,W,3] RGB, or several of them. shape: file with FLAME vertices, float
    [V,3] in metres, or None to make it from the photo with DECA and FLAME. request: which face, and how it is
    cut out. deca, flame: their files, when they are not where `python -m fantasyid_core doctor` sees them.
    pose: of a shape made from the photo, one of `options.POSES`. references: how the tokens of several photos are
    joined (`identity.combine`). like: a picture of the person, for the request's way "most alike".
    """

    photos: str | os.PathLike | np.ndarray | Iterable
    shape: str | os.PathLike | Tensor | None = None
    request: FaceRequest = FaceRequest()
    deca: str | os.PathLike | None = None
    flame: str | os.PathLike | None = None
    pose: str = NEUTRAL
    references: str = AVERAGE
    like: str | os.PathLike | np.ndarray | None = None

    def __post_init__(self):
        for what, value, known in (("pose", self.pose, POSES), ("joining", self.references, JOINS)):
            if value not in known:
                raise ValueError(f"Expected a {what} among {', '.join(known)}, got {value!r}.")


def load_face(person: PersonRequest) -> FaceCrop:
    """The face of the photos; what is worth knowing about it comes as warnings. Raises as `find_face` does."""
    single = isinstance(person.photos, (str, os.PathLike, np.ndarray))
    photos = [_picture(photo) for photo in ([person.photos] if single else person.photos)]
    like = None if person.like is None else _picture(person.like)
    face = find_face(photos, person.request, like).face
    for note in face.notes:
        warnings.warn(note, stacklevel=2)
    return face


def load_shape_of(person: PersonRequest, face: FaceCrop, topology: Topology) -> tuple[FaceShape, FaceCrop]:
    """The person's 3D face, and the face, cut out anew when the 3D face told its points better.

    Raises what `read_shape`, `load_face_models` and `reconstruct_face` raise.
    """
    import torch

    from .shape.faceshape import FaceShape
    from .shape.reconstruct.facemodels import read_shape_of

    if torch.is_tensor(person.shape):
        return FaceShape(person.shape), face
    if person.shape is not None:
        return read_shape_of(topology, person.shape), face
    result = reconstruct(person, face)
    return result.shape, result.face


def reconstruct(person: PersonRequest, face: FaceCrop) -> Reconstruction:
    """The 3D face of the person, made with DECA and FLAME; what is worth knowing about it comes as warnings."""
    from .shape.reconstruct.facemodels import load_face_models
    from .shape.reconstruct.reconstruct import reconstruct_face

    models = load_face_models(person.deca, person.flame, folders=person.request.folders)
    result = reconstruct_face(face, *models, pose=person.pose)
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return result


def _picture(photo: str | os.PathLike | np.ndarray) -> np.ndarray:
    return photo if isinstance(photo, np.ndarray) else load_picture(photo)
