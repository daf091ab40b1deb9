"""The measures of reshaped videos, on videos of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import griddata

from fantasyid_core.people.instruments.moving import gone, visible
from fantasyid_core.people.instruments.reshaping import (
    compare,
    draw_lively,
    flicker,
    jitter,
    lively_rows,
    outside_change,
    seen_points,
    truth_of,
)
from fantasyid_core.shape.reshape.paste import Movement

pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")
SEED = 1_000_000_003


@pytest.fixture(scope="module")
def truth():
    return truth_of(draw_lively(SEED, frames=3, size=128), "jaw_width", 0.5)


def test_the_true_video_is_perfect_and_the_one_before_has_gone_nowhere(truth):
    still = [None] * len(truth.before.frames)
    perfect, untouched = (compare(each.frames, still, truth) for each in (truth.true, truth.before))
    assert perfect.psnr > 70 and perfect.share == pytest.approx(1) and perfect.landmarks == 0
    assert untouched.share == untouched.slope == 0 and untouched.misplaced > 0.2
    assert untouched.psnr == untouched.unchanged < 40
    assert untouched.outside == 0 and untouched.flicker == 1
    assert untouched.landmarks == pytest.approx(untouched.moved, abs=0.3)


@pytest.mark.parametrize("part", [0.6, 1.4])
def test_the_share_tells_how_far_the_face_went(truth, part):
    other = truth_of(truth.before, "jaw_width", 0.5 * part).true.frames
    assert truth.share_of(other) == pytest.approx(part, abs=0.04)


def test_the_slope_is_the_way_of_the_skin(truth):
    """Of a movement that carries every vertex half its true way, or all of it."""
    for part in (0.5, 1.0):
        other = truth_of(truth.before, "jaw_width", 0.5 * part)
        movements = [carrying(other, t) for t in range(len(truth.before.frames))]
        slope, misplaced = gone(truth, movements)
        assert slope == pytest.approx(part, abs=0.08)
        assert misplaced < (1 - part) + 0.15


def carrying(truth, t: int) -> Movement:
    """A movement of pixels from where vertices are drawn before to where they are drawn after, by interpolation."""
    seen, size = visible(truth.before, t), truth.before.size
    before, after = (each.maps.points[t][seen].astype(np.float64) for each in (truth.before, truth.true))
    rows, columns = np.mgrid[:size, :size]
    shift = griddata(after, before - after, (columns, rows), "linear", fill_value=0.0)
    return Movement(0, 0, shift.astype(np.float32))


def test_noise_flickers_and_what_touches_the_background_is_seen(truth):
    frames, rng = truth.before.frames, np.random.default_rng(0)
    noisy = (frames + rng.integers(-40, 40, frames.shape)).clip(0, 255).astype(np.uint8)
    assert flicker(noisy, frames) > 1.5
    assert outside_change(noisy, frames, truth.outside) > 10
    shifted = np.roll(frames, 1, axis=2)
    assert outside_change(shifted, frames, truth.outside) > 0.5, "the background's lines have moved"
    still = np.repeat(frames[:1], 3, axis=0)
    assert flicker(still, still) == 1


def test_trembling_points_jitter_and_even_motion_does_not():
    even = np.arange(5.0)[:, None, None] * np.ones((5, 4, 2))
    assert jitter(even) == 0
    assert jitter(even + np.array([0, 1, 0, 1, 0.0])[:, None, None]) == pytest.approx(2 * np.sqrt(2))
    assert np.isnan(jitter(even[:2]))


def test_the_motion_is_lively_and_begins_the_same_whatever_its_length():
    short, long = lively_rows(10, 1), lively_rows(60, 1)
    np.testing.assert_array_equal(short, long[:10])
    assert long.std(axis=0).astype(bool).sum() >= 9 and abs(np.diff(long[:, 0])).max() < 3


def test_an_unknown_slider_and_a_picture_without_a_face_are_explained(truth):
    with pytest.raises(ValueError, match="Expected a slider among .*head_width.*got 'third_eye'"):
        truth_of(truth.before, "third_eye", 1)
    with pytest.raises(ValueError, match="none is found"):
        seen_points(np.zeros((1, 64, 64, 3), np.uint8))
