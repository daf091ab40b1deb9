"""Crops the square of a face that all networks read: aligned by five points, or the centre square of the picture.

Five points are always in the order of the template: eye left, eye right, tip of the nose, mouth left, mouth
right, where left is the left of the picture (the person's right).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..running.packages import MissingPackage, lacks
from .framing import Framing, share_outside
from .picture import FILL, check_size
from .points import ORDER, check_inside, check_points
from .points import parse_points as parse_points

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    from .detectors.detect import DetectedFace

TEMPLATE_SIZE = 512
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],  # eye on the left
        [318.90277, 240.1936],  # eye on the right
        [256.63416, 314.01935],  # tip of the nose
        [201.26117, 371.41043],  # corner of the mouth on the left
        [313.08905, 371.15118],  # corner of the mouth on the right
    ]
)
"""Where the five points lie in the official release's 512 x 512 crop (FFHQ's alignment), in pixels."""

OFFICIAL = Framing()
OUTSIDE_GREY = "is filled with grey"  # in the note of a crop that reaches beyond its picture
MAX_SIDE = 32766  # OpenCV 4 counts pixels along a side in 16 bits

MIN_SCALE = 1e-4  # a face of five million pixels' width: such points come from a mistake

NOTED_OUTSIDE = 0.1
"""Share of a crop outside the picture from which on the user is told."""

NOTED_YAW = 50.0
"""Degrees; beyond it one eye, and with it the width of the face, is hardly seen."""

NOTED_ENLARGEMENT = 4.0
"""From here on the crop shows no more of the face than 128 x 128 pixels."""


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """One face, cut out of a picture.

    crop: np.uint8 [S,S,3] RGB, S = 512 for the release.
    matrix: np.float64 [2,3], picture -> crop: crop_xy = matrix @ (x, y, 1); integers are pixel centres.
    points: np.float32 [5,2], pixels of the picture, or None when the crop was not made from points.
    picture: np.uint8 [H,W,3], the whole picture it was cut out of (not a copy), or None when it is not known.
    exact_points: False when the points are estimated from the face's box, not seen in the picture.
    yaw, pitch, roll: degrees as in `face.pose.head_pose`, or None when not known.
    notes: sentences for the user about this crop. others: further views of the same person.
    opening: np.uint8 [S,S,3], the crop as the video's first picture shows it where that is not the crop itself (see
    `border`), or None.
    parsed: the crop with all that is not face or hair white, np.uint8 [S,S,3], or None when it was not made.
    """

    crop: np.ndarray
    matrix: np.ndarray
    points: np.ndarray | None = None
    picture: np.ndarray | None = None
    exact_points: bool = True
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None
    notes: tuple[str, ...] = ()
    others: tuple[FaceCrop, ...] = ()
    parsed: np.ndarray | None = None
    opening: np.ndarray | None = None

    def __post_init__(self):
        shape = self.crop.shape
        if self.crop.dtype != np.uint8 or len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise ValueError(f"Expected a face crop uint8 [S,S,3], got {self.crop.dtype} {list(shape)}.")
        if self.matrix.shape != (2, 3):
            raise ValueError(f"Expected a matrix [2,3] from picture to crop, got {list(self.matrix.shape)}.")
        if self.picture is not None:
            check_image(self.picture)
        if self.opening is not None and self.opening.shape != shape:
            raise ValueError(f"Expected an opening picture of the crop's shape {shape}, got {self.opening.shape}.")
        if self.parsed is not None and self.parsed.shape != shape:
            raise ValueError(f"Expected a parsed crop of the crop's size {list(shape)}, got {list(self.parsed.shape)}.")

    @property
    def pose(self) -> tuple[float, float, float] | None:
        """Yaw, pitch and roll in degrees, or None when they are not known."""
        pose = (self.yaw, self.pitch, self.roll)
        return None if None in pose else pose

    @property
    def first_picture(self) -> np.ndarray:
        """What the video begins with: the parsed crop where there is one, else the opening, else the crop."""
        if self.parsed is not None:
            return self.parsed
        return self.crop if self.opening is None else self.opening

    def pixels(self) -> torch.Tensor:
        """The crop as a network reads it: float32 [1,3,S,S] in 0..1."""
        return self.image().permute(0, 3, 1, 2).contiguous()  # BHWC -> BCHW

    def image(self) -> torch.Tensor:
        """The crop as the host shows it: float32 [1,S,S,3] in 0..1."""
        return _as_image(self.crop)

    def first_image(self) -> torch.Tensor:
        """`first_picture` as the host shows it: float32 [1,S,S,3] in 0..1."""
        return _as_image(self.first_picture)


def _as_image(picture: np.ndarray) -> torch.Tensor:
    import torch

    return torch.tensor(picture)[None].float() / 255


def align_face(
    image: np.ndarray, five_points: ArrayLike, size: int = 512, framing: Framing = OFFICIAL
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts out the face as the official release does (facexlib's alignment, in RGB).

    image: np.uint8 [H,W,3] RGB. five_points: [5,2] x, y in pixels of it, in the order of `TEMPLATE`.
    Returns crop np.uint8 [size,size,3] and matrix np.float64 [2,3] (picture -> crop): the similarity that
    fits the points to the template (scaled to `size`) by least median of squares, so that one bad point in
    five does no harm, followed by the framing; bilinear; `FILL` outside the picture. Points may lie outside
    it, as a detector's do at the edge.

    Bilinear means four neighbours, also where a face is much larger than the crop: fine patterns then alias.
    It is kept because it is the official function; the release scales pictures to 1024 pixels before it.
    `crop_detected` and `crop_face` average instead.

    Raises ValueError for another shape or type, NaN or collapsed points; RuntimeError without OpenCV.
    """
    matrix = _fit(image, check_points(five_points), size, framing)
    return _warp(image, matrix, size), matrix


