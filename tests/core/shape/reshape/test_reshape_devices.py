"""Both ways to resample give one picture, so that a GPU changes nothing but the time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fantasyid_core.shape.reshape.paste import Movement, moved_picture
from fantasyid_core.shape.reshape.resample import resample_on, with_opencv, with_torch


def picture_of(kind) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 1, (12, 16, 3)).repeat(6, axis=0).repeat(6, axis=1)
    return np.rint(255 * coarse).astype(np.uint8) if kind == np.uint8 else coarse.astype(kind)


def movement_of(height: int, width: int) -> Movement:
    """A bulge: the picture grows in its middle, shrinks around it, and reaches over its edges."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.stack([x - width / 2, y - height / 2], axis=-1)
    return Movement(0, 0, (away * np.sin(np.linalg.norm(away, axis=-1, keepdims=True) / 9) * 0.3).astype(np.float32))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_torch_and_opencv_give_the_same_picture(kind):
    picture = picture_of(kind)
    movement = movement_of(*picture.shape[:2])
    one, mask = moved_picture(picture, movement, with_opencv)
    other, same = moved_picture(picture, movement, with_torch("cpu"))
    most = 255 if kind == np.uint8 else 1
    assert one.dtype == other.dtype == kind and np.array_equal(mask, same)
    assert np.abs(one.astype(np.float32) - other).mean() < 0.003 * most
    assert np.abs(one.astype(np.float32) - other).max() < 0.06 * most, "OpenCV's places have steps of 1/32 pixel"


def test_a_cpu_uses_opencv_and_all_else_torch():
    assert resample_on("cpu") is resample_on(torch.device("cpu")) is with_opencv
    assert resample_on("cuda") is not with_opencv
