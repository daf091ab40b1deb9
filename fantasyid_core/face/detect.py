"""Where the faces of a picture are: one interface for all detectors.

`cascade` needs scikit-image only (its cascade file lies inside the package, nothing is downloaded); `none`
takes points given by hand, or the centre of the picture. `auto` takes the best one that is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from .align import TEMPLATE, TEMPLATE_SIZE, _check_image, check_points
from .picture import check_size

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DETECTORS = ("auto", "cascade", "none")

MAX_SIDE = 640
"""Pixels along the longer side at which a picture is searched; larger ones are scaled down to it first."""

TILTS = (15, -15, 30, -30, 45, -45)
"""Degrees by which the picture is turned, at half the size, when no upright face is in it."""

TILTED_VOTES = 20
"""More than upright faces need: six more searches are six more chances to take something else for a face."""

WINDOW_EYES = 0.40
"""Height of the eyes in the cascade's window, and their distance, as a share of its side: both alike, read
off the windows on the sample portraits."""

NOSE_DEPTH = 0.45
"""How far the tip of the nose stands out from the plane of eyes and mouth, in eye distances (a mean)."""


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face. Lengths are pixels of the picture, x to the right and y down.

    box: np.float32 [4] x0, y0, x1, y1, inside the picture.
    points: np.float32 [5,2] in the order of `align.TEMPLATE`; may lie outside the picture.
    score: 0..1, more is surer; only scores of one detector can be compared.
    exact_points: False when the points are mean proportions of the box, not seen in the picture.
    yaw, pitch, roll: degrees, see `head_pose`; None unless the points are exact.
    """

    box: np.ndarray
    points: np.ndarray
    score: float
    exact_points: bool
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None
    detector: str = ""

    @property
    def centre(self) -> np.ndarray:
        """x, y of the middle of the box."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return float(np.prod(self.box[2:] - self.box[:2]))


def detect_faces(
    image: np.ndarray,
    detector: str = "auto",
    points: ArrayLike | None = None,
    max_side: int = MAX_SIDE,
    folders=(),
) -> list[DetectedFace]:
    """All faces of a picture, surest first; an empty list when there is none.

    image: np.uint8 [H,W,3] RGB. detector: one of `DETECTORS`. points: [5,2], for the detector `none` only;
    without them it returns the centre square as one face. max_side: the picture is searched at this size at
    most, so the smallest face found has 24 pixels * max(1, longer side / max_side).

    `cascade` sees faces from the front, turned in the picture by up to about 10 degrees; when there is none,
    by up to about 50 degrees and from twice that size. Its five points are approximate: mean proportions.

    Raises ValueError for another picture, detector or max_side; RuntimeError when scikit-image is missing.
    """
    _check_image(image)
    check_size(image.shape[1], image.shape[0], "The picture")
    if detector not in DETECTORS:
        raise ValueError(f"Expected a detector out of {', '.join(DETECTORS)}, got {detector!r}.")
    if points is not None and detector != "none":
        raise ValueError(
            f"Points given by hand need no detector, got {detector!r}. Choose the detector none, or leave "
            "the points empty."
        )
    if not isinstance(max_side, int) or not 64 <= max_side <= 4096:
        raise ValueError(f"Expected max_side of 64 to 4096 pixels, got {max_side!r}. {MAX_SIDE} is usual.")
    if detector == "none":
        return [_centre_face(image) if points is None else face_from_points(image, points)]
    if not has_detector("cascade"):
        raise RuntimeError(
            "Finding faces needs scikit-image, which is not installed here. Run `pip install scikit-image` "
            "in the environment of this program, or choose the detector none and give the five points."
        )
    return _cascade_faces(image, max_side)


def has_detector(name: str) -> bool:
    """Whether a detector's packages are installed; `auto` and `cascade` need scikit-image, `none` nothing."""
    if name not in DETECTORS:
        raise ValueError(f"Expected a detector out of {', '.join(DETECTORS)}, got {name!r}.")
    try:
        return name == "none" or find_spec("skimage") is not None
    except ValueError:  # a module that was blocked or replaced by hand has no spec
        return False


def face_from_points(image: np.ndarray, points: ArrayLike) -> DetectedFace:
    """A face known by its five exact points [5,2]; its box is the template's square around them, clipped."""
    points = check_points(points)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    side = max(np.linalg.norm(points[1] - points[0]), np.linalg.norm(mouth - eyes)) / WINDOW_EYES
    box = _clipped(points.mean(axis=0), side, image)
    if not (box[2:] > box[:2]).all():
        raise ValueError(
            f"The five points {points.tolist()} lie outside the picture of {image.shape[1]} x "
            f"{image.shape[0]} pixels. Give the points in pixels of this picture."
        )
    yaw, pitch, roll = head_pose(points)
    return DetectedFace(box, points, 1.0, True, yaw, pitch, roll, "none")


