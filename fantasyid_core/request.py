"""The person of the video: photos -> face crop -> 3D face, with the model files that are found."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .face.photo import FaceRequest, find_face
from .face.picture import load_picture
from .options import AUTO, AVERAGE, JOINS, NEUTRAL, POSES, RECONSTRUCTIONS

if TYPE_CHECKING:
    from torch import Tensor

    from .face.align import FaceCrop
    from .identity.adapter import IdentityAdapter
    from .shape.faceshape import FaceShape
    from .shape.reconstruct.reconstruct import Reconstruction
    from .shape.topology.topology import Topology


@dataclass(frozen=True, eq=False)
class PersonRequest:
    """The photos of a person, the 3D face, and how both are read.

    photos: picture file or np.uint8 [H,W,3] RGB, or several of them. shape: file with FLAME vertices, float
    [V,3] in metres, or None to make it from the photo. request: which face, and how it is
    cut out. deca, flame: their files, when they are not where `python -m fantasyid_core doctor` sees them.
    pose: of a shape made from the photo, one of `options.POSES`. references: how the tokens of several photos are
    joined (`combine_tokens`). like: a picture of the person, for the request's way "most alike". method, likeness:
    of a shape made from the photo, see `shape.reconstruct.methods`.
    edit: sliders of the 3D face by name, or the editor's JSON; the picture follows it. saved: file of an identity
    that was saved; its tokens are taken, and its picture where `photos` is empty.
    """

    photos: str | os.PathLike | np.ndarray | Iterable = ()
    shape: str | os.PathLike | Tensor | None = None
    request: FaceRequest = FaceRequest()
    deca: str | os.PathLike | None = None
    flame: str | os.PathLike | None = None
    pose: str = NEUTRAL
    references: str = AVERAGE
    like: str | os.PathLike | np.ndarray | None = None
    edit: str | Mapping | None = None
    saved: str | os.PathLike | None = None
    method: str = AUTO
    likeness: float = 0.5

    @property
    def photo_list(self) -> list:
        """The photos as a list, one or many."""
        single = isinstance(self.photos, (str, os.PathLike, np.ndarray))
        return [self.photos] if single else list(self.photos)

    def __post_init__(self):
        for what, value, known in (
            ("pose", self.pose, POSES),
            ("joining", self.references, JOINS),
            ("method", self.method, RECONSTRUCTIONS),
        ):
            if value not in known:
                raise ValueError(f"Expected a {what} among {', '.join(known)}, got {value!r}.")


def load_face(person: PersonRequest) -> FaceCrop:
    """The face of the photos; its notes are given as warnings. Raises as `find_face` does."""
    photos = [_picture(photo) for photo in person.photo_list]
    like = None if person.like is None else _picture(person.like)
    face = find_face(photos, person.request, like).face
    for note in face.notes:
        warnings.warn(note, stacklevel=2)
    return face


def load_saved(person: PersonRequest, adapter: IdentityAdapter) -> tuple[Tensor, FaceCrop]:
    """The identity tokens [1, Nid, Cid] of the person's saved file, and the face: of the photos, or the file's picture.

    Raises what `load_identity` raises, and ValueError beside an edit or a 3D face, which are in the tokens already.
    """
    from PIL import Image

    from .face.align import FaceCrop
    from .identity.fingerprint import adapter_fingerprint
    from .identity.identityfile import load_identity

    if person.edit or person.shape is not None:
        raise ValueError(
            f"{person.saved} is a person with the 3D face in it: expected no shape and no edit beside it. Leave them "
            "out, "
            "or give the photo instead of the saved person."
        )
    found = load_identity(person.saved, adapter_fingerprint(adapter))
    if person.photo_list:
        return found.tokens, load_face(person)
    size = person.request.size
    picture = np.asarray(Image.fromarray(found.thumbnail).convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
    return found.tokens, FaceCrop(picture, np.eye(2, 3))


def load_shape_of(person: PersonRequest, face: FaceCrop, topology: Topology) -> tuple[FaceShape, FaceCrop]:
    """The person's 3D face, and the face, cut out anew when the 3D face told its points better.

    Raises what `read_shape` and `make_shape` raise.
    """
    shape, face = _shape_before_edit(person, face, topology)
    return (shape, face) if not person.edit else _edited(person, shape, face)


def _shape_before_edit(person: PersonRequest, face: FaceCrop, topology: Topology) -> tuple[FaceShape, FaceCrop]:
    import torch

    from .shape.faceshape import FaceShape
    from .shape.reconstruct.facemodels import read_shape_of

    if torch.is_tensor(person.shape):
        return FaceShape(person.shape), face
    if person.shape is not None:
        return read_shape_of(topology, person.shape), face
    result = reconstruct(person, face, topology)
    return result.shape, result.face


def _edited(person: PersonRequest, before: FaceShape, face: FaceCrop) -> tuple[FaceShape, FaceCrop]:
    """The 3D face changed as the person's edit says, and the picture along with it."""
    from .shape.edit.edit import edit_face
    from .shape.edit.editor import warp_to
    from .shape.edit.editstate import edit_from_values, parse_edit
    from .shape.topology.known import with_faces

    edit = parse_edit(person.edit) if isinstance(person.edit, str) else edit_from_values(person.edit)
    before = with_faces(before, person.request.folders)
    after = edit_face(before, edit)
    warped = warp_to(face, before, after, person.request.folders)
    for note in (*edit.notes, *(note for note in warped.notes if note not in face.notes)):
        warnings.warn(note, stacklevel=3)
    return after, warped


def reconstruct(person: PersonRequest, face: FaceCrop, topology: Topology | None = None) -> Reconstruction:
    """The 3D face of the person, made from the photo; what is worth knowing about it comes as warnings.

    topology: the mesh of a head that DECA does not make; without it transform.pkl's where it is found, else the
    project's own. Raises as `make_shape`.
    """
    from .shape.reconstruct.methods import ReconstructionRequest, make_shape

    how = ReconstructionRequest(
        person.method,
        person.likeness,
        person.pose,
        deca=person.deca,
        flame=person.flame,
        folders=person.request.folders,
    )
    result = make_shape(face, how, topology)
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return result


def _picture(photo: str | os.PathLike | np.ndarray) -> np.ndarray:
    return photo if isinstance(photo, np.ndarray) else load_picture(photo)
