"""Searches a picture at several sizes, so that a network for some sizes of faces finds faces of all sizes.

The smallest size of the picture gets a wide border. A face that fills the picture then looks like a face in a scene,
and a face that the edge cuts gets some surroundings. Detections are mapped back to the picture, detections of the same
face are merged, and implausible points are replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...running.progress import ask
from ..align import TEMPLATE
from .detected import DetectedFace, clipped, face_from_points

GRID = 64  # padded pictures have sides that are multiples of it, as strides of up to 64 need
BORDER_COLOUR = 128
NARROW = 32  # pixels of the border that every size gets
WIDE = 0.5  # border of the smallest size, as a share of its longer side: a face that fills the picture gets room
SAME_FACE = 0.4  # intersection over union from which boxes are one face
INSIDE = 0.9  # share of a box that lies in a surer one from which it is a part of that face
MAX_FACES = 500
BOX_EYES = 0.45  # distance of the eyes as a share of the width of a network's box, which is tight,
BOX_EYES_HEIGHT = 0.40  # their height as a share of its height, and
BOX_SHAPE = 1.25  # its height divided by its width: means of upright faces
REACH = 0.5  # points may lie outside the box by this share of its longer side

Raw = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""A network: picture np.uint8 [h,w,3] RGB -> boxes [N,4] x0, y0, x1, y1, points [N,5,2], scores [N]."""


@dataclass(frozen=True)
class Found:
    """The detections of a network, in pixels of one picture."""

    boxes: np.ndarray  # [N, 4]
    points: np.ndarray  # [N, 5, 2]
    scores: np.ndarray  # [N]

    def __getitem__(self, index) -> Found:
        return Found(self.boxes[index], self.points[index], self.scores[index])


class View(NamedTuple):
    """The picture as it is shown to the network: xy of the picture = (xy of the view - origin) * scale - 0.5."""

    pixels: np.ndarray
    origin: np.ndarray  # [2]
    scale: np.ndarray  # [2]


def search_faces(image: np.ndarray, raw: Raw, sides: tuple[int, ...], detector: str) -> list[DetectedFace]:
    """All faces of a picture (np.uint8 [H,W,3] RGB) that `raw` finds at one of several sizes, surest first.

    sides: pixels along the longer side, the largest first; the smallest has the wide border. When nothing is
    found and the picture is larger, it is searched once more at up to twice the largest. Points that are not
    finite, collapsed, in an impossible order or far outside the box are replaced by mean proportions of the
    box, with exact_points False.

    Raises ValueError when the network's answer has other shapes than `Raw` says.
    """
    longer = max(image.shape[:2])
    *large, small = sorted({min(side, longer) for side in sides}, reverse=True)
    borders = {**dict.fromkeys(large, NARROW), small: max(NARROW, round(WIDE * small))}
    found = _search(image, raw, borders)
    if not len(found.scores) and longer > sides[0]:
        found = _search(image, raw, {min(2 * sides[0], longer): NARROW})
    return [_face(image, *each, detector) for each in zip(found.boxes, found.points, found.scores, strict=True)]


def _search(image: np.ndarray, raw: Raw, borders: dict[int, int]) -> Found:
    several = []
    for side, border in borders.items():
        ask()
        several.append(_found_in(view_of(image, side, border), raw))
    boxes, points, scores = zip(*((some.boxes, some.points, some.scores) for some in several), strict=True)
    return _merged(_usable(Found(np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)), image))