def centre_crop(image: np.ndarray, size: int = 512, framing: Framing = OFFICIAL) -> FaceCrop:
    """The largest centred square of a picture (np.uint8 [H,W,3] RGB), scaled to `size` with PIL's Lanczos.

    Another framing than the official one is cut out as faces are, with `FILL` outside the picture.

    Raises ValueError for another shape or type, and for a picture with a side below `MIN_SIDE`.
    """
    check_image(image)
    _check_crop_size(size)
    height, width = image.shape[:2]
    check_size(width, height, "The picture")
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    scale = size / side
    # Pictures are scaled about the pixels' corners, the matrix counts from their centres: hence the halves.
    matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    if framing == OFFICIAL:
        return FaceCrop(_resized(image[top : top + side, left : left + side], size), matrix, picture=image)
    check_sides(image)
    matrix = framing.applied(matrix, size)
    return FaceCrop(_warp_smoothly(image, matrix, size), matrix, picture=image)


def crop_face(image: np.ndarray, points: ArrayLike | None = None, size: int = 512) -> FaceCrop:
    """The face at five points ([5,2], inside the picture), else `centre_crop`.

    It is cut out as `align_face` does, and where the picture is reduced to less than half, its pixels are
    averaged first.

    Raises ValueError for a point outside the picture, and what those two raise.
    """
    if points is None:
        return centre_crop(image, size)
    check_image(image)
    points = check_points(points)
    height, width = image.shape[:2]
    check_size(width, height, "The picture")
    check_inside(points, width, height)
    matrix = _fit(image, points, size, OFFICIAL)
    return FaceCrop(_warp_smoothly(image, matrix, size), matrix, points, image)


def crop_detected(image: np.ndarray, face: DetectedFace, size: int = 512, framing: Framing = OFFICIAL) -> FaceCrop:
    """A detected face, cut out as `crop_face` does, with what is worth knowing about it as notes.

    image: the picture np.uint8 [H,W,3] RGB in which the face was found. The face of the detector none without
    points is the centre square.

    Raises ValueError for a face outside the picture, and what `align_face` raises.
    """
    check_image(image)
    if face.detector == "none" and not face.exact_points:
        return centre_crop(image, size, framing)
    points = check_points(face.points)
    matrix = _fit(image, points, size, framing)
    outside = share_outside(matrix, size, image.shape[1::-1])
    if outside == 1:
        raise ValueError(
            f"The face lies outside the picture of {image.shape[1]} x {image.shape[0]} pixels: its five points are "
            f"{points.tolist()}. Detect the face in the picture that it is cut out of."
        )
    notes = _notes(face, matrix, outside)
    crop = _warp_smoothly(image, matrix, size)
    return FaceCrop(crop, matrix, points, image, face.exact_points, face.yaw, face.pitch, face.roll, notes)


