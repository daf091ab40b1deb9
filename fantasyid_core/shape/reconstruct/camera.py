"""DECA's input square from a picture, and the projection of the head back into the picture.

All places are pixels with whole numbers at the pixels' centres. DECA was trained on squares cut out like this,
with landmarks of the pixels p given to it as p / 224 * 2 - 1; hence the formulas below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .deca import SIZE

ROOM = 1.25 * 1.1
"""Side of the square that DECA sees, in sizes of the landmarks' box (mean of its width and height)."""

MIN_SIDE = 8  # pixels of the picture; below that there is nothing to see


@dataclass(frozen=True, eq=False)
class View:
    """pixels: float32 [1,3,224,224], RGB in 0..1. scale, shift: [2], place in the picture = scale * place in
    the view + shift."""

    pixels: Tensor
    scale: np.ndarray
    shift: np.ndarray

    def to_picture(self, places: np.ndarray) -> np.ndarray:  # [N, 2] -> [N, 2]
        """Places of the view in pixels of the picture."""
        return places * self.scale + self.shift


def square_view(picture: np.ndarray, middle: np.ndarray, size: float) -> View:  # np.uint8 [H,W,3], [2]
    """The square around a face as DECA cuts it out: bilinear, black outside the picture.

    middle, size: of the landmarks' box, the size being the mean of its width and height, in pixels of the
    picture. Where the picture is reduced to less than half, its pixels are averaged first, which DECA omits:
    it would skip pixels.
    """
    side = max(int(size * ROOM), MIN_SIDE)  # DECA cuts off the fraction, too
    shift, step = middle - side / 2, side / (SIZE - 1)
    samples = shift[:, None] + step * np.arange(SIZE)  # x and y of the view's columns and rows
    part, samples = _averaged(picture, samples, int(step))
    square = _bilinear(part, *samples)
    return View(_pixels(square / 255), np.full(2, step), shift)


def whole_view(picture: np.ndarray) -> View:  # np.uint8 [H,W,3]
    """The whole picture stretched to the square, as the FantasyID release gives it to DECA (PIL, bilinear)."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(picture)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    scale = np.array(picture.shape[1::-1]) / SIZE
    return View(_pixels(np.asarray(small, np.float32) / 255), scale, scale / 2 - 0.5)


def project(
    points: Tensor,  # [B, N, 3] metres
    camera: Tensor,  # [B, 3] scale, x, y
) -> Tensor:  # [B, N, 3] pixels of the view: x, y, and the depth, which is larger for what is nearer
    """DECA's orthographic camera: scale * (point + (x, y)), -1 being the view's left and bottom, 1 its right
    and top."""
    scale, shift = camera[:, None, :1], camera[:, None, 1:]
    x, y = (scale * (points[..., :2] + shift)).unbind(dim=-1)
    half = SIZE / 2
    return torch.stack([half * (1 + x), half * (1 - y), half * scale[..., 0] * points[..., 2]], dim=-1)


def box_of(landmarks: np.ndarray) -> tuple[np.ndarray, float]:  # [68, 2]
    """Middle [2] of the box around landmarks, and the mean of its width and height."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    return (low + high) / 2, float((high - low).mean())


def _averaged(picture: np.ndarray, samples: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture that holds the samples [2,224], averaged over factor x factor pixels, and where
    the samples lie in it."""
    limits = np.array(picture.shape[1::-1])
    # With neighbours on every side: beyond the part it is black.
    margin = max(factor, 1) + 1
    low = np.clip(np.floor(samples[:, 0]).astype(int) - margin, 0, limits)
    high = np.clip(np.ceil(samples[:, -1]).astype(int) + margin + 1, low, limits)
    part, samples = picture[low[1] : high[1], low[0] : high[0]], samples - low[:, None]
    if factor < 2 or not part.size:
        return part, samples
    from PIL import Image

    part = np.asarray(Image.fromarray(np.ascontiguousarray(part)).reduce(factor))
    return part, (samples + 0.5) / factor - 0.5


def _bilinear(picture: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The picture [H,W,3] at columns [224] and rows [224]: float32 [224,224,3], black outside."""
    framed = np.pad(picture, ((1, 1), (1, 1), (0, 0))).astype(np.float32)
    for axis, places in enumerate((rows, columns)):
        last = framed.shape[axis] - 1
        places = (places + 1).clip(0, last)
        before = np.floor(places).astype(int).clip(0, last - 1)
        share = (places - before).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        framed = framed.take(before, axis) * (1 - share) + framed.take(before + 1, axis) * share
    return framed


def _pixels(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None].contiguous()  # HWC -> BCHW
