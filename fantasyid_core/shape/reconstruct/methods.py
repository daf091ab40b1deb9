"""Face crop -> 3D face by one of the methods: DECA from the user's own files, landmarks, or five points alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...face.align import FaceCrop
from ...modelfiles import find_model_file
from ...options import AUTO, BY_LANDMARKS, DECA, LANDMARKS, NEUTRAL, PHOTOGRAPHED, RECONSTRUCTIONS, TEMPLATE_HEAD
from ..edit.fivepoint import placement_by_points
from ..faceshape import FaceShape
from ..topology.topology import Topology, find_topology, load_topology
from .landmark_fit import LIKENESS, MeanHead, check_pose, fit_landmarks, in_photo, mean_head_of, turned_head
from .reconstruct import Reconstruction, reconstruct_face

TRUTH = (
    "With the released weights the video model reads of the 3D face hardly more than the head's turn; an edit reaches "
    "the video through the picture, by Warp Face."
)
OWN_HEAD = (
    "The 3D face is the pack's own head, because transform.pkl is not there: sliders, blending, Warp Face and "
    "FantasyID-Tiny work with it, the released weights need transform.pkl (free, without registration; see doctor)."
)


@dataclass(frozen=True)
class ReconstructionRequest:
    """The settings of a reconstruction.

    method: one of `options.RECONSTRUCTIONS`; auto is deca when its files and FLAME's are there, else landmarks;
    template is the mean head, turned as the five points say. likeness: of `fit_face`, for landmarks. pose: one of
    `options.POSES`. region, keep_jaw, keep_turn: of `reconstruct_face`, for deca. deca, flame: their files, when they
    are not where `find_model_file` sees them. folders: like ComfyUI's models.
    """

    method: str = AUTO
    likeness: float = LIKENESS
    pose: str = NEUTRAL
    region: str = LANDMARKS
    keep_jaw: bool = True
    keep_turn: bool = True
    deca: str | os.PathLike | None = None
    flame: str | os.PathLike | None = None
    folders: tuple[str | os.PathLike, ...] = ()

    def __post_init__(self):
        check_pose(self.pose)
        if self.method not in RECONSTRUCTIONS:
            raise ValueError(f"Expected a method among {', '.join(RECONSTRUCTIONS)}, got {self.method!r}.")

    def chosen(self) -> str:
        """The method, with auto decided by the files that are there."""
        if self.method != AUTO:
            return self.method
        given = ((self.deca, "deca"), (self.flame, "flame"))
        return DECA if all(path or find_model_file(key, self.folders) for path, key in given) else BY_LANDMARKS


def make_shape(
    face: FaceCrop, request: ReconstructionRequest | None = None, topology: Topology | MeanHead | None = None
) -> Reconstruction:
    """The 3D face of a crop. topology: the mesh for landmarks and template; without it transform.pkl's where it is
    found, else the project's own head.

    Raises FileNotFoundError saying where DECA and FLAME come from, when they are asked for and missing; and what
    `reconstruct_face` and `fit_landmarks` raise.
    """
    request = request or ReconstructionRequest()
    method = request.chosen()
    if method == DECA:
        return _by_deca(face, request)
    topology = find_mesh(request.folders) if topology is None else topology
    made = (_by_template if method == TEMPLATE_HEAD else _by_landmarks)(face, request, topology)
    return made if topology is not None else _with_notes(made, OWN_HEAD)


def find_mesh(folders: Iterable[str | os.PathLike] = ()) -> Topology | None:
    """FLAME's mesh from the user's transform.pkl, or None."""
    folders = tuple(folders)
    path = find_topology(folders) or find_model_file("topology", folders)
    return None if path is None else load_topology(path)


def _by_deca(face: FaceCrop, request: ReconstructionRequest) -> Reconstruction:
    from .facemodels import load_face_models

    models = load_face_models(request.deca, request.flame, folders=request.folders)
    return reconstruct_face(face, *models, request.region, request.pose, request.keep_jaw, request.keep_turn)


def _by_landmarks(face: FaceCrop, request: ReconstructionRequest, mesh: Topology | MeanHead | None) -> Reconstruction:
    fit = fit_landmarks(face, mesh, request.likeness, request.pose)
    return replace(_reconstruction(fit.shape, face, (*fit.notes, TRUTH)), doubt=fit.trust.doubt)


def _by_template(face: FaceCrop, request: ReconstructionRequest, mesh: Topology | MeanHead | None) -> Reconstruction:
    head = mean_head_of(mesh)
    placed = placement_by_points(head.template, face)
    vertices = head.template
    if request.pose == PHOTOGRAPHED:
        rotation = placed.linear / np.cbrt(np.linalg.det(placed.linear))
        vertices = turned_head(vertices, rotation, head)
    seen = in_photo(np.column_stack([placed.points * (1, -1), placed.depth]), face.matrix)
    tensor = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
    return _reconstruction(FaceShape(tensor, head.faces, "mean head", seen=seen), face, (TRUTH,))


def _reconstruction(shape: FaceShape, face: FaceCrop, notes: tuple[str, ...]) -> Reconstruction:
    projected = shape.seen[:, :2] @ face.matrix[:, :2].T + face.matrix[:, 2]
    depth = shape.seen[:, 2] * np.sqrt(abs(np.linalg.det(face.matrix[:, :2])))
    return Reconstruction(shape, {}, projected, depth, None, face, notes)


def _with_notes(made: Reconstruction, *notes: str) -> Reconstruction:
    return replace(made, notes=(*made.notes, *notes))