def head_pose(points: ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from five exact points [5,2].

    Roll is the angle of the line between the eyes (positive: clockwise in the picture). With roll undone, let
    e be the distance of the eyes, (x, y) the nose from their middle, m the mouth's height below it, and
    p = 0.45 e the depth of the nose; distances of a frontal face, in e, are those of the template. Under
    parallel projection of a head turned about one axis
        tan(yaw) = x / p            positive: the nose points to the right of the picture,
        tan(pitch) = (y / m - y0 / m0) * m0 / 0.45     positive: the nose points down,
    where y0 and m0 are the template's. Turned about both, it is an approximation.
    """
    points = check_points(points).astype(np.float64)
    across = points[1] - points[0]
    roll = np.arctan2(across[1], across[0])
    x, y, mouth, eyes = _face_lengths(points, roll)
    _, y0, mouth0, eyes0 = _face_lengths(TEMPLATE, 0.0)
    yaw = np.arctan2(x, NOSE_DEPTH * eyes)
    pitch = np.arctan((y / mouth - y0 / mouth0) * (mouth0 / eyes0) / NOSE_DEPTH)
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def _face_lengths(points: np.ndarray, roll: float) -> tuple[float, float, float, float]:
    level = (points - points[:2].mean(axis=0)) @ _turn(roll)  # from picture axes to the head's
    mouth = level[3:, 1].mean()
    if abs(mouth) < 1e-6:
        raise ValueError(
            f"The eyes and the mouth of {points.tolist()} lie on one line. Expected the mouth below the eyes."
        )
    return level[2, 0], level[2, 1], mouth, level[1, 0] - level[0, 0]


def _turn(radians: float) -> np.ndarray:
    cos, sin = np.cos(radians), np.sin(radians)
    return np.array([[cos, -sin], [sin, cos]])


def _centre_face(image: np.ndarray) -> DetectedFace:
    height, width = image.shape[:2]
    side, middle = min(height, width), np.array([width, height]) / 2
    box = _clipped(middle - 0.5, side, image)
    points = (TEMPLATE + 0.5) * (side / TEMPLATE_SIZE) - 0.5 + middle - side / 2
    return DetectedFace(box, points.astype(np.float32), 0.0, False, detector="none")


def _cascade_faces(image: np.ndarray, max_side: int) -> list[DetectedFace]:
    from PIL import Image

    from .detect_cascade import find_windows

    grey = Image.fromarray(np.ascontiguousarray(image)).convert("L")
    shrink = min(1.0, max_side / max(grey.size))
    if shrink < 1:
        size = tuple(max(1, round(side * shrink)) for side in grey.size)
        grey = grey.resize(size, Image.Resampling.BOX)
    found = [(window, 0) for window in find_windows(grey)]
    if not found:
        found = _tilted_windows(grey)
    return [_face_from_window(*pair, shrink, image, grey.size) for pair in found]


def _tilted_windows(grey) -> list[tuple]:
    from PIL import Image

    from .detect_cascade import find_windows

    size, best = np.array(grey.size), []
    half = grey.resize([max(1, side // 2) for side in grey.size], Image.Resampling.BOX)
    for angle in TILTS:
        turned = half.rotate(angle, Image.Resampling.BILINEAR, expand=True, fillcolor=133)
        back, middle = _turn(np.deg2rad(angle)), np.array(turned.size) / 2
        windows = [
            ((*(2 * back @ (np.array([x, y]) - middle) + size / 2), 2 * side, score), angle)
            for x, y, side, score in find_windows(turned, TILTED_VOTES)
        ]
        best = max(best, windows, key=lambda some: sum(window[3] for window, _ in some))
    return [pair for pair in best if _inside(pair[0][:2], grey.size)]


def _inside(point, size) -> bool:
    return all(0 <= value <= side for value, side in zip(point, size, strict=True))


def _face_from_window(window, angle: float, shrink: float, image: np.ndarray, size) -> DetectedFace:
    # A resized side is rounded, so each axis has a scale of its own; a pixel's centre is at its half.
    x, y, side, score = window
    scale = np.array(image.shape[1::-1]) / size
    middle = np.array([x, y]) * scale - 0.5
    side = side / shrink
    # The picture was turned counterclockwise by `angle` to set the face upright: turn it back.
    points = middle + _mean_points(side) @ _turn(np.deg2rad(angle)).T
    return DetectedFace(_clipped(middle, side, image), points.astype(np.float32), score, False, detector="cascade")


def _mean_points(side: float) -> np.ndarray:
    """The template's five points [5,2] from the middle of a cascade window of `side` pixels."""
    eyes = TEMPLATE[:2].mean(axis=0)
    scale = WINDOW_EYES * side / (TEMPLATE[1, 0] - TEMPLATE[0, 0])
    return (TEMPLATE - eyes) * scale + (0, (WINDOW_EYES - 0.5) * side)


def _clipped(middle: np.ndarray, side: float, image: np.ndarray) -> np.ndarray:
    edges = np.array(image.shape[1::-1], dtype=np.float64) - 1
    corners = [np.clip(middle + offset, 0, edges) for offset in (-side / 2, side / 2)]
    return np.concatenate(corners).astype(np.float32)
