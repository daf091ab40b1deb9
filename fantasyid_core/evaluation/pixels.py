"""Measures of motion and colour from frames alone, without any network. Colours are sRGB in 0..1.

None of these measures says whether a motion is the right one: a video can have the frame difference of a true one and
show something else. They reveal videos that stand still, jump, drift in colour, are blurred or flicker.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .motion import check_frames, flow_lengths

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOVING = 0.5  # pixels per frame from which on a pixel counts as moving
_GREY = np.array([0.299, 0.587, 0.114])


def pixel_measures(frames: ArrayLike) -> dict[str, float]:
    """All measures of this module of one video (frames as in `face_motion`), by name; NaN for too few frames.

    frame_difference: mean |next - this| of all values. last_minus_first: mean |last - first|. flow: mean length of the
    optical flow, pixels per frame; flow_95: its 95th percentile; moving: share of pixels that move by 0.5 pixels or
    more. colour_drift: largest distance of a frame's mean colour from the first one's, as a root mean square over the
    channels. sharpness: mean over the frames of the variance of the Laplacian of the grey in 0..255. flicker: mean
    |second difference| of the brightness over time, halved; 0 when it changes evenly.
    """
    frames = check_frames(frames)
    return {
        "frame_difference": frame_difference(frames),
        "last_minus_first": _mean_change(frames[0], frames[-1]) if len(frames) > 1 else math.nan,
        **flow_statistics(frames),
        "colour_drift": colour_drift(frames),
        "sharpness": sharpness(frames),
        "flicker": flicker(frames),
    }


def frame_difference(frames: ArrayLike) -> float:
    """As in `pixel_measures`; NaN for a single frame."""
    frames = check_frames(frames)
    changes = [_mean_change(*pair) for pair in zip(frames, frames[1:], strict=False)]
    return float(np.mean(changes)) if changes else math.nan


def flow_statistics(frames: ArrayLike) -> dict[str, float]:
    """flow, flow_95 and moving, as in `pixel_measures`."""
    rows = [(each.mean(), np.percentile(each, 95), (each >= MOVING).mean()) for each in flow_lengths(frames)]
    values = np.mean(rows, axis=0) if rows else [math.nan] * 3
    return dict(zip(("flow", "flow_95", "moving"), map(float, values), strict=True))


def colour_drift(frames: ArrayLike) -> float:
    """As in `pixel_measures`; NaN for a single frame."""
    means = _means(check_frames(frames))
    if len(means) < 2:
        return math.nan
    return float(np.sqrt(((means - means[0]) ** 2).mean(axis=1)).max())


def sharpness(frames: ArrayLike) -> float:
    """As in `pixel_measures`: near 0 for a blurred video, hundreds for a sharp one."""
    from ..face.align import opencv

    cv2, values = opencv(), []
    for frame in check_frames(frames):
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        values.append(cv2.Laplacian(np.ascontiguousarray(grey), cv2.CV_64F).var())
    return float(np.mean(values))


def flicker(frames: ArrayLike) -> float:
    """As in `pixel_measures`; NaN for fewer than three frames."""
    light = _means(check_frames(frames)) @ _GREY
    return float(np.abs(np.diff(light, 2)).mean() / 2) if len(light) > 2 else math.nan


def _means(frames: np.ndarray) -> np.ndarray:  # -> [T,3]
    means = np.array([frame.mean(axis=(0, 1), dtype=np.float64) for frame in frames]) / 255
    return means if means.ndim == 2 else np.repeat(means[:, None], 3, axis=1)


def _mean_change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(other.astype(np.int16) - one).mean() / 255)
