"""A picture becomes the square face crop that all else reads: aligned by five points, or cut centrally.

Five points are always in the order of the template: eye left, eye right, tip of the nose, mouth left, mouth
right, where left is the left of the picture (the person's right).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .picture import FILL, check_size

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

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

ORDER = "eye left, eye right, nose, mouth left, mouth right, as seen in the picture"
MAX_SIDE = 32766  # OpenCV 4 counts pixels along a side in 16 bits


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """One face, cut out of a picture.

    crop: np.uint8 [S,S,3] RGB, S = 512 for the release.
    matrix: np.float64 [2,3], picture -> crop: crop_xy = matrix @ (x, y, 1); integers are pixel centres.
    points: np.float32 [5,2], pixels of the picture, or None when the crop was not made from points.
    """

    crop: np.ndarray
    matrix: np.ndarray
    points: np.ndarray | None = None

    def __post_init__(self):
        shape = self.crop.shape
        if self.crop.dtype != np.uint8 or len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise ValueError(f"Expected a face crop uint8 [S,S,3], got {self.crop.dtype} {list(shape)}.")
        if self.matrix.shape != (2, 3):
            raise ValueError(f"Expected a matrix [2,3] from picture to crop, got {list(self.matrix.shape)}.")

    def pixels(self) -> torch.Tensor:
        """The crop as a network reads it: float32 [1,3,S,S] in 0..1."""
        return self.image().permute(0, 3, 1, 2).contiguous()  # BHWC -> BCHW

    def image(self) -> torch.Tensor:
        """The crop as the host shows it: float32 [1,S,S,3] in 0..1."""
        import torch

        return torch.tensor(self.crop)[None].float() / 255


def align_face(image: np.ndarray, five_points: ArrayLike, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Cuts out the face as the official release does (facexlib's alignment, in RGB).

    image: np.uint8 [H,W,3] RGB. five_points: [5,2] x, y in pixels of it, in the order of `TEMPLATE`.
    Returns crop np.uint8 [size,size,3] and matrix np.float64 [2,3] (picture -> crop): the similarity that
    fits the points to the template (scaled to `size`) by least median of squares, so that one bad point in
    five does no harm; bilinear; `FILL` outside the picture. Points may lie outside it, as a detector's do at
    the edge.

    Raises ValueError for another shape or type, NaN or collapsed points; RuntimeError without OpenCV.
    """
    cv2 = _opencv()
    _check_image(image)
    if not 1 <= min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE:
        raise ValueError(
            f"The picture has {image.shape[1]} x {image.shape[0]} pixels: expected 1 to {MAX_SIDE} along a "
            "side. Scale it down, or cut out the part with the face."
        )
    points = check_points(five_points)
    template = TEMPLATE * (_check_crop_size(size) / TEMPLATE_SIZE)
    matrix = cv2.estimateAffinePartial2D(points, template, method=cv2.LMEDS)[0]
    if matrix is None:
        raise ValueError(f"The five points {points.tolist()} do not fit a face. Expected: {ORDER}.")
    crop = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL,
    )
    return crop, matrix


def centre_crop(image: np.ndarray, size: int = 512) -> FaceCrop:
    """The largest centred square of a picture (np.uint8 [H,W,3] RGB), scaled to `size` with PIL's Lanczos.

    Raises ValueError for another shape or type, and for a picture with a side below `MIN_SIDE`.
    """
    from PIL import Image

    _check_image(image)
    _check_crop_size(size)
    height, width = image.shape[:2]
    check_size(width, height, "The picture")
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    crop = np.array(square.resize((size, size), Image.Resampling.LANCZOS))
    scale = size / side
    # PIL scales about the pixels' corners, the matrix counts from their centres: hence the halves.
    matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    return FaceCrop(crop, matrix)


