"""How far a face's points move when the mesh looks at it from slightly other squares.

The mesh's presence score is near 1 for covered faces, too: where it sees no skin it guesses, and the guess follows the
square. Lids and lips of 55 clear photos and drawn people moved by 0.5 to 2.7 % of the eyes' distance; those of faces
behind a bar or a mask by 3.1 to 11 %, and those of profiles and of faces 20 pixels wide by as much. Dark faces are
brightened for the looks, because the mesh is less sure of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .faces import mesh_pass
from .points import LEFT_EYE, LIDS, LIPS, MESH_POINTS, RIGHT_EYE
from .squares import Squares, squares_of_points

TURNS = (0.0, 10.0, -10.0, 0.0, 0.0)  # degrees
SIZES = (1.0, 1.0, 1.0, 1.15, 0.9)
BRIGHT = 140  # of 255, mean of the colours where most of the face's points lie: where a face is brightened to
DOWN = 0.8  # eye distances from the eyes to the mouth that are as long as a face's eyes are apart
CORNERS = LEFT_EYE.corners, RIGHT_EYE.corners


class Unsteadiness(NamedTuple):
    """Shares of the eyes' distance (of a face from the front), root mean squares over the looks.

    features: of lids or lips, whichever move more. whole: of all points.
    """

    features: float
    whole: float


def unsteadiness(image: np.ndarray, points: np.ndarray, device: str | None = None) -> Unsteadiness:
    """How far the points [478,3] that the mesh saw in a picture (np.uint8 [H,W,3], pixels) move in other looks."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    square = squares_of_points(points[None].astype(np.float64))
    looks = Squares(
        np.repeat(square.middles, len(TURNS), axis=0), square.sides * SIZES, square.angles + np.deg2rad(TURNS)
    )
    with torch.inference_mode():
        seen = mesh_pass(_brightened(image, points), looks, device)[0][:, :MESH_POINTS, :2]
    moved = np.sqrt(((seen - seen.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)) / face_length(points)
    lids, lips = moved[[*LIDS[0], *LIDS[1]]].mean(), moved[list(LIPS.points)].mean()
    return Unsteadiness(float(max(lids, lips)), float(np.sqrt((moved**2).mean())))


def face_length(points: np.ndarray) -> float:  # [478,3]
    """The distance between the eyes, or what it would be from the front where the head is turned to the side."""
    eyes = np.stack([points[list(pair), :2].mean(axis=0) for pair in CORNERS])
    mouth = points[list(LIPS.corners), :2].mean(axis=0)
    across, down = np.linalg.norm(eyes[1] - eyes[0]), np.linalg.norm(mouth - eyes.mean(axis=0))
    return float(max(across, DOWN * down, 1e-6))


def _brightened(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture by a power of its values, so that its face is not darker than `BRIGHT`."""
    places = points[:MESH_POINTS, :2].round().astype(int).clip(0, np.array(image.shape[1::-1]) - 1)
    found = float(np.median(image[places[:, 1], places[:, 0]].mean(axis=1)))
    if found >= BRIGHT:
        return image
    power = np.log(BRIGHT / 255) / np.log(max(found, 8) / 255)
    return np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)[image]
