"""The window of a video's picture that a clip shows: it has the model's aspect ratio and lies around the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...face.align import opencv


@dataclass(frozen=True)
class Window:
    """left, top, width, height: in pixels of the frames. out: width and height of the clip."""

    left: int
    top: int
    width: int
    height: int
    out: tuple[int, int]

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The part of a picture np.uint8 [H,W,3], scaled down where it is larger than the clip."""
        part = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        if part.shape[1::-1] == self.out:
            return np.ascontiguousarray(part)
        return opencv().resize(np.ascontiguousarray(part), self.out, interpolation=opencv().INTER_AREA)

    def moved(self, places: np.ndarray) -> np.ndarray:
        """Places [...,2] in the frames (integers are pixel centres) as places in the clip."""
        scale = np.array(self.out) / (self.width, self.height)
        return ((places + 0.5 - (self.left, self.top)) * scale - 0.5).astype(np.float32)


def window_around(boxes: np.ndarray, size: tuple[int, int], shape: tuple[int, int]) -> Window | None:
    """The largest window of the shape (height, width) in a picture of `size` (height, width), as near to the middle of
    the boxes [T,4] as the picture allows; None when it does not hold all of them."""
    ratio = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(2, int(side * ratio) // 2 * 2) for side in shape)  # H.264 wants even sides
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    middle = (low + high) / 2
    left, top = (
        int(np.clip(round(float(at) - side / 2), 0, whole - side))
        for at, side, whole in zip(middle, (width, height), size[::-1], strict=True)
    )
    if (low < (left - 1, top - 1)).any() or (high > (left + width, top + height)).any():
        return None
    return Window(left, top, width, height, (shape[1], shape[0]) if ratio > 1 else (width, height))
