"""Face crop -> an editable 3D face, by MediaPipe's 468 points: no file is needed that does not come with the pack.

Each point has a habit: a constant offset from its place on the mesh to where the network sees it. After subtracting it,
a ridge regression predicts the values of the project's sliders from the points; it shrinks what the points do not show.
A share of the residual is interpolated over the skin. A second regression (`PlaceCorrection`) tells where the head lies
in the photo beneath its points. The points' depth is used for the head pose alone, because it does not differ from
person to person. See `calibration`, `experiments.calibrate_fit` and `experiments.calibrate_places`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...face.align import TEMPLATE, TEMPLATE_SIZE, FaceCrop, check_image
from ...face.landmarks import LandmarkedFace, landmarked_faces
from ...face.landmarks.steadiness import unsteadiness
from ...face.photo import FaceRequest, find_face
from ...options import NEUTRAL, POSES
from ..edit.controls import face_controls
from ..edit.editstate import edit_from_values, format_edit
from ..edit.faceframe import FaceFrame, face_frame, face_places
from ..faceshape import FaceShape
from ..ownhead.mesh import head_mesh
from ..topology.topology import Topology, find_topology, load_topology
from .calibration import POINTS, Calibration, PlaceCorrection, load_calibration, load_correction
from .placing import Pose, pose_of
from .spread import spreading
from .trust import CLEAR, Seeing, Trust, share_of, trust_in, turns_of

LIKENESS = 0.5
SHARES = 1.0, 1.0, 0.4  # of what the sliders leave, in x, y, z, at a likeness of 1
ELSEWHERE = 0.35  # eye distances between the crop's five points and those of the face that is taken
MARGIN = 0.25  # of the crop's side: a grey border, in which faces that fill it are seen as a whole
NECK = np.array([0.0, -166.6, -103.8])  # millimetres from the eyes' middle to what the head turns about


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """shape: the head, with `seen` in pixels of the crop's picture. face: the crop it was made from. points: np.float64
    [468,2] in pixels of the crop. pose: from the upright head to the crop. residual: millimetres, root mean square
    in x and y, that the sliders leave. trust: how far the points can be relied on, and what is said of it."""

    shape: FaceShape
    face: FaceCrop
    points: np.ndarray
    pose: Pose
    residual: float
    trust: Trust

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        return self.trust.notes

    @property
    def confidence(self) -> float:
        """0..1; below 0.5 the head may be another than the person's, and `notes` says so."""
        return self.trust.confidence


@dataclass(frozen=True, eq=False)
class MeanHead:
    """The head that is fitted. template: [V,3], metres. faces: [F,3]. middle: [3], metres, between its eyes. gain:
    [V,468], from the points to the vertices. correction: of the points' places, None without one."""

    template: np.ndarray
    faces: np.ndarray
    calibration: Calibration
    frame: FaceFrame
    middle: np.ndarray
    gain: np.ndarray
    correction: PlaceCorrection | None = None

    def millimetres(self, vertices: np.ndarray) -> np.ndarray:
        """About the middle between the eyes."""
        return (vertices - self.middle) * 1000

    def carried(self, values: np.ndarray) -> np.ndarray:  # [468,C] -> [V,C]
        """Values at the points, carried smoothly to all vertices.

        PyTorch multiplies, because it looks for faces, too: after a product by NumPy, whose threads go on waiting for
        work, the next look took nearly twice as long.
        """
        import torch

        return (torch.from_numpy(self.gain) @ torch.from_numpy(np.ascontiguousarray(values))).numpy()


