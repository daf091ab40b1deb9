"""Measures of frames alone, on videos of which the answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from fantasyid_core.evaluation.pixels import colour_drift, flicker, flow_statistics, frame_difference, pixel_measures
from fantasyid_core.evaluation.pixels import sharpness as sharpness_of

TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8), (0, 0), 2)
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX)


def flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((32, 32, 3), level, np.uint8) for level in levels])


def test_a_still_video_changes_in_nothing():
    found = pixel_measures(np.stack([TEXTURE] * 4))
    assert all(found[name] == 0 for name in found if name != "sharpness") and found["sharpness"] > 0


def test_changes_of_brightness_are_measured_in_shares_of_white():
    video = flat(10, 20, 40)
    assert frame_difference(video) == pytest.approx(15 / 255)
    found = pixel_measures(video)
    assert found["last_minus_first"] == pytest.approx(30 / 255)
    assert found["colour_drift"] == pytest.approx(30 / 255)
    assert found["flicker"] == pytest.approx(10 / 255 / 2)


def test_an_even_fade_does_not_flicker_and_a_lamp_does():
    assert flicker(flat(10, 20, 30, 40)) == pytest.approx(0, abs=1e-12)
    assert flicker(flat(10, 20, 10, 20)) == pytest.approx(10 / 255)


def test_drift_is_the_largest_distance_from_the_first_frame():
    video = flat(100, 100, 100)
    video[1, ..., 0] += 60  # red only, and back again
    assert colour_drift(video) == pytest.approx(60 / 255 / math.sqrt(3))
    assert frame_difference(video) == pytest.approx(20 / 255)


def test_the_flow_is_the_shift():
    video = np.stack([TEXTURE[8:72, 8 + 2 * t : 72 + 2 * t] if t < 4 else TEXTURE[8:72, 14:78] for t in range(4)])
    found = flow_statistics(video)
    assert found["flow"] == pytest.approx(2, abs=0.3) and found["moving"] > 0.9 and found["flow_95"] < 3


def test_a_blurred_video_is_less_sharp():
    blurred = cv2.GaussianBlur(TEXTURE, (0, 0), 3)
    assert sharpness_of(TEXTURE[None]) > 5 * sharpness_of(blurred[None])
    grey = cv2.cvtColor(TEXTURE, cv2.COLOR_RGB2GRAY)
    assert sharpness_of(grey[None]) == pytest.approx(sharpness_of(TEXTURE[None]))


def test_measures_that_need_more_frames_are_nan():
    found = pixel_measures(TEXTURE[None])
    assert {name for name, value in found.items() if not math.isnan(value)} == {"sharpness"}
    assert math.isnan(flicker(flat(1, 2))) and colour_drift(flat(1, 2)) > 0


def test_other_frames_are_refused():
    with pytest.raises(ValueError, match=r"Expected frames \[T, H, W, 3\]"):
        pixel_measures(np.zeros((3, 8, 8, 3), np.uint8))