def crop_face(image: np.ndarray, points: ArrayLike | None = None, size: int = 512) -> FaceCrop:
    """`align_face` when five points are given ([5,2], inside the picture), else `centre_crop`.

    Raises ValueError for a point outside the picture, and what those two raise.
    """
    if points is None:
        return centre_crop(image, size)
    _check_image(image)
    points = check_points(points)
    height, width = image.shape[:2]
    check_size(width, height, "The picture")
    outside = ((points < 0) | (points >= (width, height))).any(axis=1)
    if outside.any():
        first = int(outside.argmax())
        raise ValueError(
            f"Point {first + 1} of 5, ({points[first, 0]:g}, {points[first, 1]:g}), lies outside the "
            f"picture: expected x in 0..{width - 1} and y in 0..{height - 1}. Give the points in pixels of "
            "this picture."
        )
    crop, matrix = align_face(image, points, size)
    return FaceCrop(crop, matrix, points)


def parse_points(text: str) -> np.ndarray:
    """Five points that a user typed, as np.float32 [5,2] in pixels.

    Numbers may be separated by commas, semicolons, blanks and line breaks ("x,y x,y x,y x,y x,y"), or form a
    JSON list of [x, y] or {"x": x, "y": y}.

    Raises ValueError for another count, for what is not a number, for NaN, for collapsed points, and for
    points in another order (the triangle of eyes and mouth is then turned over).
    """
    numbers = _numbers(text)
    if len(numbers) != 10:
        raise ValueError(
            f"Expected 5 points, that is 10 numbers, got {len(numbers)} numbers in {_shortened(text)}. "
            f'Write "x,y x,y x,y x,y x,y": {ORDER}.'
        )
    points = check_points(np.array(numbers).reshape(5, 2))
    eye, across, down = points[0], points[1] - points[0], points[3:].mean(axis=0) - points[0]
    if across[0] * down[1] - across[1] * down[0] <= 0:
        raise ValueError(
            f"The five points are in another order or mirrored (first point: {eye[0]:g}, {eye[1]:g}). "
            f"Expected: {ORDER}."
        )
    return points


def check_points(points: ArrayLike) -> np.ndarray:
    """Five points as np.float32 [5,2]; ValueError for another shape, NaN, infinite or collapsed points."""
    points = np.asarray(points, dtype=np.float32)
    if points.shape != (5, 2):
        raise ValueError(
            f"Expected five points [5,2] (x, y in pixels), got shape {list(points.shape)}: {ORDER}."
        )
    if not np.isfinite(points).all():
        raise ValueError(
            f"Expected five finite points, got {points.tolist()}. Replace NaN and infinite values."
        )
    along, across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if along < 1 or across < 0.02 * along:
        raise ValueError(
            f"The five points {points.tolist()} coincide or lie on one line, so they give no face. "
            f"Expected different places: {ORDER}."
        )
    return points


def _numbers(text: str) -> list[float]:
    text = text.strip()
    try:
        values = json.loads(text) if text[:1] == "[" else [t for t in re.split(r"[\s,;]+", text) if t]
        return [float(value) for value in _flattened(values)]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"Expected 5 points as numbers, got {_shortened(text)} ({error}). "
            f'Write "x,y x,y x,y x,y x,y", or a JSON list of [x, y]: {ORDER}.'
        ) from error


def _flattened(values) -> list:
    if isinstance(values, dict):
        return [values["x"], values["y"]]
    if isinstance(values, list):
        return [number for value in values for number in _flattened(value)]
    return [values]


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _check_image(image: np.ndarray) -> None:
    if not (
        isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    ):
        found = f"{image.dtype} {list(image.shape)}" if hasattr(image, "shape") else type(image).__name__
        raise ValueError(
            f"Expected a picture as np.uint8 [H,W,3] RGB, got {found}. Read files with load_picture and "
            "turn the host's IMAGE into one with picture_from_image."
        )


def _check_crop_size(size: int) -> int:
    if not isinstance(size, int) or not 16 <= size <= 4096:
        raise ValueError(f"Expected a crop size of 16 to 4096 pixels, got {size!r}. The release uses 512.")
    return size


def _opencv():
    try:
        import cv2
    except ImportError as error:
        raise RuntimeError(
            "Aligning a face needs OpenCV, which is not installed here. Run `pip install "
            "opencv-python-headless` in the environment of this program."
        ) from error
    return cv2