def view_of(image: np.ndarray, side: int, border: int) -> View:
    """The picture scaled to `side` pixels along its longer side, with a grey border of at least `border`."""
    from PIL import Image

    before = np.array(image.shape[1::-1])
    after = np.maximum(1, np.round(before * (side / before.max()))).astype(int)
    picture = Image.fromarray(np.ascontiguousarray(image))
    if (after != before).any():
        picture = picture.resize(after.tolist(), Image.Resampling.BILINEAR, reducing_gap=3.0)
    frame = -(-(after + 2 * border) // GRID) * GRID
    left, top = origin = (frame - after) // 2
    pixels = np.full((frame[1], frame[0], 3), BORDER_COLOUR, np.uint8)
    pixels[top : top + after[1], left : left + after[0]] = np.asarray(picture)
    # The network counts from pixel centres, scaling from the corners: hence the halves, here and in `View`.
    return View(pixels, origin - 0.5, before / after)


def _found_in(view: View, raw: Raw) -> Found:
    boxes, points, scores = (np.asarray(some, np.float64) for some in raw(view.pixels))
    count = len(scores)
    if scores.shape != (count,) or boxes.shape != (count, 4) or points.shape != (count, 5, 2):
        raise ValueError(
            f"Expected boxes [N,4], points [N,5,2] and scores [N] of a face detector, got {list(boxes.shape)}, "
            f"{list(points.shape)} and {list(scores.shape)}. Its model file is of another kind."
        )
    corners = (boxes.reshape(-1, 2, 2) - view.origin) * view.scale - 0.5
    return Found(corners.reshape(-1, 4), (points - view.origin) * view.scale - 0.5, scores)


def _usable(found: Found, image: np.ndarray) -> Found:
    """Boxes that are numbers and have their middle in the picture, clipped to it; impossible points become NaN."""
    found = found[np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)]
    middles, sides = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2, found.boxes[:, 2:] - found.boxes[:, :2]
    found = found[((middles >= 0) & (middles < image.shape[1::-1]) & (sides >= 1)).all(axis=1)]
    plausible = np.array([_plausible(*pair) for pair in zip(found.points, found.boxes, strict=True)], bool)
    points = np.where(plausible[:, None, None], found.points, np.nan)
    boxes = np.array([clipped(box, image) for box in found.boxes], np.float64).reshape(-1, 4)
    # Equal scores in the order of their places, so that the answer does not hang on the network's order.
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -found.scores))[: 10 * MAX_FACES]
    return Found(boxes, points, found.scores.clip(0, 1))[order]


def _merged(found: Found) -> Found:
    """The surest box of every group of boxes that show the same face, or less surely a part of it."""
    left, kept = np.arange(len(found.scores)), []
    while len(left) and len(kept) < MAX_FACES:
        best, rest = left[0], left[1:]
        kept.append(best)
        union, inside = overlaps(found.boxes[best], found.boxes[rest])
        left = rest[(union < SAME_FACE) & (inside < INSIDE)]
    return found[np.array(kept, int)]


def overlaps(box: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shared area of a box [4] with others [N,4], divided by that of both together, and by that of the others."""
    shared = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).clip(0).prod(axis=1)
    own, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / (own + areas - shared), shared / areas


def _face(image: np.ndarray, box: np.ndarray, points: np.ndarray, score: float, detector: str) -> DetectedFace:
    box = box.astype(np.float32)
    if np.isfinite(points).all():
        try:
            return face_from_points(image, points, box, float(score), detector)
        except ValueError:  # collapsed, or eyes and mouth on one line
            pass
    return DetectedFace(box, box_points(box), float(score), False, detector=detector)


def _plausible(points: np.ndarray, box: np.ndarray) -> bool:
    """Whether points [5,2] are numbers in and about a box [4], with the mouth on the right side of the eyes."""
    reach = REACH * (box[2:] - box[:2]).max()
    if not np.isfinite(points).all() or (points < box[:2] - reach).any() or (points > box[2:] + reach).any():
        return False
    across, down = points[1] - points[0], points[3:].mean(axis=0) - points[:2].mean(axis=0)
    return bool(across[0] * down[1] - across[1] * down[0] > 0)


def box_points(box: np.ndarray) -> np.ndarray:
    """Five points np.float32 [5,2] of an upright face of mean proportions in a network's box [4]."""
    width, height = box[2:] - box[:2]
    eyes = box[:2] + np.array([0.5 * width, BOX_EYES_HEIGHT * height])
    distance = BOX_EYES * np.sqrt(width * height / BOX_SHAPE)
    scale = distance / (TEMPLATE[1, 0] - TEMPLATE[0, 0])
    return ((TEMPLATE - TEMPLATE[:2].mean(axis=0)) * scale + eyes).astype(np.float32)