def _notes(face: DetectedFace, matrix: np.ndarray, outside: float) -> tuple[str, ...]:
    notes = []
    if not face.exact_points:
        notes.append(
            f"The five points are estimated from the face's box, because the detector {face.detector} gives no "
            "points, so the crop may sit a little off. Another detector, or the detector none with five points, "
            "is exact."
        )
    elif face.yaw is not None and abs(face.yaw) > NOTED_YAW:
        notes.append(
            f"The head is turned by about {abs(face.yaw):.0f} degrees, so that half of the face is hidden and the "
            "person may look different in the video. A photo taken more from the front is safer."
        )
    if outside > NOTED_OUTSIDE:
        notes.append(
            f"{outside:.0%} of the crop lies outside the picture and {OUTSIDE_GREY}, which the video may show. "
            "Choose the border extended, a photo with more room around the head, or less padding and margin."
        )
    enlargement = _scale(matrix)
    if enlargement > NOTED_ENLARGEMENT:
        notes.append(
            f"The face is small: it is enlarged {enlargement:.1f} times, so the crop is blurred. Choose a larger "
            "picture of the face."
        )
    return tuple(notes)


def _fit(image: np.ndarray, points: np.ndarray, size: int, framing: Framing) -> np.ndarray:
    """The matrix [2,3] from a picture to its crop."""
    cv2 = opencv()
    check_image(image)
    check_sides(image)
    template = TEMPLATE * (_check_crop_size(size) / TEMPLATE_SIZE)
    matrix = cv2.estimateAffinePartial2D(points, template, method=cv2.LMEDS)[0]
    if matrix is None or not np.isfinite(matrix).all() or _scale(matrix) < MIN_SCALE:
        raise ValueError(f"The five points {points.tolist()} do not fit a face. Expected: {ORDER}.")
    return framing.applied(matrix, size)


def _warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    cv2 = opencv()
    return cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL,
    )


def _warp_smoothly(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """`_warp`, of a picture reduced by area where it has twice the crop's resolution or more."""
    factor = int(1 / _scale(matrix))
    if factor < 2:
        return _warp(image, matrix, size)
    cv2 = opencv()
    before = np.array(image.shape[1::-1])
    after = -(-before // factor)
    small = cv2.resize(np.ascontiguousarray(image), after.tolist(), interpolation=cv2.INTER_AREA)
    grow = before / after  # rounding gives each axis its own
    linear = matrix[:, :2] * grow
    return _warp(small, np.column_stack([linear, matrix[:, 2] + matrix[:, :2] @ (grow / 2 - 0.5)]), size)


def _resized(square: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    return np.array(Image.fromarray(np.ascontiguousarray(square)).resize((size, size), Image.Resampling.LANCZOS))


def _scale(matrix: np.ndarray) -> float:
    """Pixels of the crop per pixel of the picture."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def check_image(image: np.ndarray) -> None:
    """Raises ValueError unless `image` is a picture np.uint8 [H,W,3]."""
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        named = hasattr(image, "shape") and hasattr(image, "dtype")
        found = f"{image.dtype} {list(image.shape)}" if named else type(image).__name__
        raise ValueError(
            f"Expected a picture as np.uint8 [H,W,3] RGB, got {found}. Read files with load_picture and "
            "turn the host's IMAGE into one with picture_from_image."
        )


def check_sides(image: np.ndarray) -> None:
    """Raises ValueError for a picture with more pixels along a side than OpenCV can warp, or with none."""
    if not 1 <= min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE:
        raise ValueError(
            f"The picture has {image.shape[1]} x {image.shape[0]} pixels: expected 1 to {MAX_SIDE} along a "
            "side. Scale it down, or cut out the part with the face."
        )


def _check_crop_size(size: int) -> int:
    if not isinstance(size, int) or not 16 <= size <= 4096:
        raise ValueError(f"Expected a crop size of 16 to 4096 pixels, got {size!r}. The release uses 512.")
    return size


def opencv():
    """The module cv2; RuntimeError with the command where it is missing."""
    try:
        import cv2
    except ImportError as error:
        raise MissingPackage(lacks("Aligning a face", ["cv2"])) from error
    return cv2
