"""Detects scene cuts: the colours and their places change at once, and far more than in the frames before."""

from __future__ import annotations

from collections import deque

import numpy as np

from .align import opencv

SIDE = 32  # pixels of the picture that is compared: grain and small motions vanish
LEVELS = 4  # per colour channel of the histogram
COLOURS = 0.35  # share of the pixels that changed their colour
PLACES = 0.16  # mean change of a pixel, 0..1
ABOVE = 3.0  # times the median change of the scene's last frames
MEMORY = 8  # frames


class CutDetector:
    """Called with one picture np.uint8 [H,W,3] after the other: whether a new scene begins with this one.

    Change is half the L1 distance of colour histograms (0..1) and the mean difference of small pictures (0..1); one of
    the two must be large, and large against the median of the scene so far. What a slow dissolve, or a cut before the
    same background, does to the face is seen by those who follow it (`training.data.tracking`, `shape.reshape.track`).
    """

    def __init__(self):
        self._forget()

    def __call__(self, picture: np.ndarray) -> bool:
        small = reduced(picture)
        before, self._before = self._before, small
        if before is None:
            return True
        colours = float(np.abs(colour_shares(before) - colour_shares(small)).sum() / 2)
        places = float(np.abs(before - small).mean() / 255)
        strength = max(colours / COLOURS, places / PLACES)
        usual = float(np.median(self._changes)) if self._changes else 0.0
        if strength > max(1.0, ABOVE * usual):
            self._forget()
            self._before = small
            return True
        self._changes.append(strength)
        return False

    def _forget(self) -> None:
        self._before: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=MEMORY)


def reduced(picture: np.ndarray) -> np.ndarray:
    """A picture np.uint8 [H,W,3] as float32 [32,32,3]."""
    cv2 = opencv()
    return cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def colour_shares(small: np.ndarray) -> np.ndarray:
    """A histogram of the colours of a small picture, sum 1; each pixel is shared between neighbouring levels, so that
    a slow change stays slow."""
    levels = small.reshape(-1, 3) / 255 * (LEVELS - 1)
    low = np.minimum(levels.astype(int), LEVELS - 2)
    high_share = levels - low
    histogram = np.zeros(LEVELS**3)
    for corner in range(8):
        up = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        place = (low + up) @ (LEVELS**2, LEVELS, 1)
        share = np.where(up == 1, high_share, 1 - high_share).prod(axis=1)
        histogram += np.bincount(place, share, LEVELS**3)
    return histogram / len(levels)
