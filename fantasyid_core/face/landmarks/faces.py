"""Faces of a picture with their 478 points: candidates -> mesh, twice -> confirmation -> one of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..pose import head_pose
from .boxes import Boxes, overlaps
from .confirm import confirm
from .mesh import SIDE
from .points import FIVE, IRIS_CENTRES, MESH_POINTS
from .search import LIKELY, first_look, look_around, second_look
from .squares import Squares, cut_squares, points_in_picture, squares_of_boxes, squares_of_points
from .weights import load_network

BATCH = 16
PRESENT = 0.5  # as in MediaPipe
GLIMPSE = 0.02  # presence in the first pass below which there is no second
CONFIRMED = 0.6  # halfway between the least sure face and the surest texture, see `confirm`
TURNED = np.deg2rad(15)  # between the first two squares, from which a third pass is made
SAME_FACE = 0.35  # mean distance of two faces' points, in eye distances
AROUND = 4  # unlikely candidates that are looked at from all sides
SMALLEST = 8  # pixels along the picture's shorter side


@dataclass(frozen=True, eq=False)
class LandmarkedFace:
    """A face with MediaPipe's points. Lengths are pixels of the picture, x to the right, y down.

    points: np.float32 [478,3], z away from the camera, roughly as large as x and y; may lie outside the picture.
    score: 0..1, how sure both detectors and the mesh are.
    presence: 0..1, the mesh's own score.
    five: np.float32 [5,2], centres of the irises, tip of the nose, corners of the mouth, as the detectors order them.
    box: np.float32 [4] x0, y0, x1, y1 around the 468 points of the skin, inside the picture.
    yaw, pitch, roll: degrees, as `head_pose` tells them from the five points.
    """

    points: np.ndarray
    score: float
    presence: float
    five: np.ndarray
    box: np.ndarray
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Meshes:
    """Faces on their way: points [N,478,3], presence [N], score [N]."""

    points: np.ndarray
    presence: np.ndarray
    scores: np.ndarray

    def __getitem__(self, index) -> Meshes:
        return Meshes(self.points[index], self.presence[index], self.scores[index])

    def __len__(self) -> int:
        return len(self.scores)


def find_landmarks(image: np.ndarray, device: str | None = None) -> list[np.ndarray]:
    """The 468 points of every face, surest first: np.float32 [468,2] in pixels; as `landmarked_faces` finds them."""
    return [face.points[:MESH_POINTS, :2].copy() for face in landmarked_faces(image, device)]


def landmarked_faces(image: np.ndarray, device: str | None = None) -> list[LandmarkedFace]:
    """All faces of a picture with their points, surest first; an empty list when there is none.

    image: np.uint8 [H,W,3] RGB, or grey [H,W] or [H,W,1]. device: torch's; the graphics card if there is one.
    Faces are found turned by any angle, from 24 pixels in a picture of 1280 up to those that fill the picture; in
    larger pictures from as large a share. Beyond 60 degrees of yaw points are guesses.

    Raises ValueError for what is not such a picture.
    """
    image = _as_rgb(image)
    if min(image.shape[:2]) < SMALLEST:
        return []
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with torch.inference_mode():
        found = _all(image, device)
    order = np.argsort(-found.scores, kind="stable")
    return [_face(image, found.points[nth], found.presence[nth], found.scores[nth]) for nth in order]


def mesh_pass(image: np.ndarray, squares: Squares, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Points [N,478,3] in pixels of the picture and presence scores [N] of what squares show."""
    network, answers = load_network("mesh", device), [(np.zeros((0, 478, 3)), np.zeros(0))]
    for start in range(0, len(squares), BATCH):
        pixels = torch.from_numpy(cut_squares(image, squares[start : start + BATCH], SIDE)).to(device)
        points, presence = network(pixels.permute(0, 3, 1, 2).float().div_(255))
        answers.append((points.double().cpu().numpy(), presence.sigmoid().double().cpu().numpy()))
    points, presence = (np.concatenate(some) for some in zip(*answers, strict=True))
    return points_in_picture(points, squares, SIDE), presence


