"""What may lie behind something that stands before a face: the colours around it, continued (pyramids as in Gortler et
al. 1996). Only a rim of a few pixels of it is ever seen, where the face moves out from behind."""

from __future__ import annotations

import numpy as np

from ...face.align import opencv
from .light import mixed

SEEN = 0.4  # of the mask; from here on a pixel's colour is not its own
RIM = 2  # pixels around the mask whose colours are mixed with its colours


def without(part: np.ndarray, mask: np.ndarray) -> np.ndarray:  # [h,w,3], [h,w] 0..1
    """A picture in which what the mask covers is filled from around, in the picture's type."""
    cv2 = opencv()
    wide = cv2.dilate((mask > SEEN).astype(np.uint8), np.ones((2 * RIM + 1,) * 2)).astype(np.float32)
    fill = _continued(part.astype(np.float32), 1 - wide)
    return mixed(part, fill.clip(0, 255 if part.dtype == np.uint8 else None).astype(part.dtype), wide[..., None])


def _continued(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    cv2, (height, width) = opencv(), known.shape
    if min(height, width) < 4:
        return np.broadcast_to((values * known[..., None]).sum((0, 1)) / max(known.sum(), 1e-6), values.shape)
    half = (width + 1) // 2, (height + 1) // 2
    share = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA) / share.clip(1e-6)[..., None]
    coarse = cv2.resize(_continued(mean, (share > 0).astype(np.float32)), (width, height))
    return coarse + known[..., None] * (values - coarse)
