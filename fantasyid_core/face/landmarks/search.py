"""Finds candidates: both detectors search the whole picture at several sizes and turns, the cheap searches first.

The networks are convolutional, so one look at a scaled picture stands for all its overlapping tiles. Measured on
photos, the full range sees faces of 8 to 130 pixels of what it is shown, turned by up to 60 degrees with scores
above 0.5 and otherwise with 0.1 and more; the short range those from a fifth of the picture to all of it. What
is found here are candidates: the mesh and `confirm` decide.
"""

from __future__ import annotations

import numpy as np
import torch

from .boxes import Boxes, anchors, decode, joined, merged, overlaps
from .squares import Squares, cut_squares
from .views import View, letterbox, smooth_view, turned
from .weights import load_network

SIDE = 128  # of the short range's view
PIXELS = 300_000  # of the full range's view: faces of 24 pixels in a picture of 1280 x 960 are 12 there
MORE_PIXELS = 600_000  # and of its second look
SURE = 0.5  # as in MediaPipe's short range
LIKELY = 0.25
POSSIBLE = 0.1
WORTH = 0.2  # a closer look, where nothing better was found
SEEN = 0.6  # of one candidate, upright and at the best size
ADVANTAGE = 0.05  # by which a turned look must be surer than the upright one
WIDE = 0.5  # of the frame that the picture fills in the second look: faces larger than the picture
PATCH, PATCH_FACE = 64, 26  # pixels of a view of one candidate, and of the face in it
QUARTERS = (1, 2, 3)
SAME_PLACE = 0.4  # intersection over union
ALIKE_TURN = 0.7  # cosine of the angle between two faces
MOST = 48  # candidates of a second look that go on


def first_look(image: np.ndarray, device: str) -> Boxes:
    """Candidates of one look at each size, upright, and of a glance at the picture turned by quarters.

    Those that are not `LIKELY` may be faces turned further than the fine look can tell.
    """
    fine = look("full_range", [fine_view(image, PIXELS)], POSSIBLE, device)[0]
    return distinct([_large(image, device), fine])


def second_look(image: np.ndarray, device: str) -> Boxes:
    """Candidates in a finer view and in a wider frame, turned by quarters: slower, for what the first look misses."""
    fine, wide = fine_view(image, MORE_PIXELS), smooth_view(image, WIDE * SIDE / max(image.shape[:2]), SIDE)
    found = [look("full_range", [turned(fine, quarters)], WORTH, device)[0] for quarters in range(4)]
    found += look("short_range", [turned(wide, quarters) for quarters in range(4)], SURE, device)
    return _of_all_turns(found)


def look_around(image: np.ndarray, boxes: Boxes, device: str) -> Boxes:
    """The same candidates turned by quarters, each seen by itself: those that are surer there."""
    middles, sides = boxes.corners.mean(1), (boxes.corners[:, 1] - boxes.corners[:, 0]).max(-1)
    squares = Squares(middles, sides * (PATCH / PATCH_FACE), np.zeros(len(boxes)))
    patches = zip(cut_squares(image, squares, PATCH), squares.matrices(PATCH), strict=True)
    views = [turned(View(*patch), quarters) for patch in patches for quarters in QUARTERS]
    return _of_all_turns(look("full_range", views, SEEN, device)) if views else boxes


def fine_view(image: np.ndarray, pixels: int) -> View:
    """The picture, scaled down to at most so many pixels."""
    height, width = image.shape[:2]
    return smooth_view(image, min(1.0, (pixels / (height * width)) ** 0.5), 64)


def look(name: str, views: list[View], least: float, device: str) -> list[Boxes]:
    """A detector's boxes in each of several views of one size, in pixels of the picture, surest first."""
    boxes = detect(name, np.stack([view.pixels for view in views]), least, device)
    return [merged(some).moved(view.matrix) for some, view in zip(boxes, views, strict=True)]


def detect(name: str, pixels: np.ndarray, least: float, device: str) -> list[Boxes]:
    """All that a detector sees in each of np.uint8 [B,h,w,3], in their pixels."""
    batch = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    values, logits = (some.cpu().numpy() for some in load_network(name, device)(batch))
    middles = anchors(name, *pixels.shape[1:3])
    return [decode(*each, middles, least) for each in zip(values, logits, strict=True)]


def distinct(several: list[Boxes]) -> Boxes:
    """All boxes, without those that overlap one before them."""
    boxes, kept = joined(several), []
    for nth in range(len(boxes)):
        if not kept or overlaps(boxes.corners[nth], boxes.corners[kept]).max() < SAME_PLACE:
            kept.append(nth)
    return boxes[kept]


def _of_all_turns(several: list[Boxes]) -> Boxes:
    """The boxes of differently turned views, surest first; for one place, one box for each turn."""
    boxes, kept = joined(several), []
    across = boxes.points[:, 1] - boxes.points[:, 0]
    angles = np.arctan2(across[:, 1], across[:, 0])
    for nth in np.argsort(-boxes.scores, kind="stable"):
        alike = [other for other in kept if np.cos(angles[nth] - angles[other]) > ALIKE_TURN]
        if not alike or overlaps(boxes.corners[nth], boxes.corners[alike]).max() < SAME_PLACE:
            kept.append(nth)
    return boxes[kept[:MOST]]


def _large(image: np.ndarray, device: str) -> Boxes:
    """The boxes of the short range; where the upright view is as sure as turned ones, exactly MediaPipe's."""
    view = letterbox(image, SIDE)
    own, *others = look("short_range", [view, *(turned(view, quarters) for quarters in QUARTERS)], SURE, device)
    both = joined([own, *others])
    advantage = np.zeros(len(both))
    advantage[: len(own)] = ADVANTAGE
    return distinct([both[np.argsort(-(both.scores + advantage), kind="stable")]])