def fit_face(
    photo: FaceCrop | np.ndarray,
    topology: Topology | MeanHead | None = None,
    likeness: float = LIKENESS,
    pose: str = NEUTRAL,
    folders: Iterable[str | os.PathLike] = (),
) -> FaceShape:
    """The person's 3D face, which the sliders can edit further.

    photo: a FaceCrop, or np.uint8 [H,W,3] RGB, of which the largest face is taken. topology: a mesh of FLAME's vertices
    (`load_topology`); without it that of transform.pkl where it is found, else the project's own head. likeness: 0..1,
    how much of what the sliders cannot say is kept: 0 a smooth face, 1 the photo's points exactly. pose: "neutral"
    looks ahead, "as photographed" is turned as in the photo. The shape's `seen` lies where the photo's points tell, its
    `edit` holds the sliders.

    Raises ValueError when no face is seen, for a likeness or pose out of range, and another mesh.
    """
    face = photo if isinstance(photo, FaceCrop) else find_face([_checked(photo)], FaceRequest("mediapipe")).face
    return fit_landmarks(face, topology, likeness, pose, folders).shape


def fit_landmarks(
    face: FaceCrop,
    topology: Topology | MeanHead | None = None,
    likeness: float = LIKENESS,
    pose: str = NEUTRAL,
    folders: Iterable[str | os.PathLike] = (),
) -> LandmarkFit:
    """`fit_face` with all that it found. Raises as that."""
    if not (isinstance(likeness, (int, float)) and math.isfinite(likeness) and 0 <= likeness <= 1):
        raise ValueError(f"Expected a likeness of 0 to 1, got {likeness!r}. 0.5 is usual.")
    check_pose(pose)
    head, (found, seeing) = mean_head_of(topology, folders), _face_in_crop(face)
    return fit_points(face, found.points[:POINTS], head, likeness, pose, seeing)


def fit_points(
    face: FaceCrop, points: np.ndarray, head: MeanHead, likeness: float, pose: str, seeing: Seeing = CLEAR
) -> LandmarkFit:
    """The head whose points [468,3] are seen in the crop (pixels, z away from the viewer)."""
    known = head.calibration
    seen = np.asarray(points, np.float64) * (1, -1, -1)
    placed = pose_of(seen, known.mean, known.rigid)
    away = placed.upright(seen) - known.mean
    values = away[:, :2].reshape(-1) @ known.matrix + known.constant
    turns = turns_of(points, placed.yaw)
    fading = share_of(turns)
    edit = edit_from_values({name: value * fading for name, value in zip(known.names, values.clip(-1, 1), strict=True)})
    controls = face_controls(head.template)
    shaped = head.millimetres(head.template + controls.displacement(edit.values))
    rest = away + known.mean - known.places(shaped) - known.habit
    residual = float(np.sqrt((rest[:, :2] ** 2).mean()))
    made = shaped + likeness * fading * head.carried(rest) * SHARES
    lying = placed.seen(shaped)
    lying[:, :2] += head.carried(_from_sliders(seen, shaped, placed, head, fading))
    upright = head.middle + made / 1000
    shape = FaceShape(
        _tensor(upright if pose == NEUTRAL else _turned(made, placed.rotation, head)),
        head.faces,
        "fitted to landmarks",
        seen=in_photo(lying, face.matrix),
        edit=format_edit(edit),
    )
    trust = trust_in(turns, seeing, residual, known.residual)
    return LandmarkFit(shape, face, np.asarray(points, np.float64)[:, :2], placed, residual, trust)


def deviations(seen: np.ndarray, shaped: np.ndarray, placed: Pose, known: Calibration) -> np.ndarray:
    """How far points [468,3] are seen from where a head [V,3] in millimetres should show them: [468,2] millimetres of
    the picture (x right, y up), as if there were no roll.

    In the picture, where depth has no say: what of a habit is depth would move points of a turned head.
    """
    expected = placed.seen(known.places(shaped) + known.habit * (1, 1, 0))
    return (seen - expected)[:, :2] @ placed.level / placed.scale


def mean_head_of(topology: Topology | MeanHead | None = None, folders: Iterable[str | os.PathLike] = ()) -> MeanHead:
    """FLAME's mean head from a topology (given, or found in a folder), else the project's own."""
    if isinstance(topology, MeanHead):
        return topology
    if topology is None and (path := find_topology(tuple(folders))) is not None:
        topology = load_topology(path)
    if topology is None:
        return own_head()
    template, faces = topology.template.double().numpy(), topology.faces.numpy().astype(np.int64)
    return _mean_head(template.tobytes(), faces.tobytes())


