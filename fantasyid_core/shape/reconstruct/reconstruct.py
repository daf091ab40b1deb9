"""Face crop -> 3D face with DECA and FLAME: DECA's input, FLAME's head, and its place in the crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...face.align import TEMPLATE, TEMPLATE_SIZE, FaceCrop
from ...options import DECA_VIEWS, LANDMARKS, NEUTRAL, POSES, WHOLE_PICTURE
from ...running.progress import ask, counted
from ..faceshape import FaceShape
from .camera import View, box_of, project, square_view, whole_view
from .landmarks import five_points, head_yaw
from .recut import recut

if TYPE_CHECKING:
    from .deca import Deca
    from .flame import FlameModel
    from .landmarks import LandmarkEmbedding


MEAN_POINTS = np.array([[-0.5, 0], [0.5, 0], [0, 0.393], [-0.376, 1.012], [0.376, 1.012]])
MEAN_BOX = np.array([0, 0.667]), 2.195
"""Five points, and the box around the 68 landmarks as `camera.box_of` gives it, of FLAME's mean head from the
front: in distances of the eyes from their middle, y down. Read off the mesh of `transform.pkl`."""

ENOUGH = 0.02  # of the box's size: a second look at a square that differs less shows nothing new
LOOKS = 2  # of DECA at a face whose points are known, be it roughly
LOOKS_WITHOUT_POINTS = 4
FAR, FAR_WITHOUT_POINTS = (0.5, 2.0), (1.0, 4.0)  # the landmarks' box may move by, grow or shrink to

FAILED = (
    "DECA put the face elsewhere than where it was found, so it probably did not recognise it here (a painting, a "
    "side view, a covered face). The 3D face may not resemble the person: try another photo."
)
ESTIMATED = (
    "The file landmark_embedding.npy is missing, so the square that DECA sees was estimated from five points. The "
    "command doctor says where the file comes from."
)
RECUT = "The crop was cut out again by the 3D face's landmarks, because the face's points were only estimated."


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The 3D face of one photo.

    shape: the head, in the pose that was asked for. params: DECA's numbers, float32 [1,n] each (see `Deca`).
    projected: np.float64 [V,2], the head as photographed, in pixels of `face.crop`; depth: np.float64 [V] in
    the same pixels, larger is nearer. landmarks: np.float64 [68,2] likewise, with the contour as seen, or None
    without an embedding. face: the crop, cut out again if its points were approximate. notes: for the user. doubt: the
    note that says why the head may not be the person's, or "".
    """

    shape: FaceShape
    params: Mapping[str, Tensor]
    projected: np.ndarray
    depth: np.ndarray
    landmarks: np.ndarray | None
    face: FaceCrop
    notes: tuple[str, ...] = ()
    doubt: str = ""


class _Models(NamedTuple):
    deca: Deca
    flame: FlameModel
    embedding: LandmarkEmbedding | None


class _Photo(NamedTuple):
    """picture: np.uint8 [H,W,3]. points: [5,2] in its pixels. known: whether a detector or a person gave them.
    to_crop: [2,3] from its pixels to the crop's."""

    picture: np.ndarray
    points: np.ndarray
    known: bool
    to_crop: np.ndarray


class _Look(NamedTuple):
    """What DECA and FLAME made of a view. projected: [V,3] in pixels of the view; landmarks: [68,2] in pixels
    of the picture."""

    view: View
    params: dict[str, Tensor]
    head: Tensor  # [1, V, 3]
    projected: np.ndarray
    landmarks: np.ndarray | None


@torch.no_grad()
def reconstruct_face(
    face: FaceCrop,
    deca: Deca,
    flame: FlameModel,
    embedding: LandmarkEmbedding | None = None,
    region: str = LANDMARKS,
    pose: str = NEUTRAL,
    keep_jaw: bool = True,
    keep_turn: bool = True,
) -> Reconstruction:
    """The 3D face of the person in a crop, made from the whole picture where it is known.

    region "landmarks": DECA sees the square around the landmarks, as it was trained; the square is estimated
    from the face's five points, then corrected by DECA's own landmarks. "whole picture": it sees all of it,
    stretched, as the FantasyID release does.
    pose "neutral": expression and pose zero, as in the paper. "as photographed": as DECA sees them, as in the
    release; keep_jaw and keep_turn leave out the jaw's and the head's rotation when False.

    A face whose points were approximate is cut out again, in the same framing, by the landmarks.
    Raises ValueError for an unknown region or pose, and when the numbers are NaN, as from damaged weights.
    """
    for what, value, known in (("region", region, DECA_VIEWS), ("pose", pose, POSES)):
        if value not in known:
            raise ValueError(f"Expected a {what} among {', '.join(known)}, got {value!r}.")
    models = _Models(deca, flame, embedding)
    photo = _photo_of(face)
    look, notes = _look_well(photo, models, region)
    known_notes = face.notes
    if look.landmarks is not None and FAILED not in notes:
        face = recut(face, five_points(look.landmarks), RECUT)
    face = replace(face, others=tuple(_recut_other(other, models, region) for other in counted(face.others)))
    to_crop = _photo_of(face).to_crop
    projected = _moved(look.view.to_picture(look.projected[:, :2]), to_crop)
    depth = look.projected[:, 2] * _size(np.diag(look.view.scale)) * _size(to_crop[:, :2])
    return Reconstruction(
        shape=replace(_shape(look, flame, pose, keep_jaw, keep_turn), seen=_in_photo(projected, depth, face.matrix)),
        params=look.params,
        projected=projected,
        depth=depth,
        landmarks=None if look.landmarks is None else _moved(look.landmarks, to_crop),
        face=face,
        notes=(*notes, *(note for note in face.notes if note not in known_notes)),
        doubt=FAILED if FAILED in notes else "",
    )