def _all(image: np.ndarray, device: str) -> Meshes:
    boxes = first_look(image, device)
    likely = boxes.scores >= LIKELY
    found = _confirmed(image, boxes[likely], device)
    if not len(found):
        return _confirmed(image, second_look(image, device), device)
    doubtful = boxes[_apart(boxes, found)]
    doubtful = doubtful[np.argsort(-doubtful.scores, kind="stable")[:AROUND]]
    more = _confirmed(image, look_around(image, doubtful, device), device)
    return _one_each(_both(found, more))


def _confirmed(image: np.ndarray, boxes: Boxes, device: str) -> Meshes:
    """Those candidates that are faces, one of each."""
    squares = squares_of_boxes(boxes)
    points, presence = mesh_pass(image, squares, device)
    glimpsed = presence >= GLIMPSE
    squares, points = squares[glimpsed], points[glimpsed]
    again = squares_of_points(points)
    points, presence = mesh_pass(image, again, device)
    # Where a detector's own points lay far from level, the second square is not yet upright.
    turned = np.abs(np.angle(np.exp(1j * (again.angles - squares.angles)))) > TURNED
    if turned.any():
        points[turned], presence[turned] = mesh_pass(image, squares_of_points(points[turned]), device)
    present = presence >= PRESENT
    points, presence = points[present], presence[present]
    scores = confirm(image, points, device) * presence
    found = Meshes(points, presence, scores)
    return _one_each(found[scores >= CONFIRMED])


def _one_each(found: Meshes) -> Meshes:
    """The surest of those whose points lie at the same places."""
    kept = []
    for nth in np.argsort(-found.scores, kind="stable"):
        eyes = np.linalg.norm(np.subtract(*found.points[nth, list(IRIS_CENTRES), :2]))
        apart = np.linalg.norm(found.points[kept, :, :2] - found.points[nth, :, :2], axis=-1).mean(-1)
        if not (apart < SAME_FACE * eyes).any() and not _inside(found, nth, kept):
            kept.append(nth)
    return found[kept]


def _inside(found: Meshes, nth: int, kept: list[int]) -> bool:
    """Whether a face lies on a surer one, as a part of it or with it in the middle."""
    boxes = _boxes(found)
    return bool(len(kept)) and overlaps(boxes[nth], boxes[kept]).max() > 0.3


def _apart(boxes: Boxes, found: Meshes) -> np.ndarray:
    """Which boxes [N] show none of the faces."""
    faces = _boxes(found)
    return np.array([overlaps(box, faces).max(initial=0) < 0.2 for box in boxes.corners], bool)


def _boxes(found: Meshes) -> np.ndarray:
    return np.stack([found.points[..., :2].min(1), found.points[..., :2].max(1)], 1)


def _both(first: Meshes, second: Meshes) -> Meshes:
    names = ("points", "presence", "scores")
    return Meshes(*(np.concatenate([getattr(some, name) for some in (first, second)]) for name in names))


def _face(image: np.ndarray, points: np.ndarray, presence: float, score: float) -> LandmarkedFace:
    points = points.astype(np.float32)
    five, skin = points[list(FIVE), :2].copy(), points[:MESH_POINTS, :2]
    edges = np.array(image.shape[1::-1], np.float32) - 1
    box = np.clip(np.concatenate([skin.min(0), skin.max(0)]), 0, np.tile(edges, 2))
    return LandmarkedFace(points, float(score), float(presence), five, box, *head_pose(five))


def _as_rgb(image: np.ndarray) -> np.ndarray:
    shape = getattr(image, "shape", None)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size:
        if image.ndim == 2 or (image.ndim == 3 and shape[2] == 1):
            return np.repeat(image.reshape(*shape[:2], 1), 3, axis=2)
        if image.ndim == 3 and shape[2] == 3:
            return image
    found = type(image).__name__ if shape is None else f"{image.dtype} {list(shape)}"
    raise ValueError(
        f"Expected a picture as np.uint8 [H,W,3] RGB, or [H,W] grey, got {found}. Read files with load_picture and "
        "turn the host's IMAGE into one with picture_from_image."
    )