def own_head() -> MeanHead:
    """The project's own mean head."""
    mesh = head_mesh()
    return _mean_head(mesh.template.tobytes(), mesh.faces.tobytes())


def in_photo(seen: np.ndarray, matrix: np.ndarray) -> np.ndarray:  # [V,3], [2,3] -> [V,3]
    """From the crop (x right, y up, z to the viewer) to the photo: x and y in its pixels, y down, depth in the same."""
    flat = np.linalg.solve(matrix[:, :2], (seen[:, :2] * (1, -1) - matrix[:, 2]).T).T
    return np.column_stack([flat, seen[:, 2] / np.sqrt(abs(np.linalg.det(matrix[:, :2])))])


def check_pose(pose: str) -> None:
    if pose not in POSES:
        raise ValueError(f"Expected a pose among {', '.join(POSES)}, got {pose!r}.")


def turned_head(vertices: np.ndarray, rotation: np.ndarray, head: MeanHead) -> np.ndarray:  # [V,3] metres
    """A head turned about where the neck begins, as FLAME turns heads."""
    return _turned(head.millimetres(vertices), rotation, head)


@lru_cache(maxsize=2)
def _mean_head(template: bytes, faces: bytes) -> MeanHead:
    vertices, triangles = np.frombuffer(template).reshape(-1, 3), np.frombuffer(faces, np.int64).reshape(-1, 3)
    calibration, frame = load_calibration(len(vertices)), face_frame(vertices)
    found = face_places(vertices)
    middle = (found["eye_left"] + found["eye_right"]) / 2
    upright = (vertices - middle) * 1000
    gain = spreading(frame, upright, calibration.places(upright))
    return MeanHead(vertices, triangles, calibration, frame, middle, gain, load_correction())


def _from_sliders(seen: np.ndarray, shaped: np.ndarray, placed: Pose, head: MeanHead, fading: float) -> np.ndarray:
    """From where the sliders' head lies to the places of the points, in pixels [468,2]. The network draws points
    towards faces that it knows; what all of them together tell of this is taken off where the sliders are trusted."""
    away = deviations(seen, shaped, placed, head.calibration)
    if head.correction is not None:
        away = away + fading * head.correction(away)
    return away @ placed.level.T * placed.scale


def _face_in_crop(face: FaceCrop) -> tuple[LandmarkedFace, Seeing]:
    """The face of the crop that lies where its five points are, in the crop's pixels, and how it is seen."""
    side = len(face.crop)
    border = round(MARGIN * side)
    wide = np.pad(face.crop, ((border, border), (border, border), (0, 0)), mode="edge")
    five = TEMPLATE * (side / TEMPLATE_SIZE)
    if face.points is not None:
        five = np.asarray(face.points, np.float64) @ face.matrix[:, :2].T + face.matrix[:, 2]
    near = []
    for found in landmarked_faces(wide):
        away = np.median(np.linalg.norm(found.five - border - five, axis=1)) / np.linalg.norm(five[1] - five[0])
        if away < ELSEWHERE or face.points is None:
            near.append((away, found))
    if not near:
        raise ValueError(
            "No face is seen in the crop where the face should be: it may be covered, painted, or turned to the side. "
            "Choose the method template, which needs five points only, or another photo."
        )
    found = min(near, key=lambda pair: pair[0])[1]
    seeing = Seeing(found.presence, unsteadiness(wide, found.points))
    return replace(found, points=found.points - np.array([border, border, 0], np.float32)), seeing


def _turned(made: np.ndarray, rotation: np.ndarray, head: MeanHead) -> np.ndarray:
    return head.middle + ((made - NECK) @ rotation.T + NECK) / 1000


def _checked(photo: np.ndarray) -> np.ndarray:
    check_image(photo)
    return photo


def _tensor(vertices: np.ndarray):
    import torch

    return torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