def _photo_of(face: FaceCrop) -> _Photo:
    points, known = face.points, face.points is not None
    if not known:  # a crop is framed like the template, at least roughly
        template = TEMPLATE * (len(face.crop) / TEMPLATE_SIZE)
        points = np.linalg.solve(face.matrix[:, :2], (template - face.matrix[:, 2]).T).T
    if face.picture is None:
        return _Photo(face.crop, _moved(points, face.matrix), known, np.eye(2, 3))
    return _Photo(face.picture, np.asarray(points, np.float64), known, face.matrix)


def _look_well(photo: _Photo, models: _Models, region: str) -> tuple[_Look, list[str]]:
    """DECA's last good look at a face, and notes."""
    ask()
    expected = _mean_box(photo.points)
    if region == WHOLE_PICTURE:
        look = _look(whole_view(photo.picture), models)
        return look, [] if _plausible(look, expected, photo.known) else [FAILED]
    look = _look(square_view(photo.picture, *expected), models)
    if models.embedding is None:
        return look, [ESTIMATED]
    seen = expected
    for _ in range(1, LOOKS if photo.known else LOOKS_WITHOUT_POINTS):
        if not _plausible(look, expected, photo.known):
            return look, [FAILED]
        found = box_of(look.landmarks)
        if _alike(seen, found):
            break
        better = _look(square_view(photo.picture, *found), models)
        if not _plausible(better, expected, photo.known):
            break
        look, seen = better, found
    return look, []


def _look(view: View, models: _Models) -> _Look:
    params = {name: value.float().cpu() for name, value in models.deca(view.pixels).items()}
    broken = [name for name, value in params.items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"Expected finite numbers from DECA, got NaN or infinite {', '.join(broken)}. Load DECA as float32; if "
            "that does not help, its file is damaged: download it again."
        )
    head = models.flame(params["shape"], params["expression"], params["pose"]).cpu()
    camera = params["camera"].to(head.dtype)
    landmarks = None
    if models.embedding is not None:
        points = models.embedding(head, models.flame.faces, head_yaw(params["pose"][:, :3]))
        landmarks = view.to_picture(project(points, camera)[0, :, :2].double().numpy())
    return _Look(view, params, head, project(head, camera)[0].double().numpy(), landmarks)


def _mean_box(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and size of the landmarks' box, estimated from five points [5,2] by a head's mean proportions."""
    # As complex numbers, a similarity is one product and one sum; this one has the least squared error.
    mean, found = (values @ (1, 1j) for values in (MEAN_POINTS, points))
    centred = mean - mean.mean()
    turn = np.vdot(centred, found - found.mean()) / np.vdot(centred, centred)
    middle, size = MEAN_BOX
    place = turn * (middle @ (1, 1j) - mean.mean()) + found.mean()
    return np.array([place.real, place.imag]), float(abs(turn)) * size


def _plausible(look: _Look, expected: tuple[np.ndarray, float], known: bool) -> bool:
    """Whether DECA's face is where one was expected, and of that size."""
    if look.landmarks is None:
        return True
    distance, factor = FAR if known else FAR_WITHOUT_POINTS
    (middle, size), (found, found_size) = expected, box_of(look.landmarks)
    near = np.linalg.norm(found - middle) <= distance * size
    return bool(near and size / factor <= found_size <= size * factor and look.params["camera"][0, 0] > 0)


def _alike(one: tuple[np.ndarray, float], other: tuple[np.ndarray, float]) -> bool:
    difference = max(abs(one[0] - other[0]).max(), abs(one[1] - other[1]))
    return difference <= ENOUGH * one[1]


def _recut_other(face: FaceCrop, models: _Models, region: str) -> FaceCrop:
    if face.exact_points or face.points is None or models.embedding is None:
        return face
    look, notes = _look_well(_photo_of(face), models, region)
    return face if FAILED in notes else recut(face, five_points(look.landmarks), RECUT)


def _shape(look: _Look, flame: FlameModel, pose: str, keep_jaw: bool, keep_turn: bool) -> FaceShape:
    shape, expression, angles = (look.params[name] for name in ("shape", "expression", "pose"))
    if pose == NEUTRAL:
        head = flame.neutral(shape)
    elif keep_jaw and keep_turn:
        head = look.head
    else:
        kept = torch.tensor([keep_turn] * 3 + [keep_jaw] * 3)
        head = flame(shape, expression, angles * kept)
    return FaceShape(head[0].float().cpu(), flame.faces, f"3D face, {pose}")


def _in_photo(projected: np.ndarray, depth: np.ndarray, matrix: np.ndarray) -> np.ndarray:  # [V,3]
    """`FaceShape.seen`, converted from pixels of the crop."""
    linear = matrix[:, :2]
    places = np.linalg.solve(linear, (projected - matrix[:, 2]).T).T
    return np.column_stack([places, depth / _size(linear)])


def _moved(places: np.ndarray, matrix: np.ndarray) -> np.ndarray:  # [N,2], [2,3] -> [N,2]
    return places @ matrix[:, :2].T + matrix[:, 2]


def _size(linear: np.ndarray) -> float:
    """By how much a map [2,2] enlarges lengths, on average."""
    return float(np.sqrt(abs(np.linalg.det(linear))))
