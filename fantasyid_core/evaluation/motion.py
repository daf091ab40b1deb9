"""The motion of a face: FM of the paper's section 4.2, the mean optical flow in the face.

The flow is Farneback's ("Two-Frame Motion Estimation Based on Polynomial Expansion", 2003) as in OpenCV, on
whole grey pictures. Its length is in pixels of the given frames per frame, so only videos of one size and
frame rate can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..running.progress import counted
from .similarity import as_numpy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FARNEBACK = {
    "pyr_scale": 0.5,  # each level of the pyramid is half as large
    "levels": 3,  # with 15 pixels of window, motions of up to some 40 pixels are followed
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,  # pixels of the neighbourhood that a polynomial is fitted to,
    "poly_sigma": 1.2,  # and its Gaussian weight
    "flags": 0,
}
"""The values of OpenCV's own example; the paper names none."""

MIN_SIDE = 16


def face_motion(frames: ArrayLike, boxes=None) -> float:
    """FM: the mean length of the flow in the face, in pixels per frame; 0 is a still face.

    frames: uint8 [T, H, W, 3] RGB or [T, H, W] grey, or floats in 0..1 of these shapes; NumPy or torch; T at
    least 2, sides at least 16. boxes: x0, y0, x1, y1 in pixels, one [4] for all frames or one per frame [T, 4],
    None for a frame without a face; without any, the whole picture counts. The flow from a frame to the next
    is averaged over the earlier one's box, then over the pairs; pairs whose earlier frame has no face do not
    count. Raises ValueError for other shapes and values, boxes outside the picture, or no face at all.
    """
    motions = face_motions(frames, boxes)
    if np.isnan(motions).all():
        raise ValueError("Expected a face in at least one frame before the last, got none.")
    return float(np.nanmean(motions))


def face_motions(frames: ArrayLike, boxes=None) -> np.ndarray:
    """float64 [T-1]: the mean flow in the face from each frame to the next, NaN without a face.

    As `face_motion`.
    """
    frames = check_frames(frames)
    if len(frames) < 2:
        raise ValueError("Expected at least 2 frames to see motion between, got 1.")
    boxes = _regions(boxes, frames)
    motions = np.full(len(frames) - 1, np.nan)
    earlier = _grey(frames[0])
    for index in counted(range(len(motions))):
        later = _grey(frames[index + 1])
        if boxes[index] is not None:
            motions[index] = _mean_flow(earlier, later, boxes[index])
        earlier = later
    return motions


def flow_lengths(frames: ArrayLike) -> Iterator[np.ndarray]:
    """The length of the flow of every pixel from each frame to the next, [H, W]; frames as in `face_motion`."""
    frames = check_frames(frames)
    earlier = _grey(frames[0])
    for frame in frames[1:]:
        later = _grey(frame)
        yield _lengths(earlier, later)
        earlier = later


def check_frames(frames: ArrayLike) -> np.ndarray:
    """Frames as np.uint8 [T, H, W, 3] or [T, H, W]; ValueError unless they are as in `face_motion`."""
    frames = as_numpy(frames)
    picture = frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)
    if not picture or len(frames) == 0 or min(frames.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"Expected frames [T, H, W, 3] or [T, H, W] with sides of at least {MIN_SIDE} pixels, got "
            f"{list(frames.shape)}."
        )
    if frames.dtype == np.uint8:
        return frames
    if not np.issubdtype(frames.dtype, np.floating):
        raise ValueError(f"Expected frames as uint8, or as floats in 0..1, got {frames.dtype}.")
    low, high = frames.min(), frames.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(f"Expected frames as uint8, or as floats in 0..1, got values from {low:g} to {high:g}.")
    return np.stack([(frame.clip(0, 1) * 255).round().astype(np.uint8) for frame in frames])


def _regions(boxes, frames: np.ndarray) -> Sequence[tuple[slice, slice] | None]:
    """Rows and columns of every frame's face."""
    height, width = frames.shape[1:3]
    if boxes is None:
        return [(slice(0, height), slice(0, width))] * len(frames)
    boxes = list(boxes) if not hasattr(boxes, "detach") else list(as_numpy(boxes))
    if len(boxes) == 4 and all(np.ndim(side) == 0 and side is not None for side in boxes):
        boxes = [boxes] * len(frames)
    if len(boxes) != len(frames):
        raise ValueError(f"Expected one box, or {len(frames)} boxes for {len(frames)} frames, got {len(boxes)}.")
    return [None if box is None else _region(box, index, width, height) for index, box in enumerate(boxes)]


def _region(box, index: int, width: int, height: int) -> tuple[slice, slice]:
    box = as_numpy(box, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"Expected the box of frame {index} as finite x0, y0, x1, y1, got {box.tolist()}.")
    left, top = np.floor(box[:2].clip(0)).astype(int)
    right, bottom = np.ceil(np.minimum(box[2:], (width, height))).astype(int)
    if right <= left or bottom <= top:
        raise ValueError(
            f"Expected the box of frame {index} as x0 < x1, y0 < y1 in a picture of {width} x {height} pixels, got "
            f"{box.tolist()}."
        )
    return slice(top, bottom), slice(left, right)


def _grey(frame: np.ndarray) -> np.ndarray:
    cv2 = _opencv()
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame


def _mean_flow(earlier: np.ndarray, later: np.ndarray, region: tuple[slice, slice]) -> float:
    return float(_lengths(earlier, later)[region].mean())


def _lengths(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:  # [H, W] -> [H, W]
    if np.array_equal(earlier, later):
        return np.zeros(earlier.shape)  # the method itself leaves some flow at the border
    flow = _opencv().calcOpticalFlowFarneback(earlier, later, None, **FARNEBACK)  # [H, W, 2]
    return np.linalg.norm(flow.astype(np.float64), axis=2)


def _opencv():
    from ..face.align import opencv

    return opencv()
