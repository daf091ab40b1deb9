"""The detector cascade: faces from the front, found without any model file.

The picture is searched upright, and at half the size also turned by `TURNS`, since the cascade sees heads that are
tilted by up to about 15 degrees. The windows that pass are candidates. Each candidate is then classified in many views:
moved, scaled, turned by a few degrees, and mirrored. A face passes in a large part of these views, whereas a chance
resemblance passes in a few, so that the number of passing views, the votes, tells the two apart. The mean of the
passing views is the place, size and tilt of the face. The five points are estimated there from mean proportions.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from PIL import Image

from ...running.progress import ask
from ..pose import turn
from .cascade import WINDOW, scan_levels
from .detected import DetectedFace, clipped_square, window_points
from .pyramid import Pose, Pyramid
from .votes import Views, Voted, distinct, vote

MAX_SIDE = 1280
TURNS = (15, -15, 30, -30)
MORE_TURNS = (45, -45, 60, -60)  # tried when nothing was found
TURNED_STEP = 1.25  # from one size to the next; coarser, as a face is seen at several turns
STRIDE = 2
BORDER = 10  # pixels at every size, so that a face cut by the edge is still seen
MAX_CANDIDATES = 60  # per turn
GROUP = 0.4  # intersection over union from which windows are one candidate
CONTRAST = 0.25  # of a face, as a share of the picture's: below it noise and blots of light resemble everything
FILL = 133  # grey of the corners of a turned picture

# From many candidates and few views to few and many. Zooms are steps of 1.12, three or five of them.
GLANCE = Views((0.0,), (0.89, 1.0, 1.12), tile=36, stride=2, enough=2)
LOOK = Views((-22.5, -15.0, -7.5, 0.0, 7.5, 15.0, 22.5), GLANCE.zooms, tile=36, stride=2, enough=8)
EXAMINATION = Views((-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0), (0.79, 0.89, 1.0, 1.12, 1.26), 34, stride=1, enough=60)
# Measured: of 221 faces 219 have that many; what has more and is no face are enlarged textures and the moon.
DECISION = Views((-12.0, -4.0, 4.0, 12.0), EXAMINATION.zooms, 34, stride=1, enough=150, stretches=(1, 1.15, 1.3, 1.5))
SURE = 200  # votes in the examination that need no decision


def search_cascade(image: np.ndarray, max_side: int | None = None) -> list[DetectedFace]:
    """All faces of a picture (np.uint8 [H,W,3] RGB), surest first; their tilt is in their points.

    Upright faces are found from 24 pixels on, those tilted by 20 to 45 degrees from 48; in pictures with a longer
    side above max_side (1280 without it), these sizes grow with it. When nothing is found, steeper tilts are
    tried, then twice max_side.
    """
    grey = Image.fromarray(np.ascontiguousarray(image)).convert("L")
    for side, turns in _attempts(max(grey.size), MAX_SIDE if max_side is None else max_side):
        pyramid = Pyramid(_shrunk(grey, side))
        if found := _faces(pyramid, turns):
            return [_face(image, face, pyramid.size) for face in found]
    return []


def _attempts(longer: int, max_side: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    side = min(longer, max_side)
    yield side, (0, *TURNS)
    yield side, MORE_TURNS
    if longer > side:
        yield min(longer, 2 * side), (0, *TURNS)


def _shrunk(grey: Image.Image, side: int) -> Image.Image:
    shrink = side / max(grey.size)
    if shrink >= 1:
        return grey
    return grey.resize([max(1, round(length * shrink)) for length in grey.size], Image.Resampling.BOX)


def _faces(pyramid: Pyramid, turns: tuple[int, ...]) -> list[Voted]:
    half = _shrunk(pyramid.levels[0], max(MAX_SIDE // 2, max(pyramid.size) // 2))
    contrast = CONTRAST * float(np.asarray(half).std())
    ask()
    with ThreadPoolExecutor(2) as threads:  # NumPy and PIL let go of the interpreter while they work
        several = threads.map(partial(_candidates, pyramid, half, contrast), turns)
        poses = [pose for poses in several for pose in poses]
    ask()
    voted = vote(pyramid, poses, GLANCE)
    for views in (LOOK, EXAMINATION):
        voted = distinct(vote(pyramid, [face.pose for face in voted], views))
    sure = [face for face in voted if face.votes >= SURE]
    doubtful = [face.pose for face in voted if face.votes < SURE]
    return distinct([*sure, *vote(pyramid, doubtful, DECISION)])


def _candidates(pyramid: Pyramid, half: Image.Image, contrast: float, angle: int) -> list[Pose]:
    """Poses in the pyramid's picture around which windows pass when `half`, the smaller picture, is turned."""
    if angle == 0:
        return [Pose(*window, 0.0) for window in _grouped(_windows(pyramid, contrast))]
    turned = half.rotate(angle, Image.Resampling.BILINEAR, expand=True, fillcolor=FILL)
    middle, size = np.array(turned.size) / 2, np.array(half.size)
    poses = []
    for x, y, side in _grouped(_windows(Pyramid(turned, TURNED_STEP), contrast)):
        # The picture was turned counterclockwise by `angle` to set the face upright: turn it back.
        place = turn(angle) @ (np.array([x, y]) - middle) + size / 2
        if ((place >= 0) & (place <= size)).all():
            scale = pyramid.size / size
            poses.append(Pose(*(place * scale).tolist(), side * float(scale.mean()), float(angle)))
    return poses


def _windows(pyramid: Pyramid, contrast: float) -> np.ndarray:
    """Middle x, y and side [N,3] of all windows that pass at one of the sizes."""
    levels = [np.pad(np.asarray(level), BORDER, mode="edge") for level in pyramid.levels]
    nth, ys, xs = scan_levels(levels, STRIDE, contrast)
    zooms = pyramid.zooms[nth]
    middles = (np.stack([xs, ys], axis=1) - BORDER + WINDOW / 2) * zooms
    return np.column_stack([middles, WINDOW * zooms.mean(axis=1)])


def _grouped(windows: np.ndarray) -> list[list[float]]:
    """Mean windows of the groups of overlapping windows, largest group first."""
    low, high = windows[:, :2] - windows[:, 2:] / 2, windows[:, :2] + windows[:, 2:] / 2
    shared = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).clip(0).prod(axis=-1)
    areas = windows[:, 2] ** 2
    near = shared / (areas[:, None] + areas - shared) >= GROUP
    free, groups = np.ones(len(windows), bool), []
    while free.any():
        counts = (near & free).sum(axis=1) * free
        members = near[counts.argmax()] & free
        groups.append((int(members.sum()), windows[members].mean(axis=0).tolist()))
        free &= ~members
    groups.sort(key=lambda group: -group[0])
    return [window for _, window in groups[:MAX_CANDIDATES]]


def _face(image: np.ndarray, face: Voted, size: np.ndarray) -> DetectedFace:
    scale = np.array(image.shape[1::-1]) / size
    pose = face.pose
    middle = np.array(pose[:2]) * scale - 0.5  # a pixel's centre is at its half
    side = pose.side * float(scale.mean())
    points = middle + window_points(side) @ turn(pose.angle).T
    score = face.votes / (face.votes + DECISION.enough)
    box = clipped_square(middle, side, image)
    return DetectedFace(box, points.astype(np.float32), score, False, detector="cascade")
