"""A detector's input: the picture scaled, set in a black frame and turned by quarters, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class View:
    """Pixels np.uint8 [h,w,3], and the matrix [2,3] from their corner-based places to the picture's pixels."""

    pixels: np.ndarray
    matrix: np.ndarray


def letterbox(image: np.ndarray, side: int) -> View:
    """All of the picture in the middle of a black square, read at single places, exactly as MediaPipe does it."""
    height, width = image.shape[:2]
    scale = max(height, width) / side
    matrix = np.array([[scale, 0, (width - side * scale) / 2], [0, scale, (height - side * scale) / 2]])
    if max(height, width) >= 2**15:  # OpenCV counts in 16 bits; such a picture may be smoothed first
        return smooth_view(image, side / max(height, width), side)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return View(cv2.warpAffine(image, matrix, (side, side), flags=flags), matrix)


def smooth_view(image: np.ndarray, scale: float, least: int, multiple: int = 32) -> View:
    """The picture scaled by area, in a black frame whose sides are multiples of `multiple` and at least `least`."""
    before = np.array(image.shape[1::-1])
    after = np.maximum(1, np.round(before * scale)).astype(int)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = image if (after == before).all() else cv2.resize(image, after.tolist(), interpolation=method)
    frame = -(-np.maximum(after, least) // multiple) * multiple
    left, top = origin = (frame - after) // 2
    pixels = np.zeros((frame[1], frame[0], 3), np.uint8)
    pixels[top : top + after[1], left : left + after[0]] = scaled
    step = before / after
    # Places count from corners here and from pixel centres in the picture, hence the half.
    return View(pixels, np.array([[step[0], 0, -origin[0] * step[0] - 0.5], [0, step[1], -origin[1] * step[1] - 0.5]]))


def turned(view: View, quarters: int) -> View:
    """A view turned anticlockwise by quarters."""
    pixels, matrix = view.pixels, view.matrix
    for _ in range(quarters % 4):
        # (x, y) of the turned view was (width - y, x) before.
        back = np.array([[0.0, -1.0, pixels.shape[1]], [1.0, 0.0, 0.0]])
        matrix = np.column_stack([matrix[:, :2] @ back[:, :2], matrix[:, :2] @ back[:, 2] + matrix[:, 2]])
        pixels = np.rot90(pixels)
    return View(np.ascontiguousarray(pixels), matrix)
